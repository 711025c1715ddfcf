"""How a student's gain over its teacher grows with the number of photographs it learns from.

``python benchmarks/photographs.py WORK OUT.json 0,1,2 200,400,800,1600 ROOT CLASSES.txt LABELS.csv TEACHER WEIGHTS``:
the first N training photographs of an order drawn once, so that each number holds those before it, and always the same
test photographs; the folder recipe with a frozen backbone, CCD without a label and BCE with all of them. Runs are kept
in WORK, and the same command goes on. A chart is written beside OUT, as ``.svg``.
"""

import csv
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from line_chart import Panel, drawn
from linked import some_of
from rich.console import Console

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.datasets import Source
from ccd_fast.recipes import config
from ccd_fast.runs.progress import Stages
from ccd_fast.studies import cells
from ccd_fast.studies.cells import Cell
from ccd_fast.studies.variants import FROZEN, slug
from ccd_fast.training.memory import Memory, half_of_what_is_free

ROWS = {"CCD": ("relabel.cache_grid=32",), "BCE, all labels": ("system.name=bce",)}


def first_of(root: Path, labels: Path, count: int, out: Path) -> Path:
    """Make a data set of the first training photographs and all test photographs; gives the table of its labels."""
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    training = [row for row in rows if row["split"] == "train"]
    if count > len(training):
        sys.exit(f"{labels}: {len(training)} training photographs, and {count} were asked for")
    order = np.random.default_rng(0).permutation(len(training))[:count]
    kept = [training[place] for place in sorted(order.tolist())]
    return some_of(root, [*kept, *(row for row in rows if row["split"] == "test")], out)


def figures_of(own: Sequence[Cell]) -> dict[str, Any]:
    """Gather what the seeds of one row gave."""
    maps = [cell.test.mean_average_precision for cell in own]
    return {
        "test_map_by_seed": maps,
        "mean": statistics.fmean(maps),
        "deviation": statistics.stdev(maps) if len(maps) > 1 else None,
        "labels_train_map": statistics.fmean(cell.labels.mean_average_precision for cell in own if cell.labels),
        "seconds": statistics.fmean(cell.seconds for cell in own),
    }


def chart(by_count: dict[str, Any]) -> str:
    """Draw test mAP by the number of photographs, one place on for each number."""
    counts = sorted(map(int, by_count))
    own = [by_count[str(count)] for count in counts]
    lines = [*([each["rows"][row]["mean"] for each in own] for row in ROWS), [each["teacher_test_map"] for each in own]]
    points = [[(float(place), 100 * value, 0.0) for place, value in enumerate(values)] for values in lines]
    ticks = [(float(place), f"{count:,}") for place, count in enumerate(counts)]
    panel = Panel("test mAP, %, by photographs to learn from", points, ticks)
    return drawn([panel], ["CCD, no label", "the same student, told all labels", "CLIP alone"])


@dataclass(frozen=True)
class Bench:
    """Trainings on the first so many photographs.

    Attributes:
        work: where runs are kept.
        root: of the photographs.
        classes: their names.
        labels: the table of their labels.
        knobs: for all runs.
        memory: that all runs share.
    """

    work: Path
    root: Path
    classes: Path
    labels: Path
    knobs: Sequence[str]
    memory: Memory

    def of(self, count: int, seeds: Sequence[int]) -> dict[str, Any]:
        """Train both rows for every seed."""
        own = self.work / str(count)
        photographs = own / "photographs"
        source = Source("folder", photographs, self.classes, first_of(self.root, self.labels, count, photographs))
        plan = cells.Plan(
            source=lambda _: source,
            recipe=lambda seed, more: config.load("folder", [*self.knobs, f"seed={seed}", *more]),
            folder=lambda row, seed: own / f"seed-{seed}" / slug(row),
            stages=Stages(Console(stderr=True)),
            memory=self.memory,
        )
        done = cells.run_cells(plan, ROWS, seeds)
        rows = {row: figures_of([cell for cell in done if cell.row == row]) for row in ROWS}
        return {"teacher_test_map": done[0].teacher.mean_average_precision, "rows": rows}


def main() -> None:
    """Train for each number of photographs, print a line for each, and write the figures."""
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    seeds, counts = ([int(part) for part in text.split(",")] for text in sys.argv[3:5])
    root, classes, labels = map(Path, sys.argv[5:8])
    named = [f"teacher.model='''{sys.argv[8]}'''", f"student.weights='''{sys.argv[9]}'''", *FROZEN]
    machine.keep_freed_memory()
    bench, found = Bench(work, root, classes, labels, named, Memory(half_of_what_is_free())), dict[str, Any]()
    for count in counts:
        found[str(count)] = own = bench.of(count, seeds)
        shown = ", ".join(f"{row} {100 * figures['mean']:.1f}" for row, figures in own["rows"].items())
        print(f"{count:6,} photographs: teacher {100 * own['teacher_test_map']:.1f}, {shown}", flush=True)
    facts = {"benchmark": "photographs", "data": [root.name, Path(sys.argv[9]).name], "seeds": seeds}
    measure.save({**facts, "by_photographs": found}, out)
    out.with_suffix(".svg").write_text(chart(found), encoding="utf-8")


if __name__ == "__main__":
    main()
