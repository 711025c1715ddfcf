"""What the cells of a table are: the sentences below it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.evaluation.comparison import kept_classes, on_rare_classes
from ccd_fast.recipes import Recipe, config
from ccd_fast.studies import sureness

TOLD = ("teacher.model", "teacher.image_size", "student.backbone", "student.weights", "student.image_size")
"""Knobs that stand in the notes whatever they are."""


ONLY_MEASURED = "whose labels only measure the pseudo-labels"


def notes(
    recipe: Recipe,
    name: str,
    images: ImageSet,
    test: ImageSet,
    seeds: Sequence[int],
    min_positives: int = 0,
    labels: str = ONLY_MEASURED,
) -> list[str]:
    """Say what was trained on what, and how it was measured.

    Args:
        recipe: of the full method.
        name: of the recipe that it was made from.
        images: to train on.
        test: to measure on.
        seeds: of the table.
        min_positives: classes with fewer positives among the test images are left out of all figures.
        labels: what those of the training images serve for.

    Raises:
        UserError: no class has so many.
    """
    over = ", ".join(map(str, seeds))
    spread = "mean ± sample standard deviation over seeds" if len(seeds) > 1 else "one seed, so no deviation"
    changes = [f"{key}={value}" for key, value in changed(recipe, config.load(name)).items() if key not in TOLD]
    but_for = f", but for {', '.join(changes)}" if changes else ""
    chosen = "chosen without labels" if recipe.train.choose == "label-free" else "the last"
    return [
        f"n: number of seeds; those of the table: {over}; {spread}.",
        f"{test.name}: {_count(images)} to train on, {labels}; "
        f"{_count(test)} to test; {len(test.class_names)} classes{_absent(test, recipe)}.",
        f"Teacher {recipe.teacher.model}, {_side(recipe.teacher.image_size)}; student {recipe.student.backbone} from "
        f"{recipe.student.weights}, {recipe.student.image_size} px; recipe {name}{but_for}.",
        f"The student's epoch is {chosen}; CF1 and OF1, here or in cells.csv, at {_threshold(recipe)}.",
        "Seconds: all stages of a training; the zero-shot teacher's are part of them.",
        sureness.NOTE,
        *([] if test.truth is None else _rare(test.truth[test.known], test.class_names, min_positives)),
        *_seen_twice(images, test),
    ]


def _side(size: object) -> str:
    return "at its own size" if size == "native" else f"{size} px"


def _seen_twice(images: ImageSet, test: ImageSet) -> list[str]:
    both = len(set(images.paths) & set(test.paths))
    if not both:
        return []
    return [f"{both:,} of the {len(test):,} test images are training images too: figures of them flatter."]


def _threshold(recipe: Recipe) -> str:
    own = recipe.evaluate.threshold
    return "thresholds chosen without labels" if own == "auto" else f"the threshold {own:g}"


def without_update(recipe: Recipe) -> list[str]:
    """Say so where a recipe updates no labels."""
    if any(map(recipe.updates_labels, range(recipe.train.epochs))):
        return []
    return ["No label update takes place: train.epochs is not above train.warmup_epochs, or relabel.epochs is 0."]


def of_few(recipe: Recipe, images: int) -> list[str]:
    """Say so where a recipe lets no backbone learn from so few images, though nobody asked for a frozen one."""
    if recipe.train.backbone_learning_rate != "auto" or not recipe.train_over(images).freezes_the_backbone:
        return []
    return [
        f"Of so few photographs ({images:,}) the student's last layer alone learns, on its backbone as it is "
        "(train.backbone_learning_rate)."
    ]


def frozen(in_full: str) -> str:
    """Say that the backbone was frozen, and in which row it was not."""
    return (
        f"The student's backbone is frozen, weights and BatchNorm statistics, in every row but {in_full!r}. Frozen "
        "rows remember each other's features and crops, so that their seconds depend on their order."
    )


def changed(recipe: Recipe, other: Recipe) -> dict[str, object]:
    """Give the knobs of a recipe that differ from another's, with their values; the seed is passed over."""
    here, there = _flat(recipe), _flat(other)
    return {key: value for key, value in here.items() if value != there[key] and key != "seed"}


def _flat(recipe: Recipe) -> dict[str, object]:
    found: dict[str, object] = {}
    for section, value in recipe.model_dump().items():
        found |= {f"{section}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {section: value}
    return found


def _rare(truth: NDArray[np.bool_], class_names: Sequence[str], min_positives: int) -> list[str]:
    _, few, left_out = kept_classes(torch.from_numpy(truth), class_names, min_positives)
    said = on_rare_classes(few, left_out, min_positives)
    return [f"{line[0].upper()}{line[1:]}." for line in said]


def _count(images: ImageSet) -> str:
    short = images.official is not None and images.official != len(images)
    return f"{len(images):,} images" + (f" (of officially {images.official:,})" if short else "")


def _absent(test: ImageSet, recipe: Recipe) -> str:
    if test.truth is None:
        return ""
    positives = test.truth[test.known].sum(axis=0).tolist()
    absent = [name for name, count in zip(test.class_names, positives, strict=True) if not count]
    counted = "counted as 0" if recipe.compat == "official" else "left out of the means"
    return f", without {', '.join(absent)}, which no test image has, {counted}" if absent else ""
