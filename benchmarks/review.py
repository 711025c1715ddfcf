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
    """Draw the test figures by the number of corrections, as SVG; bars are the deviation over the seeds."""
    width, height, left, top = 320, 220, 44, 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {height + 30}" font-family="sans-serif">'
    ]
    parts.append('<rect width="100%" height="100%" fill="#ffffff"/>')
    for panel, key in enumerate(MEASURED):
        points = {
            way: [(int(n), 100 * row["mean"][key], 100 * (row["deviation"][key] or 0)) for n, row in by.items()]
            for way, by in rows.items()
        }
        every = [(n, at + sign * by) for of in points.values() for n, at, by in of for sign in (1, -1)]
        most, low, high = max(n for n, _ in every), min(v for _, v in every) - 0.5, max(v for _, v in every) + 0.5
        x0, x1, y0, y1 = panel * width + left, (panel + 1) * width - 16, height - 30, top
        place = [(n, x0 + (x1 - x0) * n / most) for n in sorted({n for n, _ in every})]
        parts.append(f'<text x="{x0}" y="18" font-size="12">{title}: test {SHOWN[key]}, %</text>')
        for value in np.linspace(low, high, 5):
            y = y0 + (y1 - y0) * (value - low) / (high - low)
            parts.append(f'<line x1="{x0}" x2="{x1}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
            parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" font-size="10" text-anchor="end">{value:.1f}</text>')
        for n, x in place:
            parts.append(f'<text x="{x:.1f}" y="{y0 + 16}" font-size="10" text-anchor="middle">{n}</text>')
        for way, colour in zip(WAYS, ("#0b6e99", "#c2571a"), strict=True):
            at = {n: x0 + (x1 - x0) * n / most for n, _, _ in points[way]}
            ys = [
                (n, *(y0 + (y1 - y0) * (v - low) / (high - low) for v in (m, m - d, m + d))) for n, m, d in points[way]
            ]
            line = " ".join(f"{at[n]:.1f},{y:.1f}" for n, y, _, _ in ys)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
            for n, _, least, greatest in ys:
                bar = f'x1="{at[n]:.1f}" x2="{at[n]:.1f}" y1="{least:.1f}" y2="{greatest:.1f}"'
                parts.append(f'<line {bar} stroke="{colour}"/>')
    legend = ("chosen by review", "drawn at random")
    for said, colour, x in zip(legend, ("#0b6e99", "#c2571a"), (left, left + 160), strict=True):
        parts.append(f'<text x="{x}" y="{height + 18}" font-size="12" fill="{colour}">{said}</text>')
    return "\n".join([*parts, "</svg>", ""])


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
