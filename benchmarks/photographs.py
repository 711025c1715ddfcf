"""How a student's gain over its teacher grows with the number of photographs it learns from.

``python benchmarks/photographs.py WORK OUT.json 0,1,2 200,400,800,1600 ROOT CLASSES.txt LABELS.csv TEACHER WEIGHTS``:
the first N training photographs of an order drawn once, so that each number holds those before it, and always the same
test photographs; the folder recipe with a frozen backbone, CCD without a label and BCE with all of them. Runs are kept
in WORK, and the same command goes on.
"""

import csv
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
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


def main() -> None:
    """Train for each number of photographs, print a line for each, and write the figures."""
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    seeds, counts = ([int(part) for part in text.split(",")] for text in sys.argv[3:5])
    root, classes, labels = map(Path, sys.argv[5:8])
    named = [f"teacher.model='''{sys.argv[8]}'''", f"student.weights='''{sys.argv[9]}'''", *FROZEN]
    machine.keep_freed_memory()
    stages, memory = Stages(Console(stderr=True)), Memory(half_of_what_is_free())
    found: dict[str, Any] = {}
    for count in counts:
        own = work / str(count)
        source = Source("folder", own / "photographs", classes, first_of(root, labels, count, own / "photographs"))
        plan = cells.Plan(
            source=lambda seed, source=source: source,  # type: ignore[misc]  # noqa: ARG005
            recipe=lambda seed, more: config.load("folder", [*named, f"seed={seed}", *more]),
            folder=lambda row, seed, own=own: own / f"seed-{seed}" / slug(row),  # type: ignore[misc]
            stages=stages,
            memory=memory,
        )
        done = cells.run_cells(plan, ROWS, seeds)
        teacher = done[0].teacher.mean_average_precision
        rows = {row: figures_of([cell for cell in done if cell.row == row]) for row in ROWS}
        found[str(count)] = {"teacher_test_map": teacher, "rows": rows}
        shown = ", ".join(f"{row} {100 * figures['mean']:.1f}" for row, figures in rows.items())
        print(f"{count:6,} photographs: teacher {100 * teacher:.1f}, {shown}", flush=True)
    facts = {"benchmark": "photographs", "data": [root.name, Path(sys.argv[9]).name], "seeds": seeds}
    measure.save({**facts, "by_photographs": found}, out)


if __name__ == "__main__":
    main()
