"""What the trainings of a table begin with in common, done once: the first labels, and the warm-up before any update.

A training that begins from a shared warm-up ends with the same bits as one of its own would.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import RunFolder
from ccd_fast.student import engine as student_engine

LATER = ("choice", "grid", "per_class", "jitter")
"""Knobs of the views that the warm-up does not ask for."""
LOOKS = ("teacher", "maps_size", "maps_gib")
"""Knobs of the label update that the look at the cells of a grid, before the warm-up, asks for too."""


def of(recipe: Recipe, images: int) -> Recipe | None:
    """Give what the warm-up of a recipe depends on: the recipe, with all that comes later set to the same for all.

    Args:
        recipe: of a training.
        images: N, of the training.

    Returns:
        None where there is no warm-up to share.
    """
    if not recipe.is_ccd or not 0 < recipe.train.warmup_epochs < recipe.train.epochs:
        return None
    neutral = config.load("paper-voc12", [])
    keeps_boxes = recipe.boxes_of_the_training(images)  # already in the warm-up
    looks = {knob: getattr(recipe.relabel, knob) for knob in LOOKS}
    runtime = student_engine.choose(recipe.student.runtime, recipe.looks_of_the_student(images))
    return recipe.model_copy(
        update={
            "student": recipe.student.model_copy(update={"runtime": runtime}),
            "bias": recipe.bias.model_copy(update={"again": neutral.bias.again}),
            "relabel": recipe.relabel if keeps_boxes else neutral.relabel.model_copy(update=looks),
            "consistency": neutral.consistency,
            "views": recipe.views.model_copy(update={knob: getattr(neutral.views, knob) for knob in LATER}),
        }
    )


def shared(recipes: Sequence[Recipe], images: int) -> list[Recipe]:
    """Give the warm-ups that at least two of some recipes begin with."""
    counts = Counter(warm_up.dumps() for recipe in recipes if (warm_up := of(recipe, images)))
    both = {text for text, count in counts.items() if count > 1}
    found = {warm_up.dumps(): warm_up for recipe in recipes if (warm_up := of(recipe, images))}
    return [warm_up for text, warm_up in found.items() if text in both]


def begin(run: RunFolder, recipe: Recipe, warm_up: Path, command: str) -> None:
    """Make a folder of a run that stands at the end of a warm-up.

    Args:
        run: the folder, which is not there yet, or holds nothing but what a run leaves that has not begun.
        recipe: of the run.
        warm_up: folder of the warm-up.
        command: kept in ``run.json``.
    """
    fresh = RunFolder(run.path.with_name(f".{run.path.name}.new"))
    fresh.remove()
    shutil.copytree(warm_up, fresh.path)
    fresh.write_text("recipe.toml", recipe.dumps())
    fresh.write_json("run.json", {**fresh.read_json("run.json"), "command": command})
    run.remove()
    fresh.path.replace(run.path)
