"""Studies: tables over many trainings, and over seeds; the paper's, on the paper's data sets and on any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ccd_fast.datasets import ImageSet, Source
from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.studies import ablation, cells, comparison, notes, reproduction
from ccd_fast.studies.cells import Cell, Plan
from ccd_fast.studies.reproduction import Outlook
from ccd_fast.studies.seed_table import SeedTable
from ccd_fast.studies.variants import IN_FULL, slug, variants
from ccd_fast.training import Memory
from ccd_fast.training.memory import half_of_what_is_free


@dataclass(frozen=True)
class Study:
    """What is studied, and where it is kept: tables in ``out``, runs in ``out/runs/seed-N/ROW``.

    Attributes:
        source: the data set; labels of its test images must be known.
        recipe: a built-in name or a file.
        overrides: on top of it, as :func:`ccd_fast.recipes.config.load` takes them; the seed is not among them.
        seeds: of the runs.
        out: folder of the study.
        stages: shows the progress.
        device: where the trainings run.
        command: kept in each ``run.json``.
        min_positives: classes with fewer positives among the test images are left out of all figures.
    """

    source: Source
    recipe: str
    overrides: Sequence[str]
    seeds: Sequence[int]
    out: Path
    stages: Stages
    device: str = "cpu"
    command: str = ""
    min_positives: int = 0

    def recipe_of(self, seed: int, more: Sequence[str] = ()) -> Recipe:
        """Give the recipe for a seed, with more overrides on top."""
        return config.load(self.recipe, [*self.overrides, f"seed={seed}", *more])

    def plan(self, memory: Memory | None = None) -> Plan:
        """Give what the trainings share; see :class:`ccd_fast.studies.cells.Plan` for the memory."""
        return Plan(
            source=lambda seed: self.source,  # noqa: ARG005 - the same for all
            recipe=self.recipe_of,
            folder=lambda row, seed: self.out / "runs" / f"seed-{seed}" / slug(row),
            stages=self.stages,
            device=self.device,
            command=self.command,
            shared=self.out / "runs" / ".shared",
            memory=memory,
            min_positives=self.min_positives,
        )

    def write(self, tables: Sequence[SeedTable], done: Sequence[Cell]) -> None:
        """Write tables, and each cell's figures."""
        self.out.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(self.out)
        for table in tables:
            table.write(folder)
        folder.write_text("cells.csv", cells.as_csv(done))


def ablate(study: Study, names: Sequence[str], frozen: bool = False, in_full: int = 1) -> list[SeedTable]:
    """Make the paper's tables of ablations; they are written after each training, and finished ones are kept.

    Args:
        study: of any data set.
        names: "components", "classes" or "views".
        frozen: keep the student's backbone as it is; the full method is then trained in full too, last of all.
        in_full: seeds, from the first on, for which it is.

    Raises:
        UserError: something that was asked for cannot be had, found before any training begins.
    """
    images, test = study.source.load("train"), study.source.load("test")
    full = study.recipe_of(study.seeds[0])
    has_boxes = study.source.boxes is not None or images.boxes is not None
    rows = variants(full, names, has_boxes, frozen)
    told = notes.notes(full, study.recipe, images, test, study.seeds, study.min_positives)
    told += notes.without_update(full)
    told += [notes.frozen(IN_FULL)] if frozen else notes.of_few(full, len(images))

    def tables(done: Sequence[Cell]) -> list[SeedTable]:
        return ablation.make(names, done, study.source.dataset, told, has_boxes)

    plan = study.plan(Memory(half_of_what_is_free()) if frozen else None)
    frozen_rows = {row: own for row, own in rows.items() if row != IN_FULL}
    full_rows, full_seeds = ({IN_FULL: rows[IN_FULL]}, study.seeds[:in_full]) if frozen else ({}, ())
    cells.check(plan, full_rows, full_seeds)
    first: list[Cell] = []

    def keep(done: Sequence[Cell]) -> None:
        study.write(tables([*first, *done]), [*first, *done])

    first = cells.run_cells(plan, frozen_rows, study.seeds, keep)
    done = [*first, *(cells.run_cells(plan, full_rows, full_seeds, keep) if frozen else [])]
    return tables(done)


def compare(study: Study, names: Sequence[str], frozen: bool = False) -> SeedTable:
    """Make the paper's main table: every system in the common trainer, for every seed; finished trainings are kept.

    Args:
        study: of any data set; the labels of its training images must be known where a system learns from them.
        names: of :data:`ccd_fast.studies.comparison.ROWS`.
        frozen: keep the student's backbone as it is.

    Raises:
        UserError: something that was asked for cannot be had, found before any training begins.
    """
    full = study.recipe_of(study.seeds[0])
    rows = comparison.variants(full, names, frozen)
    images, test = study.source.load("train"), study.source.load("test")
    comparison.refuse_without_labels(names, study.source, images)
    told = notes.notes(full, study.recipe, images, test, study.seeds, study.min_positives, comparison.TOLD_OF_LABELS)
    told += comparison.notes(full, names, frozen)
    told += [] if frozen else notes.of_few(full, len(images))

    def table(done: Sequence[Cell]) -> SeedTable:
        return comparison.table(done, study.source.dataset, told)

    memory = Memory(half_of_what_is_free()) if frozen else None
    done = cells.run_cells(study.plan(memory), rows, study.seeds, lambda done: study.write([table(done)], done))
    if memory is not None and memory.asked:
        study.stages.say(memory.told())
    return table(done)


def reproduce(study: Study) -> SeedTable:
    """Make the paper's line for one of its data sets, which the study is of.

    Raises:
        UserError: something that was asked for cannot be had, found before any training begins.
    """
    dataset, full = study.source.dataset, study.recipe_of(study.seeds[0])
    images, test = study.source.load("train"), study.source.load("test")
    told = notes.notes(full, study.recipe, images, test, study.seeds, study.min_positives)
    told += notes.without_update(full)

    def table(done: Sequence[Cell]) -> SeedTable:
        return reproduction.table(dataset, done, told)

    done = cells.run_cells(
        study.plan(), reproduction.VARIANTS, study.seeds, lambda done: study.write([table(done)], done)
    )
    return table(done)


def foresee(study: Study) -> tuple[Outlook, ImageSet, ImageSet]:
    """Say what :func:`reproduce` would do, and on which images; nothing is run, written or downloaded.

    Raises:
        UserError: what it would refuse.
    """
    plan, dataset = study.plan(), study.source.dataset
    cells.check(plan, reproduction.VARIANTS, study.seeds)
    images, test = study.source.load("train"), study.source.load("test")
    return reproduction.outlook(dataset, plan, study.seeds, images, test), images, test
