"""The passes that make and update pseudo-labels (sections 2 and 4)."""

import numpy as np
import torch

from ccd_fast.config import Recipe
from ccd_fast.datasets import ImageSet
from ccd_fast.object_boxes import ObjectBoxes
from ccd_fast.predict import STUDENT_FILTER, decoded
from ccd_fast.progress import Stage
from ccd_fast.pseudo_labels import FirstLabels, PseudoLabels, update_labels
from ccd_fast.student import PixelClassifier
from ccd_fast.teacher import Teacher
from ccd_fast.view_choice import ViewChoice
from ccd_fast.views import ViewBackend


def score_whole_images(
    images: ImageSet, backend: ViewBackend, teacher: Teacher, max_entropy: float, stage: Stage
) -> tuple[FirstLabels, dict[int, str]]:
    """Let the teacher score every whole image (section 1).

    Args:
        images: N images.
        backend: of the views.
        teacher: scores them.
        max_entropy: an image is confident up to this entropy, in nats.
        stage: advanced by the images seen.

    Returns:
        What was gathered, and the unreadable rows with the reason.
    """
    gathered = FirstLabels(len(images), len(images.class_names), max_entropy)
    unreadable: dict[int, str] = {}
    for photographs in decoded(images.files_of_all(), backend, stage):
        unreadable |= photographs.unreadable
        with stage.part("views"):
            views = backend.whole(photographs, teacher.image_size, teacher.interpolation)
        with stage.part("teacher"):
            if len(photographs):
                gathered.add(torch.from_numpy(photographs.rows), teacher.similarities(views))
        stage.advance(len(photographs) + len(photographs.unreadable))
    return gathered, unreadable


class CropScorer:
    """Scores crops in full batches of the engine, whatever number comes from each batch of images."""

    def __init__(self, teacher: Teacher) -> None:
        """Start with no crop waiting."""
        self.teacher = teacher
        self._waiting: list[torch.Tensor] = []
        self._scores: list[torch.Tensor] = []

    def add(self, crops: torch.Tensor) -> None:
        """Take crops, (M, S, S, 3) uint8, and score all full batches."""
        self._waiting.append(crops)
        ready = sum(map(len, self._waiting))
        if ready >= self.teacher.batch_size:
            pixels = torch.cat(self._waiting)
            full = ready - ready % self.teacher.batch_size
            self._score(pixels[:full])
            self._waiting = [pixels[full:].clone()]  # a copy, so that the scored ones can go

    def finish(self) -> torch.Tensor:
        """Score what waits, and give the scores of all crops in the order they came, (M, C) float32."""
        if self._waiting and sum(map(len, self._waiting)):
            self._score(torch.cat(self._waiting))
        self._waiting = []
        return torch.cat(self._scores) if self._scores else torch.zeros((0, len(self.teacher.classes)))

    def _score(self, crops: torch.Tensor) -> None:
        self._scores.append(torch.softmax(self.teacher.similarities(crops), dim=1))


@torch.inference_mode()
def relabel(
    images: ImageSet,
    backend: ViewBackend,
    teacher: Teacher,
    student: PixelClassifier,
    labels: PseudoLabels,
    tau: float,
    epoch: int,
    recipe: Recipe,
    stage: Stage,
    objects: ObjectBoxes | None = None,
) -> dict[int, str]:
    """Update the pseudo-labels of all images from crops, usually at the student's CAMs (section 4).

    Args:
        images: N images.
        backend: of the views.
        teacher: scores the crops.
        student: says where to look; it is left in evaluation mode.
        labels: changed in place, all at once when the pass has ended.
        tau: a class is active where its probability is at or above this.
        epoch: key of what is random in the choice of the crops.
        recipe: the knobs.
        stage: advanced by images and crops.
        objects: boxes that people drew, for the choices of views that need them.

    Returns:
        Rows that could not be read, with the reason; they keep their labels.
    """
    student.eval()
    view_size = relabel_image_size(recipe)
    looks = ViewChoice(recipe, epoch, len(images), len(images.class_names), objects)
    scorer, owners = CropScorer(teacher), [np.empty(0, dtype=np.int64)]
    unreadable: dict[int, str] = {}
    for photographs in decoded(images.files_of_all(), backend, stage):
        unreadable |= photographs.unreadable
        if len(photographs):
            seen = None
            if looks.asks_the_student:
                with stage.part("student"):
                    seen = student(backend.whole(photographs, view_size, STUDENT_FILTER))
            with stage.part("boxes"):
                owner, boxes = looks.boxes(photographs, seen, view_size, tau)
            with stage.part("crops"):
                crops = backend.crop(photographs, owner, boxes, teacher.image_size, teacher.interpolation)
            with stage.part("teacher"):
                scorer.add(crops)
            owners.append(photographs.rows[owner])
        stage.advance(len(photographs) + len(photographs.unreadable), crops=len(owners[-1]) if len(photographs) else 0)
    with stage.part("teacher"):
        crop_scores = scorer.finish()
    with stage.part("update"):
        rows = torch.from_numpy(np.concatenate(owners))
        update_labels(labels, rows, crop_scores, recipe.labels.floor, recipe.relabel.ema)
    return unreadable


def relabel_image_size(recipe: Recipe) -> int:
    """Give the side of the views that the student's CAMs are computed on, in pixels."""
    size = recipe.student.relabel_image_size
    return recipe.student.image_size if size == "same" else int(size)
