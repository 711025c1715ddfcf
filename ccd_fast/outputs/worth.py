"""Was it worth it: a trained student beside its teacher and its labels, on photographs whose labels are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.errors import UserError
from ccd_fast.evaluation import Comparison, compare, scores
from ccd_fast.evaluation.metrics import Threshold
from ccd_fast.labels import limits, on_disk
from ccd_fast.outputs import teacher_looks
from ccd_fast.outputs.trained import Trained
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.runs.told import by_people
from ccd_fast.student import Predictions
from ccd_fast.training import FIRST, TEACHER, UPDATED

STUDENT, DEBIASED, ENSEMBLE = "student", "teacher, debiased", "student and teacher together"
WITH_VIEWS = "teacher, debiased, with cells"
"""Names of what no run measures by itself."""
FIRST_SAID, UPDATED_SAID = (name.removesuffix(", train") for name in (FIRST, UPDATED))


@dataclass(frozen=True)
class Asked:
    """What is asked of a comparison.

    Attributes:
        threshold: a class is predicted from this score on; None: each class from its own on, which the run has chosen
            for the student, and which is chosen for the others from their scores of these photographs.
        absent_ap: average precision of a class without positives.
        min_positives: classes with fewer are left out.
        alone: whether the student stands alone.
        ensemble: whether student and teacher together stand beside.
        views: whether the teacher stands beside with the views of ``label`` too.
        own_root: whether the photographs are those of the run's own folder.
    """

    threshold: float | None
    absent_ap: float
    min_positives: int = 0
    alone: bool = False
    ensemble: bool = False
    views: bool = False
    own_root: bool = True


def measure(
    run: Path, model: Trained, images: ImageSet, seen: Predictions, asked: Asked, stages: Stages, device: str = "cpu"
) -> Comparison:
    """Measure a student, and what stands beside it on the same photographs.

    What the run has kept of its teacher and its labels is used where it covers the photographs; else the teacher looks
    at them now.

    Args:
        run: its folder.
        model: read from it.
        images: N photographs with known labels.
        seen: the student's probabilities of them.
        asked: what is asked for.
        stages: shows the teacher's progress.
        device: where the teacher runs.

    Raises:
        UserError: no photograph with known labels can be read; the teacher cannot be had; too few positives.
    """
    assert images.truth is not None  # the caller has refused that
    rows = np.flatnonzero(seen.readable.numpy() & images.known)
    if not len(rows):
        raise UserError(f"none of the {len(images)} images with known labels can be read")
    raw = seen.probabilities[rows]
    systems = {STUDENT: model.calibrated(raw)}
    if not asked.alone:
        systems |= _beside(run, model, images, rows, asked, stages, device)
    if asked.ensemble:
        labels = teacher_looks.debiased(run, model.recipe, systems[TEACHER])
        systems[ENSEMBLE] = teacher_looks.together(raw, labels)
    truth = torch.from_numpy(images.truth[rows])
    thresholds = {name: _threshold(name, model, table, asked) for name, table in systems.items()}
    return compare(systems, truth, images.class_names, thresholds, asked.absent_ap, asked.min_positives)


def _threshold(name: str, model: Trained, table: torch.Tensor, asked: Asked) -> Threshold:
    """Give from which score on a system predicts a class."""
    own = model.recipe.evaluate.threshold if asked.threshold is None else asked.threshold
    if own != "auto":
        return float(own)
    return (
        model.thresholds() if name == STUDENT else limits.by_class(table, temperature=model.recipe.teacher.temperature)
    )


def _beside(
    run: Path,
    model: Trained,
    images: ImageSet,
    rows: NDArray[np.int64],
    asked: Asked,
    stages: Stages,
    device: str,
) -> dict[str, torch.Tensor]:
    """Give the scores of teacher and labels by name, of some rows."""
    paths = [images.paths[row] for row in rows.tolist()]
    found = _kept(run, paths, images.class_names) if asked.own_root else {}
    if TEACHER not in found:
        some = teacher_looks.images_at(model, run, images.root, paths)
        looks = teacher_looks.look(model.recipe, some, stages, device)
        found = {TEACHER: looks.scores, **found}
    if model.recipe.is_ccd and (FIRST_SAID not in found or model.recipe.labels.grids):  # else they are just that
        labels = teacher_looks.debiased(run, model.recipe, found[TEACHER])
        found = {TEACHER: found[TEACHER], DEBIASED: labels, **found}
    if asked.views:
        some = teacher_looks.images_at(model, run, images.root, paths)
        found[WITH_VIEWS] = teacher_looks.labels_with_views(run, model.recipe, some, stages, device)
    return found


def _kept(run: Path, paths: Sequence[str], class_names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Give what a run has kept of some photographs, whichever of its splits they are in, by name; what covers all."""
    found: dict[str, torch.Tensor] = {}
    for said in (TEACHER, FIRST_SAID, UPDATED_SAID):
        tables = [scores.read(run, f"{said}, {split}", class_names) for split in ("train", "test")]
        there = [table for table in tables if table is not None]
        own = there[0].joined(there[1:]).of(paths) if there else None
        if own is not None:
            found[said] = own.table
    return found


def trained_on(run: Path, images: ImageSet, own_root: bool) -> int:
    """Count the images that the run was trained on."""
    if not own_root:
        return 0
    first = on_disk.files(run)
    paths = on_disk.words(first[0], "path") if first else []
    return len(set(images.paths) & set(paths))


def on_which(run: Path, images: ImageSet, own_root: bool) -> str:
    """Say whether the run was trained on the images that were measured."""
    count = trained_on(run, images, own_root)
    if not count:
        return "the student was trained on none of them"
    which = "all" if count == len(images) else f"{count:,}"
    told = by_people(RunFolder(run).read_json("run.json"))
    labels = f"told {told}" if told else "without their labels"
    return f"the student was trained on {which} of them ({labels}), so that its figures flatter"


def explained(run: Path, found: Comparison) -> list[str]:
    """Say what a person should know of the systems that stand beside."""
    lines = []
    if DEBIASED in found.metrics:
        lines.append(f"{DEBIASED}: the teacher's scores of whole photographs over its bias, without any training")
    if WITH_VIEWS in found.metrics:
        lines.append(f"{WITH_VIEWS}: what ccd-fast label gives with the run's recipe, a grid's cells beside the whole")
    if ENSEMBLE in found.metrics:
        times = times_the_student(run)
        cost = "" if times is None else f", which took {times:.1f} times as long as the student in this run"
        lines.append(
            f"{ENSEMBLE}: the mean of the student's probabilities and the teacher's debiased labels; it needs the "
            f"teacher for every photograph{cost} (ccd-fast predict --ensemble)"
        )
    return lines


def times_the_student(run: Path) -> float | None:
    """Give the teacher's time for a photograph over the student's, as the run measured them; None where it did not."""
    stages = (RunFolder(run).summary() or {}).get("stages", {})
    teacher, student = (stages.get(name) for name in ("zero-shot on the test images", "evaluate"))
    if not (teacher and student and teacher["images"] and student["seconds"]):
        return None
    return float(teacher["seconds"] / teacher["images"] / (student["seconds"] / student["images"]))
