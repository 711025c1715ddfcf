"""The paper's main line on one of its data sets: the full method as the paper ran it, beside what the paper reports."""

from collections.abc import Sequence
from dataclasses import dataclass

from ccd_fast.datasets import ImageSet
from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import RunFolder
from ccd_fast.studies import notes, paper, weights
from ccd_fast.studies.ablation import COLUMNS, PAPER, ZERO_SHOT, figures_of, zero_shot_figures
from ccd_fast.studies.cells import Cell, Plan
from ccd_fast.studies.notes import changed
from ccd_fast.studies.seed_table import Figures, SeedTable
from ccd_fast.studies.variants import FULL
from ccd_fast.studies.weights import Weights

VARIANTS = {FULL: ()}
"""What is trained: one run a seed."""

WITHOUT_VALUES = "The paper gives no knobs for this data set: those of VOC 2012 stand in."


@dataclass(frozen=True)
class Outlook:
    """What a reproduction would do.

    Attributes:
        steps: what would run, one line each.
        teacher: its weights.
        student: the weights that it starts from.
        differences: from what the paper did.
    """

    steps: list[str]
    teacher: Weights
    student: Weights
    differences: list[str]


def outlook(dataset: str, plan: Plan, seeds: Sequence[int], images: ImageSet, test: ImageSet) -> Outlook:
    """Say what would run, and whether the weights are at hand; nothing is downloaded.

    Raises:
        UserError: the teacher or the student is unknown.
    """
    steps = []
    for seed in seeds:
        recipe, folder = plan.recipe(seed, VARIANTS[FULL]), RunFolder(plan.folder(FULL, seed))
        if folder.summary() is not None:
            steps.append(f"seed {seed}: finished, {folder.path}")
            continue
        updates = sum(map(recipe.updates_labels, range(recipe.train.epochs)))
        begun = "go on with" if folder.can_resume() else "a run in"
        steps.append(
            f"seed {seed}: {begun} {folder.path}: the teacher on {len(images) + len(test):,} whole images; "
            f"{recipe.train.epochs} epochs over {len(images):,} images; label updates: {updates}; "
            f"{recipe.train.epochs} evaluations on {len(test):,} images"
        )
    recipe = plan.recipe(seeds[0], VARIANTS[FULL])
    student = weights.of_student(recipe.student.backbone, recipe.student.weights)
    fewer = [
        f"{len(split):,} of {split.official:,} {'training' if split.split == 'train' else 'test'} images"
        for split in (images, test)
        if split.official not in (None, len(split))
    ]
    differs = [*fewer, *differences(dataset, recipe), *notes.without_update(recipe)]
    return Outlook(steps, weights.of_teacher(recipe.teacher.model), student, differs)


def differences(dataset: str, recipe: Recipe) -> list[str]:
    """Name the knobs that differ from the paper's recipe for a data set; the seed is passed over."""
    return [f"{key}={value}" for key, value in changed(recipe, config.load(paper.RECIPES[dataset])).items()]


def table(dataset: str, cells: Sequence[Cell], said: Sequence[str]) -> SeedTable:
    """Make the table: the paper's lines for a data set, the teacher's and ours.

    Args:
        dataset: one of :data:`ccd_fast.studies.paper.RECIPES`.
        cells: finished trainings of :data:`VARIANTS`.
        said: what the cells are.
    """
    unknown: tuple[Figures, ...] = ((),) * len(COLUMNS)
    rows = [(name, (*unknown, (line[dataset],))) for name, line in paper.TEST_MAP.items() if name != paper.CCD]
    if cells:
        rows.append((ZERO_SHOT, (*zero_shot_figures(cells), ())))
    rows.append((paper.CCD, (*(figures_of(cells) if cells else unknown), (paper.TEST_MAP[paper.CCD][dataset],))))
    columns = (*COLUMNS, PAPER)
    told = [*said, *([] if dataset == "voc12" else [WITHOUT_VALUES]), paper.AS_PUBLISHED]
    return SeedTable("reproduce", f"{dataset}: the paper's line", columns, tuple(rows), tuple(told))
