"""The paper's table of components, on any data set: each part of the method left out in turn, over seeds."""

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccd_fast.config import Recipe
from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.progress import Stages
from ccd_fast.run_folder import RunFolder
from ccd_fast.train import train

ZERO_SHOT = "zero-shot teacher"
FULL = "update, debias and consistency"
NO_DEBIAS, NO_CONSISTENCY = "bias.debias=false", "consistency.mu=0"
COMPONENTS: dict[str, tuple[str, ...]] = {
    FULL: (),
    "no update": ("relabel.epochs=0", NO_DEBIAS, NO_CONSISTENCY),
    "update": (NO_DEBIAS, NO_CONSISTENCY),
    "update and debias": (NO_CONSISTENCY,),
    "update and consistency": (NO_DEBIAS,),
}
"""Each row of the table with what it changes in the recipe; the full method first, as it matters most."""
ORDER = (ZERO_SHOT, "no update", "update", "update and debias", "update and consistency", FULL)
LABEL_STAGES = ("first labels", "zero-shot on the test images")


@dataclass(frozen=True)
class Cell:
    """One row of the table for one seed.

    Attributes:
        row: a name of :data:`ORDER`.
        seed: of the run.
        test_map: mAP on the test images, of the student at the chosen epoch or of the zero-shot teacher; 0 … 1.
        label_map: mAP of the last pseudo-labels on the training images; None for the teacher.
        seconds: of all stages.
    """

    row: str
    seed: int
    test_map: float
    label_map: float | None
    seconds: float


def components(
    source: Callable[[int], Source],
    recipe: Callable[[int, Sequence[str]], Recipe],
    folder: Callable[[str, int], Path],
    stages: Stages,
    seeds: Sequence[int],
    rows: Sequence[str] = tuple(COMPONENTS),
    command: str = "",
) -> list[Cell]:
    """Run every row of the table for every seed; runs that are finished are kept, and unfinished ones go on.

    Args:
        source: the data set of a seed; its truth must be known.
        recipe: the recipe for a seed and overrides.
        folder: the run's folder for a row and a seed.
        stages: shows the progress.
        seeds: one column each.
        rows: names of :data:`COMPONENTS`.
        command: kept in each ``run.json``.

    Raises:
        UserError: the data set has no known labels to measure against, or a folder holds another run.
    """
    cells = []
    for seed in seeds:
        for number, row in enumerate(rows):
            stages.say(f"{row}, seed {seed}")
            run = RunFolder(folder(row, seed))
            done = run.summary()
            if done is None:
                begun = (run.path / "run.json").is_file()
                done = train(
                    source(seed),
                    recipe(seed, COMPONENTS[row]),
                    run,
                    Stages(stages.console, run.add_metrics),
                    resume=run.can_resume(),
                    overwrite=begun and not run.can_resume(),
                    command=command,
                )
            cells += _cells(row, seed, done, with_teacher=number == 0)
    return sorted(cells, key=lambda cell: (ORDER.index(cell.row), cell.seed))


def _cells(row: str, seed: int, summary: dict[str, Any], with_teacher: bool) -> list[Cell]:
    """Read the figures of a run out of its summary."""
    results, times = summary["results"], summary["stages"]
    if results.get("student, chosen epoch, test") is None:
        raise UserError("the table needs known labels of test images: --truth FILE with a split column")
    last = "pseudo-labels after the updates, train"
    labels = results.get(last, results.get("first pseudo-labels, train"))
    whole = sum(stage["seconds"] for stage in times.values())
    cells = [Cell(row, seed, results["student, chosen epoch, test"], labels, whole)]
    if with_teacher:
        seconds = sum(times[name]["seconds"] for name in LABEL_STAGES if name in times)
        cells.append(Cell(ZERO_SHOT, seed, results["zero-shot teacher, test"], None, seconds))
    return cells


def averaged(cells: Sequence[Cell]) -> list[tuple[str, str, str, str]]:
    """Give the table's rows as text: name, test mAP and label mAP in percent (± deviation over seeds), seconds."""
    table = []
    for row in dict.fromkeys(cell.row for cell in cells):
        own = [cell for cell in cells if cell.row == row]
        labels = [cell.label_map for cell in own if cell.label_map is not None]
        seconds = statistics.mean(cell.seconds for cell in own)
        table.append((row, _percent([c.test_map for c in own]), _percent(labels), f"{seconds:.0f}"))
    return table


def _percent(values: Sequence[float]) -> str:
    if not values:
        return "–"
    text = f"{100 * statistics.mean(values):.1f}"
    return text if len(values) == 1 else f"{text} ± {100 * statistics.stdev(values):.1f}"


def as_csv(cells: Sequence[Cell]) -> str:
    """Give every cell as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("row", "seed", "test_map", "label_map", "seconds"))
    for cell in cells:
        labels = "" if cell.label_map is None else f"{cell.label_map:.6f}"
        table.writerow((cell.row, cell.seed, f"{cell.test_map:.6f}", labels, f"{cell.seconds:.2f}"))
    return text.getvalue()


def as_markdown(cells: Sequence[Cell]) -> str:
    """Give the averaged table as Markdown."""
    lines = ["| | test mAP, % | pseudo-labels, train mAP, % | seconds |", "|---|---:|---:|---:|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in averaged(cells))]) + "\n"
