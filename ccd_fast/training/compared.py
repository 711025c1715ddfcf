"""A system of the paper's table, as a run asks it for its targets: what it is told, and nothing beside."""

import math
from copy import copy
from typing import Any, cast

import numpy as np
import torch

from ccd_fast.errors import UserError
from ccd_fast.labels import PseudoLabels, known, on_disk, tiles
from ccd_fast.labels.known import Matrix
from ccd_fast.runs.told import in_words
from ccd_fast.student.reading import STUDENT_FILTER
from ccd_fast.systems import SYSTEMS, Seen, System, cdul
from ccd_fast.systems.class_features import ClassFeatures
from ccd_fast.teacher import Teacher
from ccd_fast.training.description import note_supervision
from ccd_fast.training.measures import FIRST, TEACHER, UPDATED, measure, measure_zero_shot
from ccd_fast.training.passes import WholeImages
from ccd_fast.training.state import Parts, State


class LossOfSystem:
    """The loss of a system, as a step asks for it."""

    compares_views = False
    parts_add_up = False

    def __init__(self, system: System) -> None:
        """Take the system."""
        self.system = system

    def __call__(self, rows: torch.Tensor, logits: torch.Tensor, others: torch.Tensor | None) -> torch.Tensor:  # noqa: ARG002
        """Compute the loss of a whole batch."""
        return self.system.loss(rows, logits)


class Compared:
    """A system in the common trainer; see :class:`ccd_fast.training.method.Method`.

    The system itself is made of :class:`ccd_fast.systems.Seen` alone: the truth is not in its reach.
    """

    def __init__(self, parts: Parts, source: str) -> None:
        """Take what the run works with, and where what the system is told comes from."""
        self.parts, self.source = parts, source
        self.described = SYSTEMS[parts.recipe.system.name]
        self.seen: Seen | None = None

    def first_labels(self) -> State:
        """Let the teacher score the whole images, as for every system, and tell the system what it may see."""
        parts, images = self.parts, self.parts.images
        with parts.stages.stage("first labels", len(images), parts.keeper("first labels")) as stage:
            gathered, unreadable = parts.passes.whole_images(images, stage)
        parts.set_aside(images, unreadable)
        scores = as_clip_says(gathered, parts.recipe.teacher.temperature)
        matrix, soft = self._told(scores, gathered.readable)
        positives = parts.recipe.system.positives
        k = spread(scores[gathered.readable]) if positives == "teacher" else positives
        self._tell(matrix, soft, gathered.readable, k)
        note_supervision(parts, self.source, matrix)
        if parts.known is not None:
            parts.stages.say(f"known, and nothing else is learned from: {in_words(known.counts(matrix))}")
        if not self.system.rows().any():
            raise UserError(f"{images.root}: {parts.recipe.system.name} is told nothing of any training image")
        state = State(self._labels(gathered.readable))
        measure(parts, state, f"{TEACHER}, train", gathered.scores, images, gathered.readable)
        measure(parts, state, FIRST, state.labels.table, images, gathered.readable)
        measure_zero_shot(parts, state)
        on_disk.save(parts.folder, 0, images, state.labels)
        return state

    def _told(self, scores: torch.Tensor, readable: torch.Tensor) -> tuple[Matrix, torch.Tensor | None]:
        """Give what is known of the labels, and soft labels where the source is of that kind."""
        parts = self.parts
        nothing = np.zeros(tuple(scores.shape), dtype=np.int8)
        if self.source == "teacher-top1":
            return known.teacher_top1(scores, readable), None
        if self.source == "teacher-threshold":
            return known.teacher_threshold(scores, readable, parts.recipe.system.threshold), None
        if self.source == "teacher-soft":
            return nothing, scores
        if self.source == "teacher-tiles":
            with parts.stages.stage("tiles", len(parts.images)) as stage:
                teacher = copy(cast(Teacher, parts.passes.teacher))
                teacher.temperature = 1.0
                most, least = tiles.score_tiles(parts.images, parts.passes.reading, teacher, cdul.GRID, stage)
            return nothing, cdul.first_labels(scores, most, least)
        assert parts.known is not None, "people's labels are drawn before the run begins"
        return parts.known, None

    def _tell(self, matrix: Matrix, soft: torch.Tensor | None, readable: torch.Tensor, positives: float) -> None:
        """Make the system."""
        parts, recipe = self.parts, self.parts.recipe
        assert self.described.make is not None, "CCD is a room of its own"
        self.seen = Seen(
            known=matrix,
            soft=soft,
            readable=readable,
            positives=positives,
            rejection=recipe.system.rejection,
            epochs=recipe.train.epochs,
            steps=math.ceil(len(parts.images) / recipe.train.batch_size),
            learning_rate=recipe.train.head_rate(len(parts.images)),
            seed=recipe.seed,
        )
        self.system = self.described.make(self.seen, parts.trainer.student.head)

    def _labels(self, readable: torch.Tensor) -> PseudoLabels:
        table = torch.where(readable[:, None], self.system.targets(), 0)
        classes = table.shape[1]
        return PseudoLabels(
            table=table,
            bias=torch.ones(classes),
            bias_counts=torch.zeros(classes, dtype=torch.int64),
            confident=torch.zeros(len(table), dtype=torch.bool),
            readable=readable,
        )

    def before_epoch(self, state: State, epoch: int) -> bool:
        """Let the system prepare; the vectors that it asks for are gathered from plain views."""
        if self.system.wants_vectors(epoch):
            self.system.take_vectors(epoch, self._vectors(state, epoch))
        self.system.before_epoch(epoch)
        return False

    def _vectors(self, state: State, epoch: int) -> list[torch.Tensor]:
        """Gather each class's vectors over its known positives, (n, F) each."""
        parts, student = self.parts, self.parts.trainer.student.eval()
        head, matrix = cast(ClassFeatures, student.head), self.system.known
        rows = torch.nonzero((matrix == 1).any(dim=1) & state.labels.readable)[:, 0]
        files, size = parts.images.files(rows.numpy()), parts.recipe.student.image_size
        found: list[list[torch.Tensor]] = [[] for _ in range(matrix.shape[1])]
        with (
            parts.stages.stage("prototypes", len(rows), epoch=epoch) as stage,
            parts.passes.reading.views(files, (size, STUDENT_FILTER), stage) as batches,
            torch.inference_mode(),
        ):
            for photographs, views in batches:
                if len(photographs):
                    vectors = head.vectors(student.features(views).float())[0].cpu()
                    own = matrix[rows[torch.from_numpy(photographs.rows)]] == 1
                    for c, of_class in enumerate(found):
                        of_class.append(vectors[own[:, c], c])
                stage.advance(len(photographs) + len(photographs.unreadable))
        width = head.classifiers.weight.shape[1]
        return [torch.cat(of_class).clone() if of_class else torch.empty(0, width) for of_class in found]

    def has_seen(self, state: State, rows: torch.Tensor, features: torch.Tensor) -> None:
        """Do nothing: what a system is told stays as it is."""

    def rows(self, state: State) -> torch.Tensor:
        """Give the images that the system learns from, but for those that proved unreadable later."""
        return self.system.rows() & state.labels.readable

    def loss(self, state: State, epoch: int) -> LossOfSystem:  # noqa: ARG002
        """Give the system's loss."""
        return LossOfSystem(self.system)

    def sure(self, state: State, rows: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Give the positives that the system counts on."""
        return self.system.sure()[rows]

    def after_step(self, rows: torch.Tensor, logits: torch.Tensor) -> None:
        """Let the system learn from a step."""
        self.system.after_step(rows, logits)

    def after_epoch(self, state: State, epoch: int, predicted: torch.Tensor) -> None:
        """Let the system learn from an epoch; keep its labels where they have changed."""
        if self.system.after_epoch(epoch, predicted):
            parts, labels = self.parts, state.labels
            labels.table = torch.where(labels.readable[:, None], self.system.targets(), 0)
            on_disk.save(parts.folder, epoch + 1, parts.images, labels)
            measure(parts, state, UPDATED, labels.table, parts.images, labels.readable)

    def kept(self) -> dict[str, Any]:
        """Give what the system was told, and its state."""
        assert self.seen is not None, "nothing is kept before the first labels"
        told = {"known": self.system.known, "soft": self.seen.soft, "readable": self.seen.readable}
        return {**told, "positives": self.seen.positives, "state": self.system.state()}

    def go_on(self, kept: dict[str, Any]) -> None:
        """Make the system again, as it was."""
        if self.seen is None:
            self._tell(kept["known"].numpy(), kept["soft"], kept["readable"], kept["positives"])
        self.system.go_on(kept["state"])


def as_clip_says(gathered: WholeImages, temperature: float) -> torch.Tensor:
    """Give the teacher's scores without the recipe's temperature, which is CCD's, (N, C); 0 of unreadable images."""
    log = gathered.scores.clamp(min=torch.finfo(torch.float32).tiny).log()
    return torch.softmax(temperature * log, dim=1) * gathered.readable[:, None]


def spread(scores: torch.Tensor) -> float:
    """Tell over how many classes the teacher's scores of an image are spread, on average: exp of their entropy.

    It stands for the mean number of classes of an image, which nobody who has no labels knows.

    Args:
        scores: (N, C).
    """
    return float((-torch.xlogy(scores, scores).sum(dim=1)).exp().mean())
