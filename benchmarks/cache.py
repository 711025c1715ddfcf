"""Does it pay to keep the scores of boxes that have not moved? A real run of 10 epochs in the demo world.

``python benchmarks/cache.py WORK OUT.json [SEED]``: without the cache, with it, and with boxes that grow outward to a
grid of 8 or 16 of the view's 96 pixels. Told of each relabel pass: how many crops were found, how long it took, and
the mAP of the pseudo-labels; and of the process the resident memory after each epoch.
"""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.demo import story
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.training.run import train

EVERY = ("train.epochs=10", "train.choose=last", "relabel.epochs=every", "consistency.mu=0")
WAYS = {
    "no cache": ("relabel.cache_mib=0",),
    "cache": ("relabel.cache_mib=256",),
    "cache, grid 8": ("relabel.cache_mib=256", "relabel.cache_grid=8"),
    "cache, grid 16": ("relabel.cache_mib=256", "relabel.cache_grid=16"),
    "grid 16, no cache": ("relabel.cache_mib=0", "relabel.cache_grid=16"),
}


def resident_mib() -> float:
    """Give the process's resident memory in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def run(work: Path, seed: int, knobs: tuple[str, ...]) -> dict[str, Any]:
    """Train once; give what each relabel pass did."""
    folder = RunFolder(work)
    records: list[dict[str, Any]] = []
    memory: list[float] = []

    def keep(record: dict[str, Any]) -> None:
        folder.add_metrics(record)
        if record["stage"] == "relabel":
            records.append(record)
        if record["stage"] == "train":
            memory.append(round(resident_mib(), 1))

    stages = Stages(Console(stderr=True), keep)
    summary = train(
        story.draw(seed, stages), story.recipe(seed, [*EVERY, *knobs]), folder, stages, overwrite=folder.can_resume()
    )
    names = ("epoch", "seconds", "images_per_second", "crops", "repeated_crops", "cache_hits")
    results = summary["results"]
    return {
        "passes": [{name: record[name] for name in names} for record in records],
        "relabel_seconds": round(sum(record["seconds"] for record in records), 2),
        "label_map": results["pseudo-labels after the updates, train"],
        "test_map": results["student, chosen epoch, test"],
        "resident_mib_by_epoch": memory,
    }


def main() -> None:
    """Run every way, and write the figures."""
    work, out, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0
    machine.keep_freed_memory()
    found: dict[str, Any] = {}
    for name, knobs in WAYS.items():
        found[name] = run(work / name.replace(", ", "-").replace(" ", "-"), seed, knobs)
        hits = " ".join(f"{record['cache_hits']:.0%}" for record in found[name]["passes"])
        labels, test = (100 * found[name][what] for what in ("label_map", "test_map"))
        told = f"{found[name]['relabel_seconds']:.1f} s of relabelling, labels {labels:.1f}, student {test:.1f}"
        print(f"{name}: {told}, hits {hits}, {found[name]['resident_mib_by_epoch'][-1]:.0f} MiB", flush=True)
    measure.save({"benchmark": "cache", "seed": seed, "ways": found}, out)


if __name__ == "__main__":
    main()
