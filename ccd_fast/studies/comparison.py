"""The paper's main table: every system in one trainer, by what each is told of the labels."""

from collections.abc import Collection, Sequence

from ccd_fast.datasets import ImageSet, Source
from ccd_fast.errors import UserError
from ccd_fast.recipes import Recipe
from ccd_fast.studies import paper
from ccd_fast.studies.ablation import PAPER, ZERO_SHOT, interval_of, of_row, percent
from ccd_fast.studies.cells import Cell
from ccd_fast.studies.notes import without_update
from ccd_fast.studies.seed_table import Column, Figures, SeedTable
from ccd_fast.studies.variants import FROZEN
from ccd_fast.systems import SYSTEMS
from ccd_fast.training import CHOSEN, TEACHER

GROUPS = ("all labels", "part of the labels", "one positive an image", "annotation-free")
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    name: (described.title, described.group, (f"system.name={name}",)) for name, described in SYSTEMS.items()
} | {
    f"ccd-{labels}": (title, group, ("system.name=ccd", f"system.labels={labels}"))
    for labels, title, group in (
        ("partial", "CCD, with part of the labels", "part of the labels"),
        ("one-positive", "CCD, with one positive an image", "one positive an image"),
    )
}
"""Each row: its title, its group, and what it changes in the recipe."""
COLUMNS = (
    Column("test mAP, %"),
    Column("95% interval", ends="interval"),
    Column("above the teacher", ends="difference"),
    Column("at the last epoch"),
    Column("at the best epoch by the test labels"),
    Column("labels learned from, train mAP, %"),
    Column("seconds an epoch"),
    Column("seconds", digits=0),
)
OF_CCD = ("ccd", "ccd-partial", "ccd-one-positive")
GRID = 32
"""Pixels of the grid that boxes grow to in a frozen table, where the recipe has none: rows, seeds and epochs then share
most of their crops, which are all that is left to compute. A map of the usual backbones has cells of as many."""
TOLD_OF_LABELS = "whose labels measure what is learned from, and are learned from by the groups that say so"


def variants(recipe: Recipe, names: Collection[str], frozen: bool = False) -> dict[str, tuple[str, ...]]:
    """List the trainings: CCD's own recipe, and each other system in the same trainer.

    Args:
        recipe: of CCD.
        names: of :data:`ROWS`.
        frozen: keep the backbone as it is in all of them.

    Raises:
        UserError: the recipe is of another system already.
    """
    if not recipe.is_ccd or recipe.system.labels != "own":
        raise UserError("the table sets system.name and system.labels itself: leave both as the recipe has them")
    if frozen and recipe.train.backbone_learning_rate == 0:
        raise UserError("--frozen: train.backbone_learning_rate=0 freezes the backbone already; leave one out")
    more = FROZEN if frozen else ()
    of_ccd = (*more, f"relabel.cache_grid={GRID}") if frozen and _grows_boxes(recipe) else more
    return {
        title: (*own, *(of_ccd if name in OF_CCD else more)) for name, (title, _, own) in ROWS.items() if name in names
    }


def _grows_boxes(recipe: Recipe) -> bool:
    """Tell whether a frozen table has boxes grow to its own grid: where the recipe has them anywhere."""
    return recipe.views.choice == "cam" and not recipe.relabel.cache_grid


def refuse_without_labels(names: Collection[str], source: Source, images: ImageSet) -> None:
    """Refuse rows that learn from labels, where there are none of the training images.

    Raises:
        UserError: it names the rows that can be had.
    """
    learn = [name for name in ROWS if name in names and ROWS[name][1] != "annotation-free"]
    if learn and (images.truth is None or not images.truth[images.known].any()):
        free = [name for name in names if name not in learn] or [n for n in ROWS if ROWS[n][1] == "annotation-free"]
        one = len(learn) == 1
        raise UserError(
            f"{source.root}: {', '.join(learn)} {'learns' if one else 'learn'} from known labels of the training "
            "images, and there are none: give --truth FILE with rows of the split train; or take "
            f"--systems {','.join(free)}, for which labels of the test images do"
        )


def table(cells: Sequence[Cell], dataset: str = "", told: Sequence[str] = ()) -> SeedTable:
    """Make the table of the cells that there are; the paper's figures stand beside where the data set is its own.

    Args:
        cells: finished trainings of :func:`variants`.
        dataset: one of :data:`ccd_fast.studies.paper.RECIPES`, or another.
        told: what the cells are.
    """
    known = dataset in paper.RECIPES
    rows: list[tuple[str, tuple[Figures, ...]]] = []
    groups: list[str] = []
    for group in GROUPS:
        if group == "annotation-free" and cells:
            one = of_row(cells, cells[0].row)  # the same teacher labelled for all
            teacher = percent(cell.teacher.mean_average_precision for cell in one)
            seconds = tuple(cell.teacher_seconds for cell in one)
            sure = interval_of(one, f"{TEACHER}, test")[1:]
            rows.append((ZERO_SHOT, (teacher, sure, (), (), (), (), (), seconds, *([()] if known else []))))
            groups.append(group)
        for name, (title, of_group, _) in ROWS.items():
            own = of_row(cells, title) if of_group == group else []
            if own:
                figure = paper.SYSTEMS.get(name, {}).get(dataset)
                quoted: list[Figures] = [() if figure is None else (figure,)] if known else []
                rows.append((title, (*_figures(own), *quoted)))
                groups.append(group)
    columns = (*COLUMNS, *([PAPER] if known else []))
    notes = (*told, *([paper.AS_PUBLISHED] if known else []))
    return SeedTable("compare", "Every system in one trainer", columns, tuple(rows), notes, tuple(groups))


def _figures(own: Sequence[Cell]) -> tuple[Figures, ...]:
    labels = [cell.labels for cell in own if cell.labels is not None]
    return (
        percent(cell.test.mean_average_precision for cell in own),
        interval_of(own, CHOSEN)[1:],
        interval_of(own, CHOSEN, f"{TEACHER}, test"),
        percent(cell.last.mean_average_precision for cell in own),
        percent(cell.oracle.mean_average_precision for cell in own),
        percent(metrics.mean_average_precision for metrics in labels),
        tuple(cell.epoch_seconds for cell in own),
        tuple(cell.seconds for cell in own),
    )


def notes(recipe: Recipe, names: Collection[str], frozen: bool) -> list[str]:
    """Say what the groups were told, and what of a row is not as published.

    Args:
        recipe: of CCD.
        names: of the rows.
        frozen: whether the backbone was kept as it is.
    """
    knobs, told = recipe.system, set(names)
    found = [
        "Every system has the same student, views, epochs, batch and rates, CCD's own. The paper's figures are of each "
        "system's own protocol.",
    ]
    if recipe.teacher.temperature != 1:
        found.append("teacher.temperature is CCD's: the others are told CLIP's own scores.")
    if told & set(OF_CCD):
        found += without_update(recipe)
    if any(ROWS[name][1] == "part of the labels" for name in told):
        found.append(f"Part of the labels: {100 * knobs.share:g} % of the entries, drawn alike for all rows and seeds.")
    for of, text in _of_rows(recipe).items():
        found += [text] if told & set(of.split()) else []
    if frozen:
        found.append(
            "The student's backbone is frozen, weights and BatchNorm statistics, in every row. Rows remember each "
            "other's features, so that their seconds depend on their order."
        )
        if told & set(OF_CCD) and _grows_boxes(recipe):
            found.append(
                f"CCD's boxes grow to a grid of {GRID} pixels of the view in this frozen table, so that its rows share "
                "crops; relabel.cache_grid=1 leaves the boxes as they are."
            )
    return found


def _of_rows(recipe: Recipe) -> dict[str, str]:
    """Give what is to be said of some rows, by their names."""
    k = recipe.system.positives
    spread = "as many as the teacher's scores are spread over" if k == "teacher" else f"{k:g}"
    return {
        "an an-ls wan epr role": "Annotation-free rows but CDUL and CCD: the teacher's first class is the one positive "
        "of an image; how the paper made them so is not known.",
        "epr role g2netpl": f"Classes of an image on average (k of EPR, ROLE, G2NetPL): {spread}.",
        "sarb sst": "SARB, SST: the teacher's text embeddings in place of GloVe vectors of the class names; SST's head "
        "has an output for each pair of classes, which costs what its seconds say.",
        "asl": "ASL: the mean over the known entries.",
        "llr": f"LL-R: {100 * recipe.system.rejection:g} % more of the losses are rejected each epoch.",
        "g2netpl": "G2NetPL (reconstruction): made from its abstract, as nothing else could be had; not its figures.",
        "cdul": "CDUL: width, step and schedule of its label updates are this project's.",
    }
