"""Is a person's minute better spent on what ``review`` chooses than on photographs drawn at random?

``python benchmarks/review.py WORK OUT.json ROOT CLIP STUDENT_WEIGHTS``: ROOT is a folder with ``classes.txt`` and
``labels.csv``. The truth of the training photographs plays the person, who says of each photograph that is shown which
classes it has and that it has no others. A run that is told nothing comes first; ``review`` chooses from it. Then as
many runs as there are ``--corrections``, twice: told the photographs that ``review`` puts first, and told as many drawn
at random. Both are measured on the test photographs, which nobody corrects.

The backbone is frozen and its features are kept over all runs, as in ``compare --frozen``; runs are kept in WORK, and
the same command goes on. A chart is written beside OUT, as ``.svg``. To try it: ``--photographs 100 --corrections
10,20 --seeds 0``.
"""

import argparse
import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from line_chart import Panel, Points, drawn
from linked import some_of
from numpy.typing import NDArray
from rich.console import Console

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.datasets import ImageSet, Source
from ccd_fast.outputs import meaning, trained
from ccd_fast.recipes import Recipe, config
from ccd_fast.report import review
from ccd_fast.runs import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.studies.comparison import GRID
from ccd_fast.studies.variants import FROZEN
from ccd_fast.text import as_csv
from ccd_fast.training import CHOSEN, train
from ccd_fast.training.memory import Memory, half_of_what_is_free

WAYS = ("review", "random")
MEASURED = {"map": "mean_average_precision", "cf1": "class_f1"}
SHOWN = {"map": "mAP", "cf1": "CF1"}
Figures = dict[str, dict[int, list[dict[str, float]]]]
"""By way and number of corrections: a record a seed."""


def part_of(root: Path, count: int, folder: Path) -> Path:
    """Make a data set of some of the photographs: the first so many to train on, and half as many to test on."""
    with (root / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    training = [row for row in rows if row["split"] == "train"][:count]
    some_of(root, [*training, *[row for row in rows if row["split"] != "train"][: count // 2]], folder)
    (folder / "classes.txt").write_bytes((root / "classes.txt").read_bytes())
    return folder


def corrections(images: ImageSet, rows: list[int], file: Path) -> Path:
    """Write what the person says of some photographs, as ``--known`` reads it."""
    assert images.truth is not None
    names = np.array(images.class_names, dtype=object)
    said = ((images.paths[row], "|".join(names[images.truth[row]]), "*") for row in rows)
    file.write_text(as_csv([("path", "labels", "absent"), *said]), encoding="utf-8")
    return file


def wrong(found: review.Reviewed, truth: NDArray[np.bool_], rows: list[int]) -> float:
    """Count the labels that are suggested wrongly of a photograph, on average over some."""
    suggested = (found.found.likely[rows] >= 0.5).numpy()
    return float((suggested != truth[rows]).sum(axis=1).mean())


class Bench:
    """All runs over one data set, with one memory."""

    def __init__(self, work: Path, root: Path, clip: str, weights: str, knobs: list[str]) -> None:
        """Take where it works, the data set, the networks, and knobs for all runs."""
        self.work, self.root = work, root
        self.memory = Memory(half_of_what_is_free())
        own = (f"teacher.model='''{clip}'''", f"student.weights='''{weights}'''", *FROZEN, *knobs)
        self.knobs = (*own, f"relabel.cache_grid={GRID}")

    def recipe(self, seed: int) -> Recipe:
        """Give the recipe of a seed."""
        return config.load("folder", ["student.backbone=tf_efficientnet_lite0", *self.knobs, f"seed={seed}"])

    def run(self, name: str, seed: int, known: Path | None) -> dict[str, float]:
        """Train once, or read what was trained before; gives the test figures of the student."""
        folder = RunFolder(self.work / f"seed-{seed}" / name)
        source = Source("folder", self.root, self.root / "classes.txt", self.root / "labels.csv", known=known)
        summary = folder.summary() if folder.path.is_dir() else None
        if summary is None:
            stages = Stages(Console(stderr=True, quiet=True), folder.add_metrics)
            summary = train(source, self.recipe(seed), folder, stages, overwrite=True, memory=self.memory)
        figures = {name: float(summary["metrics"][CHOSEN][key]) for name, key in MEASURED.items()}
        means = meaning.measured(folder.path, trained.load_late(folder.path))
        if means is not None and means.after is not None:
            figures |= {"ece": means.after.error, "ece_of_the_sigmoid": means.before.error}
        print(f"seed {seed} {name:12}", *(f"{key} {100 * value:.1f}" for key, value in figures.items()), flush=True)
        return figures

    def seed(self, seed: int, counts: list[int], found: Figures) -> None:
        """Make all runs of a seed."""
        first = self.run("nothing", seed, None)
        run = self.work / f"seed-{seed}" / "nothing"
        reviewed = review.look(run, max(counts), Stages(Console(stderr=True, quiet=True), lambda _: None))
        images = reviewed.album.images
        assert images.truth is not None
        drawn = np.random.default_rng(seed).permutation(len(images)).tolist()
        for way, order in (("review", reviewed.rows), ("random", drawn)):
            found[way].setdefault(0, []).append(first)
            for count in counts:
                known = corrections(images, order[:count], self.work / f"seed-{seed}" / f"{way}-{count}.csv")
                figures = self.run(f"{way}-{count}", seed, known)
                figures["wrong_a_photograph"] = wrong(reviewed, images.truth, order[:count])
                found[way].setdefault(count, []).append(figures)


def summarised(found: Figures) -> dict[str, Any]:
    """Give mean and deviation over the seeds beside the records."""
    rows = dict[str, Any]()
    for way, by_count in found.items():
        for count, records in by_count.items():
            told = {key: [record[key] for record in records] for key in MEASURED}
            means = {key: statistics.fmean(values) for key, values in told.items()}
            spread = {key: statistics.stdev(values) if len(values) > 1 else None for key, values in told.items()}
            rows.setdefault(way, {})[str(count)] = {"mean": means, "deviation": spread, "by_seed": records}
    return rows


def chart(rows: dict[str, Any], title: str) -> str:
    """Draw the test figures by the number of corrections; bars are the deviation over the seeds."""

    def line(by_count: dict[str, Any], key: str) -> Points:
        own = ((int(count), row["mean"][key], row["deviation"][key] or 0.0) for count, row in by_count.items())
        return [(count, 100 * mean, 100 * spread) for count, mean, spread in own]

    ticks = [(float(count), str(count)) for count in rows[WAYS[0]]]
    panels = [
        Panel(f"{title}: test {SHOWN[key]}, %, by corrections", [line(rows[way], key) for way in WAYS], ticks)
        for key in MEASURED
    ]
    return drawn(panels, ["chosen by review", "drawn at random"])


def main() -> None:
    """Make all runs, print them, and write figures and chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("work", "out", "root"):
        parser.add_argument(name, type=Path)
    parser.add_argument("clip")
    parser.add_argument("weights")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--corrections", default="50,100,200")
    parser.add_argument("--photographs", type=int, help="a trial on so many")
    parser.add_argument("--set", action="append", default=[], help="a knob for all runs")
    given = parser.parse_args()
    machine.keep_freed_memory()
    given.work.mkdir(parents=True, exist_ok=True)
    root = part_of(given.root, given.photographs, given.work / "photographs") if given.photographs else given.root
    bench = Bench(given.work, root, given.clip, given.weights, given.set)
    counts, found = [int(part) for part in given.corrections.split(",")], Figures({way: {} for way in WAYS})
    for seed in (int(part) for part in given.seeds.split(",")):
        bench.seed(seed, counts, found)
    rows = summarised(found)
    facts = {"set": given.root.name, "trial_on": given.photographs, "recipe": "folder, backbone frozen"}
    measure.save({"benchmark": "corrections chosen by review and at random", **facts, "ways": rows}, given.out)
    given.out.with_suffix(".svg").write_text(chart(rows, given.root.name), encoding="utf-8")
    print(bench.memory.told())


if __name__ == "__main__":
    main()
