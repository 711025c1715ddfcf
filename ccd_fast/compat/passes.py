"""The passes over the images as the published code does them; see :class:`ccd_fast.training.passes.Passes`."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch

from ccd_fast.compat import quirks
from ccd_fast.compat.teacher import PublishedTeacher
from ccd_fast.compat.views import PublishedViews
from ccd_fast.datasets import ImageSet
from ccd_fast.engines import ImageTower, Precision
from ccd_fast.labels import PseudoLabels, Update, debiased_labels, update_labels
from ccd_fast.labels.training_boxes import TrainingBoxes
from ccd_fast.recipes import Recipe
from ccd_fast.recipes.official import margin_pixels, start_of_search
from ccd_fast.runs import Stage
from ccd_fast.student import STUDENT_FILTER, PixelClassifier, Student, decoded
from ccd_fast.student.reading import Reading
from ccd_fast.student.training_views import TrainingViews
from ccd_fast.teacher import class_embeddings, load_clip

ONE = 1
"""Images in a batch."""


class PublishedFirstLabels:
    """What the whole images gave, as :class:`ccd_fast.labels.table.FirstLabels` has it."""

    def __init__(self, scores: torch.Tensor, readable: torch.Tensor, max_entropy: float, names: Sequence[str]) -> None:
        """Take the teacher's scores, (N, C) float32, of the readable rows, (N,) bool; and the C class names."""
        self.scores = scores
        self.readable = self.named = readable
        self.names = names
        self.confident = readable & (quirks.entropy(scores) <= max_entropy)

    def finish(self, floor: float, min_count: int, debias: bool) -> PseudoLabels:
        """Compute bias and labels.

        Raises:
            RunError: a class is never on top, so that its bias is NaN.
        """
        if min_count != 1:
            raise ValueError("the published bias is a plain mean: min_count must be 1")
        top = self.scores[self.confident].argmax(dim=1)
        bias = torch.ones(self.scores.shape[1])
        if debias:
            bias = quirks.plain_bias(self.scores, self.confident)
            quirks.refuse_nan(bias, self.names)
        table = debiased_labels(self.scores, bias, floor)
        table[~self.readable] = 0
        counts = torch.bincount(top, minlength=len(bias))
        return PseudoLabels(table, bias, counts, self.confident, self.readable.clone())


class PublishedPasses:
    """One image, and one crop, at a time."""

    absent_ap = quirks.ABSENT_CLASS_AP
    student_runtime: Literal["torch", "onnxruntime"] = "torch"
    tower: ImageTower | None = None
    looks: ImageTower | None = None
    precision: Precision = "fp32"

    def __init__(self, recipe: Recipe, images: ImageSet) -> None:
        """Load the teacher.

        Args:
            recipe: of the run.
            images: of the training; their classes must be those of PASCAL VOC.
        """
        names = quirks.prompt_names(images.class_names)
        clip = load_clip(recipe.teacher.model)
        self.recipe = recipe
        self.reading = Reading(PublishedViews())
        self.teacher = PublishedTeacher(clip, class_embeddings(clip, names, recipe.teacher.templates))
        self.engine = {"runtime": "torch", "key": f"{clip.name}, as published"}

    def whole_images(self, images: ImageSet, stage: Stage) -> tuple[PublishedFirstLabels, dict[int, str]]:
        """Let the teacher score every whole image, squashed to a square and normalised for the student."""
        scores = torch.zeros((len(images), len(images.class_names)))
        readable = torch.zeros(len(images), dtype=torch.bool)
        unreadable: dict[int, str] = {}
        for photographs in decoded(images.files_of_all(), self.reading.backend, stage, ONE):
            unreadable |= photographs.unreadable
            with stage.part("teacher"):
                for row in photographs.rows.tolist():
                    view = self.reading.backend.whole(photographs, self.recipe.student.relabel_size, STUDENT_FILTER)
                    scores[row] = self.teacher.scores(quirks.normalised(view))[0]
                    readable[row] = True
            stage.advance(ONE)
        limit = self.recipe.labels.entropy_limit(len(images.class_names))
        return PublishedFirstLabels(scores, readable, limit, images.class_names), unreadable

    def prepare(self, student: Student) -> None:
        """Do nothing: the student runs as it is trained."""

    def at_work(self, student: Student, image_size: int, stage: Stage) -> PixelClassifier:  # noqa: ARG002 - Passes
        """Give the student itself."""
        return student

    def activity_threshold(self, student: Student, images: ImageSet, epoch: int, stage: Stage) -> float:
        """Search tau over shuffled, flipped training views."""
        start = start_of_search(self.recipe.labels.floor)
        rows = self._training_views(student, images, epoch, stage)
        return quirks.searched_threshold(rows, start, self.recipe.relabel.k)

    @torch.inference_mode()
    def _training_views(self, student: Student, images: ImageSet, epoch: int, stage: Stage) -> Iterator[torch.Tensor]:
        """Give the student's probabilities, (C,), in evaluation mode, of one training view after the other."""
        student.eval()
        views = TrainingViews(
            self.reading.backend,
            self.recipe.student.image_size,
            self.recipe.consistency,
            self.recipe.seed,
            epoch,
            len(images),
        )
        for batch in views.order.reshape(-1, ONE):
            photographs = self.reading.backend.decode(images.files(batch), batch)
            stage.advance(ONE)
            if len(photographs):
                yield torch.sigmoid(student(views.first(photographs))[0])[0]

    @torch.inference_mode()
    def cells(self, images: ImageSet, labels: PseudoLabels, stage: Stage) -> dict[int, str]:
        """Never asked: compat mode refuses a grid."""
        raise NotImplementedError

    def relabel(
        self,
        student: Student,
        images: ImageSet,
        labels: PseudoLabels,
        tau: float,
        epoch: int,  # noqa: ARG002 - nothing here is random
        stage: Stage,
        kept: TrainingBoxes | None = None,  # noqa: ARG002 - the recipe cannot ask for it
    ) -> dict[int, str]:
        """Update the labels of all images from crops of the normalised view."""
        student.eval()
        rows: list[int] = []
        scores = [torch.zeros((0, len(images.class_names)))]
        unreadable: dict[int, str] = {}
        for photographs in decoded(images.files_of_all(), self.reading.backend, stage, ONE):
            unreadable |= photographs.unreadable
            found: list[torch.Tensor] = []
            for row in photographs.rows.tolist():
                view = self.reading.backend.whole(photographs, self.recipe.student.relabel_size, STUDENT_FILTER)
                found = self._crop_scores(student, view, tau, images, row, stage)
                rows += [row] * len(found)
            scores += found
            stage.advance(ONE, crops=len(found))
        owner, crop_scores = quirks.with_nothing_seen(
            torch.tensor(rows, dtype=torch.int64), torch.cat(scores), labels.readable
        )
        update_labels(labels, owner, crop_scores, Update(self.recipe.labels.floor, self.recipe.relabel.ema))
        return unreadable

    def _crop_scores(
        self, student: Student, view: torch.Tensor, tau: float, images: ImageSet, row: int, stage: Stage
    ) -> list[torch.Tensor]:
        """Score the crop of each active class of a view, (1, S, S, 3) uint8: (1, C) float32 each."""
        with stage.part("student"):
            logits, cam = student(view)
        active = torch.nonzero(torch.sigmoid(logits[0]) >= tau)[:, 0].tolist()
        size, margin = view.shape[1], margin_pixels(self.recipe)
        scores = []
        for c in active:
            what = f"{images.class_names[c]} in {images.paths[row]}"
            box = quirks.first_and_last_box(cam[0, c], size, self.recipe.relabel.cam_threshold, margin, what)
            with stage.part("teacher"):
                scores.append(self.teacher.scores(quirks.cut(quirks.normalised(view), box, size)))
        return scores
