"""The paper's tables, made of finished trainings; beside them the paper's own figures, where it has the data set."""

import math
from collections.abc import Iterable, Sequence

from ccd_fast.evaluation import Metrics
from ccd_fast.labels.view_choice import NEED_BOXES
from ccd_fast.studies import paper, sureness
from ccd_fast.studies.cells import Cell
from ccd_fast.studies.seed_table import Column, Figures, SeedTable
from ccd_fast.studies.variants import COMPONENTS, FULL, IN_FULL, VIEWS, WITHOUT_DEBIAS
from ccd_fast.training import CHOSEN, TEACHER

ZERO_SHOT = "zero-shot teacher"
MEAN = "mean over classes (mAP)"
IN_FULL_VIEWS = f"{VIEWS['cam']}, trained in full"
COLUMNS = (
    Column("test mAP, %"),
    Column("95% interval", ends="interval"),
    Column("above the teacher", ends="difference"),
    Column("CF1, %"),
    Column("OF1, %"),
    Column("pseudo-labels, train mAP, %"),
    Column("first head, held out, train mAP, %"),
    Column("seconds", digits=0),
)
"""What is told of a row in the tables of components and views."""
PAPER = Column("paper, test mAP, %", published=True)


def make(
    names: Iterable[str], cells: Sequence[Cell], dataset: str, notes: Sequence[str], has_boxes: bool
) -> list[SeedTable]:
    """Make tables of the cells that there are; rows without any are left out.

    Args:
        names: "components", "classes" or "views".
        cells: finished trainings.
        dataset: the paper's figures stand beside if it is one of the paper's.
        notes: what the cells are, below each table.
        has_boxes: whether boxes of the objects are known.
    """
    tables = {
        "components": lambda: components(cells, dataset, notes),
        "classes": lambda: classes(cells, dataset, notes),
        "views": lambda: views(cells, notes, has_boxes),
    }
    return [tables[name]() for name in names]


def components(cells: Sequence[Cell], dataset: str = "", notes: Sequence[str] = ()) -> SeedTable:
    """Make the table of components: each part of the method left out in turn."""
    known = {row: figures[dataset] for row, figures in paper.COMPONENTS.items() if dataset in figures}
    lines: list[tuple[str, tuple[Figures, ...]]] = []
    for row in (ZERO_SHOT, *(name for name in COMPONENTS if name != FULL), FULL, IN_FULL):
        own = of_row(cells, FULL if row == ZERO_SHOT else row)
        published = known.get(FULL if row == IN_FULL else row)
        quoted: list[Figures] = [() if published is None else (published,)] if known else []
        if own:
            lines.append((row, (*(zero_shot_figures(own) if row == ZERO_SHOT else figures_of(own)), *quoted)))
    columns = (*COLUMNS, *([PAPER] if known else []))
    return SeedTable("components", "Components of the method", columns, tuple(lines), _told(notes, bool(known)))


def classes(cells: Sequence[Cell], dataset: str = "", notes: Sequence[str] = ()) -> SeedTable:
    """Make the table of debiasing: average precision by class, of the full method without and with it."""
    known = paper.DEBIAS.get(dataset, {})
    in_full = bool(of_row(cells, IN_FULL))
    columns = [Column("without debias, AP, %"), Column("with, AP, %"), Column("with − without")]
    columns += [Column("with, trained in full, AP, %")] if in_full else []
    columns += [Column("paper, without, %", published=True), Column("paper, with, %", published=True)] if known else []
    rows = []
    for name in dict.fromkeys([*(n for cell in of_row(cells, FULL) for n in cell.test.average_precision), MEAN]):
        without, with_it = (_by_seed(cells, row, name) for row in (WITHOUT_DEBIAS, FULL))
        gains = tuple(with_it[seed] - without[seed] for seed in with_it if seed in without)
        figures: list[Figures] = [tuple(without.values()), tuple(with_it.values()), gains]
        figures += [tuple(_by_seed(cells, IN_FULL, name).values())] if in_full else []
        figures += [((value,) if name in known else ()) for value in known.get(name, (0.0, 0.0))] if known else []
        rows.append((name, tuple(figures)))
    told = f"Without debias is the row {WITHOUT_DEBIAS!r} of the components, with is {FULL!r}; differences are by seed."
    return SeedTable("classes", "Debiasing by class", tuple(columns), tuple(rows), _told((*notes, told), bool(known)))


def views(cells: Sequence[Cell], notes: Sequence[str] = (), has_boxes: bool = True) -> SeedTable:
    """Make the table of the toy experiment: where the teacher looks again."""
    rows = []
    others = [(name, name) for choice, name in VIEWS.items() if choice != "cam"]
    for row, name in [*others, (FULL, VIEWS["cam"]), (IN_FULL, IN_FULL_VIEWS)]:
        own = of_row(cells, row)
        if own:
            crops = tuple(cell.crops_per_image for cell in own if cell.crops_per_image is not None)
            rows.append((name, (*figures_of(own), crops)))
    told = [f"The full method in every row, but for where the teacher looks; {VIEWS['cam']!r} is the method itself."]
    if has_boxes:
        told.append("Objects' boxes are the data set's own; an image without any keeps its labels.")
    else:
        lacking = " and ".join(repr(VIEWS[choice]) for choice in NEED_BOXES)
        told.append(f"Left out, as no boxes of the objects are known: {lacking}.")
    columns = (*COLUMNS, Column("crops an image"))
    return SeedTable("views", "Where the teacher looks again", columns, tuple(rows), (*notes, *told))


def of_row(cells: Sequence[Cell], row: str) -> list[Cell]:
    """Give the cells of a row."""
    return [cell for cell in cells if cell.row == row]


def percent(shares: Iterable[float]) -> Figures:
    """Give shares in percent; NaN, a mean over nothing, is left out."""
    return tuple(100 * share for share in shares if not math.isnan(share))


def zero_shot_figures(cells: Sequence[Cell]) -> tuple[Figures, ...]:
    """Give the figures of :data:`COLUMNS` of the teacher that labelled."""
    sure = interval_of(cells, f"{TEACHER}, test")[1:]
    return _columns([cell.teacher for cell in cells], sure, (), [], [], [cell.teacher_seconds for cell in cells])


def figures_of(cells: Sequence[Cell]) -> tuple[Figures, ...]:
    """Give the figures of :data:`COLUMNS` of the students of a row."""
    labels = [cell.labels for cell in cells if cell.labels is not None]
    heads = [cell.head for cell in cells if cell.head is not None]
    sure, above = interval_of(cells, CHOSEN)[1:], interval_of(cells, CHOSEN, f"{TEACHER}, test")
    return _columns([cell.test for cell in cells], sure, above, labels, heads, [cell.seconds for cell in cells])


def interval_of(cells: Sequence[Cell], name: str, less: str = "") -> Figures:
    """Give the mean of a row, or how much it is above another figure of the same runs, and the ends of its interval.

    Args:
        cells: of the row.
        name: what was measured, by its name in the summary.
        less: what to compare with, likewise; nothing for the figure itself.

    Returns:
        In percent; nothing where a run has kept no scores.
    """
    runs = [cell.folder for cell in cells]
    found = sureness.interval(runs, name, runs if less else [], less, cells[0].min_positives)
    return () if found is None else percent((found.value, found.low, found.high))


def _columns(
    test: Sequence[Metrics],
    sure: Figures,
    above: Figures,
    labels: Sequence[Metrics],
    heads: Sequence[Metrics],
    seconds: Sequence[float],
) -> tuple[Figures, ...]:
    return (
        percent(metrics.mean_average_precision for metrics in test),
        sure,
        above,
        percent(metrics.class_f1 for metrics in test),
        percent(metrics.overall_f1 for metrics in test),
        percent(metrics.mean_average_precision for metrics in labels),
        percent(metrics.mean_average_precision for metrics in heads),
        tuple(seconds),
    )


def _by_seed(cells: Sequence[Cell], row: str, name: str) -> dict[int, float]:
    """Give the average precision of a class, or the :data:`MEAN`, in percent by seed."""
    found = {cell.seed: cell.test for cell in of_row(cells, row)}
    values = {seed: {**m.average_precision, MEAN: m.mean_average_precision} for seed, m in found.items()}
    return {seed: 100 * own[name] for seed, own in values.items() if name in own}


def _told(notes: Sequence[str], known: bool) -> tuple[str, ...]:
    return (*notes, *([paper.AS_PUBLISHED] if known else []))
