"""The passes that make and update pseudo-labels (sections 2 and 4)."""

from contextlib import closing
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.config import Recipe
from ccd_fast.crop_cache import NOT_KEPT, CropCache, distinct
from ccd_fast.datasets import ImageSet
from ccd_fast.device_streams import Lane, on_stream_for
from ccd_fast.object_boxes import ObjectBoxes
from ccd_fast.prediction import AHEAD, LOAD_BATCH, STUDENT_FILTER, decoded_with_views
from ccd_fast.progress import Stage
from ccd_fast.pseudo_labels import FirstLabels, PseudoLabels, bias_of_crops, update_labels
from ccd_fast.ranks import ALONE, Ranks
from ccd_fast.student import PixelClassifier
from ccd_fast.teacher import Teacher
from ccd_fast.view_choice import ViewChoice
from ccd_fast.views import ViewBackend, prefetched


def score_whole_images(
    images: ImageSet,
    backend: ViewBackend,
    teacher: Teacher,
    max_entropy: float,
    stage: Stage,
    ranks: Ranks = ALONE,
) -> tuple[FirstLabels, dict[int, str]]:
    """Let the teacher score every whole image (section 1).

    Args:
        images: N images.
        backend: of the views.
        teacher: scores them.
        max_entropy: an image is confident up to this entropy, in nats.
        stage: advanced by the images seen.
        ranks: the processes that share the images; each gets the whole result.

    Returns:
        What was gathered, on the host, and the unreadable rows with the reason.
    """
    own = ranks.share(len(images), LOAD_BATCH)
    gathered = FirstLabels(len(images), len(images.class_names), max_entropy)
    unreadable: dict[int, str] = {}
    if left := stage.keeper.restored():
        gathered.go_on(left["gathered"])
        unreadable |= left["unreadable"]
        stage.go_on(left["done"], seconds=left["seconds"])

    def so_far() -> dict[str, Any]:
        return {"gathered": gathered.state(), "unreadable": unreadable, "done": stage.done, "seconds": stage.seconds}

    how, device = (teacher.image_size, teacher.interpolation), backend.device
    ahead = decoded_with_views(images.files_of_all(), backend, *how, stage, own[stage.done :])
    with on_stream_for("pass", device), closing(prefetched(ahead, AHEAD, device)) as batches:
        for photographs, views in batches:
            unreadable |= photographs.unreadable
            with stage.part("teacher"):
                if len(photographs):
                    gathered.add(torch.from_numpy(photographs.rows), teacher.similarities(views))
                    stage.saw("teacher", len(photographs))
            stage.advance(len(photographs) + len(photographs.unreadable))
            stage.keeper.keep(so_far)
        gathered.put_together(ranks, LOAD_BATCH)
    stage.advance(len(images) - len(own))
    return gathered, ranks.merged(unreadable)


class CropScorer:
    """Scores crops in full batches of the engine, whatever number comes from each batch of images.

    On a GPU the teacher has a stream of its own: the next crops are made while it works on the last ones.
    """

    def __init__(self, teacher: Teacher) -> None:
        """Start with no crop waiting."""
        self.teacher = teacher
        self._lane = Lane("teacher", teacher.classes.device)
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
        self._lane.join()
        return (
            torch.cat(self._scores) if self._scores else self.teacher.classes.new_zeros((0, len(self.teacher.classes)))
        )

    def _score(self, crops: torch.Tensor) -> None:
        with self._lane.working_on(crops):
            self._scores.append(torch.softmax(self.teacher.similarities(crops), dim=1))


class _ScoredCrops:
    """The crops of a pass in order, some of them scored by the teacher and the others known from the pass before."""

    def __init__(self, teacher: Teacher, cache: CropCache, images: ImageSet) -> None:
        cache.serve(images)
        self.cache = cache
        self.scorer = CropScorer(teacher)
        self.rows, self.boxes = [np.empty(0, dtype=np.int64)], [np.empty((0, 4), dtype=np.int64)]
        self.positions = [np.empty(0, dtype=np.int64)]
        self.before: dict[str, torch.Tensor] | None = None

    def expect(self, rows: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Take crops in, (M,) rows and (M, 4) boxes; tell which of them :meth:`add` must bring, (M,) bool."""
        positions = self.cache.find(rows, boxes)
        self.rows.append(rows)
        self.boxes.append(boxes)
        self.positions.append(positions)
        unknown: NDArray[np.bool_] = positions == NOT_KEPT
        return unknown

    def add(self, crops: torch.Tensor) -> None:
        """Score crops, (M, S, S, 3) uint8, in the order in which they were asked for."""
        self.scorer.add(crops)

    def go_on(self, state: dict[str, torch.Tensor]) -> None:
        """Take what :meth:`state` gave as the first crops of the pass."""
        self.before = state

    def state(self) -> dict[str, torch.Tensor]:
        """Give the rows, boxes and scores of all crops so far; those that wait are scored for it."""
        rows, boxes, scores = self._all()
        return {"rows": torch.from_numpy(rows), "boxes": torch.from_numpy(boxes), "scores": scores.cpu()}

    def finish(self) -> tuple[NDArray[np.int64], torch.Tensor]:
        """Give the rows, (M,), and scores, (M, C) float32, of all crops, and keep them for the next pass."""
        rows, boxes, scores = self._all()
        self.cache.replace(rows, boxes, scores)
        return rows, scores

    def _all(self) -> tuple[NDArray[np.int64], NDArray[np.int64], torch.Tensor]:
        rows, boxes, positions = (np.concatenate(parts) for parts in (self.rows, self.boxes, self.positions))
        scores = self.scorer.finish()
        known = positions != NOT_KEPT
        if known.any():
            asked = scores
            scores = asked.new_empty((len(rows), asked.shape[1]))
            scores[torch.from_numpy(known)] = self.cache.scores(positions[known]).to(asked.device)
            scores[torch.from_numpy(~known)] = asked
        if self.before is None:
            return rows, boxes, scores
        rows = np.concatenate([self.before["rows"].numpy(), rows])
        boxes = np.concatenate([self.before["boxes"].numpy(), boxes])
        return rows, boxes, torch.cat([self.before["scores"].to(scores.device), scores])


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
    cache: CropCache | None = None,
    ranks: Ranks = ALONE,
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
        cache: scores of the last pass; this pass's take their place when it has ended.
        ranks: the processes that share the images; each gets the whole table.

    Returns:
        Rows that could not be read, with the reason; they keep their labels.
    """
    student.eval()
    own = ranks.share(len(images), LOAD_BATCH)
    view_size = relabel_image_size(recipe)
    looks = ViewChoice(recipe, epoch, len(images), len(images.class_names), objects)
    scored = _ScoredCrops(teacher, CropCache(budget=0) if cache is None else cache, images)
    unreadable: dict[int, str] = {}
    if left := stage.keeper.restored():
        scored.go_on(left["scored"])
        unreadable |= left["unreadable"]
        stage.go_on(left["done"], len(left["scored"]["rows"]), left["seconds"])

    def so_far() -> dict[str, Any]:
        return {"scored": scored.state(), "unreadable": unreadable, "done": stage.done, "seconds": stage.seconds}

    size, device = view_size if looks.asks_the_student else 0, backend.device
    ahead = decoded_with_views(images.files_of_all(), backend, size, STUDENT_FILTER, stage, own[stage.done :])
    with on_stream_for("pass", device), closing(prefetched(ahead, AHEAD, device)) as batches:
        for photographs, views in batches:
            unreadable |= photographs.unreadable
            crops = repeats = hits = 0
            if len(photographs):
                seen = None
                if looks.asks_the_student:
                    with stage.part("student"), torch.inference_mode():
                        seen = student(views)
                    stage.saw("student", len(photographs))
                with stage.part("boxes"):
                    owner, boxes = looks.boxes(photographs, seen, view_size, tau)
                    crops = len(owner)
                    owner, boxes = distinct(owner, boxes)
                    repeats = crops - len(owner)
                    unknown = scored.expect(photographs.rows[owner], boxes)
                    hits = len(owner) - int(unknown.sum())
                with stage.part("crops"):
                    pixels = backend.crop(
                        photographs, owner[unknown], boxes[unknown], teacher.image_size, teacher.interpolation
                    )
                with stage.part("teacher"):
                    scored.add(pixels)
                stage.saw("teacher", len(pixels))
            stage.advance(len(photographs) + len(photographs.unreadable), crops, repeats, hits)
            stage.keeper.keep(so_far)
        with stage.part("teacher"):
            rows, crop_scores = scored.finish()
        with stage.part("update"):
            weight, bias = weight_of_the_old(recipe, epoch), labels.bias
            if recipe.bias.debias and recipe.bias.again:
                bias = bias_of_crops(crop_scores, bias, recipe.labels.max_entropy, recipe.bias.min_count, ranks)
            update_labels(labels, torch.from_numpy(rows), crop_scores, recipe.labels.floor, weight, bias)
            ranks.put_together(labels.table, LOAD_BATCH)
    stage.advance(len(images) - len(own))
    return ranks.merged(unreadable)


def weight_of_the_old(recipe: Recipe, epoch: int) -> float:
    """Give lambda for the update at the start of an epoch.

    A running mean holds the first labels with the weight lambda / (1 - lambda) and each update with the weight 1, so
    that the first update is the paper's and each later one moves the labels less.
    """
    ema = recipe.relabel.ema
    if recipe.relabel.average != "running":
        return ema
    before = epoch - recipe.train.warmup_epochs
    return (ema + (1 - ema) * before) / (1 + (1 - ema) * before)


def relabel_image_size(recipe: Recipe) -> int:
    """Give the side of the views that the student's CAMs are computed on, in pixels."""
    size = recipe.student.relabel_image_size
    return recipe.student.image_size if size == "same" else int(size)
