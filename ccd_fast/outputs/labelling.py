"""Labels without a training: the teacher's own, or those that it gives where a trained student sends it."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import machine
from ccd_fast.datasets import ImageSet, everything
from ccd_fast.datasets.folder import given_class_names, read_class_names
from ccd_fast.datasets.tables import read_table
from ccd_fast.errors import UserError, nearest
from ccd_fast.labels import PseudoLabels, debiased_labels
from ccd_fast.labels.bias import UNNAMED
from ccd_fast.labels.limits import by_class
from ccd_fast.labels.neighbours import draw_together
from ccd_fast.outputs.guide import open_guide
from ccd_fast.prompts import names_of
from ccd_fast.recipes import Recipe
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.runs.folder import OF_LABELS
from ccd_fast.teacher import twins_warning
from ccd_fast.text import photographs
from ccd_fast.training.passes import Passes, WholeImages, least_seconds, open_passes


@dataclass(frozen=True, repr=False)
class Labelled:
    """Photographs with a label for every class; ``labelled["a.jpg"]`` gives those of one, likeliest first.

    Attributes:
        images: N photographs.
        table: (N, C) float32 in [0, 1]; zero in unreadable rows.
        readable: (N,) bool.
        unreadable: row to reason.
        by: who gave them: "teacher ViT-B-32/…".
        limits: (C,) float32, from which number on a photograph has a class, where nobody says otherwise.
    """

    images: ImageSet
    table: torch.Tensor
    readable: torch.Tensor
    unreadable: dict[int, str]
    by: str
    limits: NDArray[np.float32]

    def __repr__(self) -> str:
        """Say in a line what this is."""
        bad = f", {len(self.unreadable):,} unreadable" if self.unreadable else ""
        return (
            f"Labelled({len(self.images):,} photographs{bad}, {len(self.images.class_names):,} classes, by {self.by})"
        )

    def __getitem__(self, path: str) -> dict[str, float]:
        """Give the labels of a photograph that reach their class's limit, likeliest first.

        Raises:
            KeyError: there is no such path among :attr:`images`.
        """
        if path not in self.images.paths:
            raise KeyError(path)
        row = self.table[self.images.paths.index(path)]
        order = row.argsort(descending=True, stable=True).tolist()
        return {self.images.class_names[c]: round(float(row[c]), 3) for c in order if row[c] >= self.limits[c]}


def class_names(classes: Path | None, run: Path | None) -> tuple[str, ...]:
    """Give the names that labels will have: of a class file, or of a run.

    Raises:
        UserError: it cannot be read, or is not a run.
    """
    if run is not None:
        return tuple(RunFolder(run).read_json("run.json")["class_names"])
    assert classes is not None
    return tuple(names_of(prompt_name)[0] for prompt_name in read_class_names(classes))


def by_teacher(
    root: Path,
    classes: str | PathLike[str] | Sequence[str],
    recipe: Recipe,
    stages: Stages,
    device: str = "cpu",
    dataset: str = "folder",
) -> Labelled:
    """Label photographs by the teacher's debiased scores of the whole images, and of a grid's cells (section 2).

    Args:
        root: of the data set.
        classes: class names, or a text file with one a line.
        recipe: the teacher's knobs, and those of the labels and the bias.
        stages: shows the progress.
        device: where the teacher runs.
        dataset: a name of :data:`ccd_fast.datasets.DATASETS` whose classes the user brings.

    Raises:
        UserError: something that was asked for cannot be had, or no photograph can be read.
    """
    stages.on_gpu = machine.check_device(device).type == "cuda"
    names = read_class_names(Path(classes)) if isinstance(classes, str | PathLike) else given_class_names(classes)
    images = everything(dataset, root, names)
    passes = open_passes(recipe.for_first_labels(), images, None, device, stages.say)
    if stages.verbose:
        stages.least = least_seconds(passes, len(images), recipe.student, device)
    labels, unreadable = first_labels(passes, images, recipe, stages, None)
    return _labelled(images, labels, unreadable, recipe, None)


def _labelled(
    images: ImageSet,
    labels: PseudoLabels,
    unreadable: dict[int, str],
    recipe: Recipe,
    kept: Mapping[str, float] | None,
) -> Labelled:
    """Give labels with the recipe's limit, that of the run, or those which these photographs suggest."""
    own = recipe.evaluate.threshold
    if own != "auto":
        limits = torch.full((len(images.class_names),), own)
    elif kept is not None:
        limits = torch.tensor([kept[name] for name in images.class_names])
    else:
        limits = by_class(labels.table[labels.readable], temperature=recipe.teacher.temperature)
    by = f"teacher {recipe.teacher.model}"
    return Labelled(images, labels.table, labels.readable, unreadable, by, limits.numpy())


def by_run(root: Path, run: Path, stages: Stages, device: str = "cpu", dataset: str = "folder") -> Labelled:
    """Label photographs with a trained run: its teacher looks again where its student points (section 4).

    Classes, teacher, recipe and bias are the run's.

    Args:
        root: of the data set.
        run: folder of a run that has ended.
        stages: shows the progress.
        device: where the teacher runs.
        dataset: as for :func:`by_teacher`.

    Raises:
        UserError: the folder is not a run that has ended, or what it was made with cannot be had.
        RunError: the run never updated its labels, so that nothing says where to look.
    """
    from ccd_fast.outputs import trained

    stages.on_gpu = machine.check_device(device).type == "cuda"
    model = trained.load(run)
    described = RunFolder(run).read_json("run.json")
    images = everything(dataset, root, described.get("prompt_names", described["class_names"]))
    guide = open_guide(model, run, images, stages, device)
    recipe = model.recipe
    stages.least = least_seconds(guide.passes, len(images), recipe.student, device, model.student)
    labels, unreadable = first_labels(guide.passes, images, recipe, stages, guide.bias)
    told = guide.pin(images, labels)
    if told:
        stages.say(f"what the run was told of {photographs(told)} stays as it was told")
    drawn = guide.draw_together(images, labels, stages)
    unreadable |= guide.update(images, labels, stages)
    if drawn:
        draw_together(labels)
    kept = trained.kept_thresholds(run, "best", OF_LABELS) if drawn else guide.limits_alone
    return _labelled(images, labels, unreadable, recipe, kept)


def first_labels(
    passes: Passes, images: ImageSet, recipe: Recipe, stages: Stages, bias: torch.Tensor | None
) -> tuple[PseudoLabels, dict[int, str]]:
    """Score whole images, and a grid's cells where the recipe asks for it; the bias is theirs, or the given one."""
    warning = twins_warning(passes.teacher.classes, passes.teacher.scale, images.class_names)
    if warning:
        stages.say(warning)
    gathered, unreadable = whole_images(passes, images, stages)
    if len(unreadable) == len(images):
        raise UserError(f"{images.root}: none of the {len(images)} images can be read; the first: {unreadable[0]}")
    if bias is None:
        labels = gathered.finish(recipe.labels.floor, recipe.bias.min_count, recipe.bias.debias)
        if recipe.bias.debias and not labels.bias_counts.any():
            stages.say(UNNAMED)
    else:
        labels = with_bias(gathered.scores, gathered.readable, bias, recipe.labels.floor)
    return labels, unreadable | cells(passes, images, recipe, labels, stages)


def whole_images(passes: Passes, images: ImageSet, stages: Stages) -> tuple[WholeImages, dict[int, str]]:
    """Score whole images; gives the unreadable rows too, with the reason (section 1)."""
    with stages.stage("whole images", len(images)) as stage:
        return passes.whole_images(images, stage)


def with_bias(scores: torch.Tensor, readable: torch.Tensor, bias: torch.Tensor, floor: float) -> PseudoLabels:
    """Give the first labels of whole images by a bias that is known (section 2).

    Args:
        scores: p, (N, C) float32.
        readable: (N,) bool.
        bias: b, (C,) float32.
        floor: epsilon.
    """
    table = debiased_labels(scores, bias, floor)
    table[~readable] = 0
    nothing = torch.zeros(len(bias), dtype=torch.int64)
    return PseudoLabels(table, bias, nothing, torch.zeros_like(readable), readable)


def cells(passes: Passes, images: ImageSet, recipe: Recipe, labels: PseudoLabels, stages: Stages) -> dict[int, str]:
    """Look at the cells of a grid too, where the recipe asks for it."""
    if not recipe.labels.grids:
        return {}
    with stages.stage("cells", len(images)) as stage:
        return passes.cells(images, labels, stage)


def chosen(labelled: Labelled, limits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Decide which classes each photograph has: labels at or above the limit of their class, (N, C) bool."""
    decided: NDArray[np.bool_] = (labelled.table.numpy() >= limits) & labelled.readable.numpy()[:, None]
    return decided


def limit_for(labelled: Labelled, labels_per_image: float) -> float:
    """Give the one limit for all classes that leaves so many labels a photograph on average; more where some are equal.

    Raises:
        UserError: there are not so many classes.
    """
    table = labelled.table[labelled.readable]
    wanted = round(labels_per_image * len(table))
    if wanted < 1:
        raise UserError(f"--labels-per-image {labels_per_image:g}: no label at all for {len(table)} photographs")
    if wanted > table.numel():
        raise UserError(f"--labels-per-image {labels_per_image:g}: there are {table.shape[1]} classes only")
    return float(torch.topk(table.flatten(), wanted).values[-1])


def read_limits(file: Path, class_names: tuple[str, ...]) -> NDArray[np.float32]:
    """Read limits by class from a CSV with the columns ``class`` and ``threshold``; others are NaN.

    Raises:
        UserError: the file cannot be read, names an unknown class or one twice, or a limit is not in 0 … 1.
    """
    limits = np.full(len(class_names), np.nan, dtype=np.float32)
    seen: set[str] = set()
    for row in read_table(file, "--thresholds", ("class", "threshold")).rows:
        name = unicodedata.normalize("NFC", row.text("class"))
        if name not in class_names:
            raise UserError(f"{row.where}: unknown class {name!r}" + nearest(name, class_names))
        if name in seen:
            raise UserError(f"{row.where}: {name!r} stands twice")
        seen.add(name)
        value = row.number("threshold")
        if not 0 <= value <= 1:
            raise UserError(f"{row.where}: the threshold {row.text('threshold')!r} must be a number in 0 ... 1")
        limits[class_names.index(name)] = value
    return limits
