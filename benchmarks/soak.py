"""Do memory and file handles stay flat in a long run? Fifty epochs of a small demo world, updates at every epoch.

``python benchmarks/soak.py WORK OUT.json [EPOCHS] [SCENES]``; ``PLAIN=1`` in the environment leaves glibc's allocator
as it is, ``DEVICE=cuda`` runs on a GPU. Told of each epoch: resident memory, the device's, open files, threads.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.demo import story
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.training.run import train

COUNTED = {"files": "fd", "threads": "task"}
KNOBS = ("train.choose=last", "relabel.epochs=every", "views.max_bad_frac=0.0")


def standing() -> dict[str, float]:
    """Give what the process holds now."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    resident, peak = (int(status.split(f"{key}:")[1].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
    counts = {name: len(list(Path(f"/proc/self/{folder}").iterdir())) for name, folder in COUNTED.items()}
    device = {}
    if torch.cuda.is_available():
        device = {"device_mib": round(torch.cuda.memory_reserved() / 2**20, 1)}
    return {"resident_mib": round(resident, 1), "peak_mib": round(peak, 1), **device, **counts}


def main() -> None:
    """Run, and write the figures."""
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    epochs, scenes = int(sys.argv[3]) if len(sys.argv) > 3 else 50, int(sys.argv[4]) if len(sys.argv) > 4 else 400
    if not os.environ.get("PLAIN"):
        machine.keep_freed_memory()
    folder = RunFolder(work)
    found: list[dict[str, Any]] = []

    def keep(record: dict[str, Any]) -> None:
        if folder.can_resume():
            folder.add_metrics(record)
        if record["stage"] == "evaluate":  # the last one of an epoch
            found.append({"epoch": record["epoch"], **standing()})
            print(found[-1], flush=True)

    stages = Stages(Console(stderr=True, quiet=True), keep)
    source = story.draw(0, stages, scenes, max(scenes // 4, 20))
    recipe = story.recipe(0, [f"train.epochs={epochs}", *KNOBS])
    train(source, recipe, folder, stages, os.environ.get("DEVICE", "cpu"), overwrite=folder.can_resume())
    half = len(found) // 2
    growth = found[-1]["resident_mib"] - found[half]["resident_mib"]
    result = {"benchmark": "soak", "epochs": epochs, "scenes": scenes, "allocator": os.environ.get("PLAIN") or "ours"}
    measure.save({**result, "growth_of_second_half_mib": round(growth, 1), "by_epoch": found}, out)


if __name__ == "__main__":
    main()
