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


def chart(by_count: dict[str, Any]) -> str:
    """Draw test mAP by the number of photographs, which doubles from step to step, as SVG."""
    counts = sorted(map(int, by_count))
    lines = {
        "CCD, no label": ("#0b6e99", [by_count[str(n)]["rows"]["CCD"]["mean"] for n in counts]),
        "the same student, all labels": (
            "#c2571a",
            [by_count[str(n)]["rows"]["BCE, all labels"]["mean"] for n in counts],
        ),
        "CLIP alone": ("#777777", [by_count[str(n)]["teacher_test_map"] for n in counts]),
    }
    every = [100 * value for _, values in lines.values() for value in values]
    low, high, x0, x1, y0, y1 = min(every) - 1, max(every) + 1, 50, 400, 220, 30
    xs = [x0 + (x1 - x0) * place / (len(counts) - 1) for place in range(len(counts))]
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 260" font-family="sans-serif" font-size="12">']
    parts += ['<rect width="100%" height="100%" fill="#ffffff"/>', f'<text x="{x0}" y="16">test mAP, %</text>']
    for value in np.linspace(low, high, 5):
        y = y0 + (y1 - y0) * (value - low) / (high - low)
        parts.append(f'<line x1="{x0}" x2="{x1}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.0f}</text>')
    parts += [
        f'<text x="{x:.1f}" y="{y0 + 18}" text-anchor="middle">{n:,}</text>' for n, x in zip(counts, xs, strict=True)
    ]
    parts.append(f'<text x="{(x0 + x1) / 2}" y="{y0 + 36}" text-anchor="middle">photographs to learn from</text>')
    for name, (colour, values) in lines.items():
        ys = [y0 + (y1 - y0) * (100 * value - low) / (high - low) for value in values]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x1 + 10}" y="{ys[-1] + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


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
    out.with_suffix(".svg").write_text(chart(found), encoding="utf-8")


if __name__ == "__main__":
    main()
