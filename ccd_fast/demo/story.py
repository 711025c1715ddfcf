"""The demo: the whole method on scenes that the package draws, with the tiny CLIP that it brings."""

from collections.abc import Sequence
from pathlib import Path

from ccd_fast.datasets import Source
from ccd_fast.demo import tiny_clip, tiny_student
from ccd_fast.demo.drawing import draw
from ccd_fast.errors import RunError
from ccd_fast.evaluation import Localisation, localisation
from ccd_fast.outputs import trained
from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import Stages
from ccd_fast.training.passes import evaluation_conditions

__all__ = ["draw", "localise", "recipe"]


def localise(run: Path, source: Source, stages: Stages) -> Localisation:
    """Compare the CAM boxes of a run's student with the objects of the test scenes, whose places are known.

    Raises:
        RunError: no test scene can be read.
    """
    model, images = trained.load(run), source.load("test")
    backend, _ = evaluation_conditions(model.recipe)
    with stages.stage("CAM boxes", len(images)) as stage:
        found = localisation.localise(
            model.student, images, backend, model.recipe.student.relabel_size, model.recipe.relabel, stage
        )
    if found is None:
        raise RunError(f"{images.root}: no box, or no test scene that can be read; remove the folder to draw it anew")
    return found


def recipe(seed: int, overrides: Sequence[str]) -> Recipe:
    """Give the demo's recipe; the tiny CLIP and the student's first weights are put into the cache.

    Args:
        seed: of the run.
        overrides: as :func:`ccd_fast.recipes.config.load` takes them.
    """
    files = {"teacher.model": tiny_clip.install(), "student.weights": tiny_student.install()}
    given = [f"{knob}='''{file}'''" for knob, file in files.items()]
    return config.load("demo", [*given, f"seed={seed}", *overrides])
