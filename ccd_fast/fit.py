"""One epoch of the student's training (sections 3, 5 and 6)."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import randomness
from ccd_fast.config import Recipe
from ccd_fast.datasets import ImageSet
from ccd_fast.errors import RunError
from ccd_fast.losses import confidence_weights
from ccd_fast.prediction import AHEAD, STUDENT_FILTER
from ccd_fast.progress import Stage
from ccd_fast.pseudo_labels import PseudoLabels
from ccd_fast.randomness import Purpose
from ccd_fast.ranks import ALONE, Ranks, lost
from ccd_fast.trainer import NotFiniteError, Trainer
from ccd_fast.views import Photographs, ViewBackend, flipped, jitter_factors, prefetched, works_ahead


class TrainingViews:
    """The two views of section 5, for one epoch: each image's flips and jitter are keyed by its row."""

    def __init__(self, recipe: Recipe, epoch: int, images: int, backend: ViewBackend) -> None:
        """Draw the flips and factors of all N images."""
        self.size = recipe.student.image_size
        self.backend = backend
        self.flips = randomness.uniform(recipe.seed, epoch, Purpose.FLIP, images, 2) < 0.5
        draws = randomness.uniform(recipe.seed, epoch, Purpose.JITTER, images, 4)
        self.factors = jitter_factors(draws, recipe.consistency.color_jitter, recipe.consistency.hue_jitter)

    def first(self, photographs: Photographs) -> torch.Tensor:
        """Make the flipped view, (B, S, S, 3) uint8."""
        whole = self.backend.whole(photographs, self.size, STUDENT_FILTER)
        return flipped(whole, self.flips[photographs.rows, 0])

    def second(self, first: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
        """Make the second view of ``rows`` from the first: a flip of its own, and colour jitter."""
        again = self.flips[rows, 0] != self.flips[rows, 1]  # flipping the first view back is a flip
        return self.backend.jitter(flipped(first, again), self.factors[rows])


@dataclass(frozen=True)
class Batch:
    """What a step is taken on.

    Attributes:
        rows: (B,) int64, the rows of the ImageSet that could be read; of several processes, this one's.
        first: the first views, (B, S, S, 3) uint8.
        second: the second views; None where section 5 does not apply.
        unreadable: the rows that could not be read, with the reason.
        images: how many images the batch has, on all processes.
    """

    rows: NDArray[np.int64]
    first: torch.Tensor
    second: torch.Tensor | None
    unreadable: dict[int, str]
    images: int


def batches(
    images: ImageSet,
    readable: torch.Tensor,
    views: TrainingViews,
    consistent: bool,
    recipe: Recipe,
    epoch: int,
    stage: Stage,
    ranks: Ranks = ALONE,
) -> Generator[Batch, None, None]:
    """Decode the readable images of an epoch in its order, each once, and make their views, batch by batch.

    Those that the stage has done already are left out. Of several processes each decodes its part of every batch.
    """
    order = randomness.order(recipe.seed, epoch, len(images))
    order = order[readable.numpy()[order]][stage.done :]
    for every in np.array_split(order, range(recipe.train.batch_size, len(order), recipe.train.batch_size)):
        rows = np.array_split(every, ranks.size)[ranks.rank]
        with stage.part("decode"):
            photographs = views.backend.decode(images.files(rows), rows)
        with stage.part("views"):
            first = views.first(photographs)
            second = views.second(first, photographs.rows) if consistent and len(photographs) else None
        yield Batch(photographs.rows, first, second, photographs.unreadable, len(every))


def fit_epoch(
    trainer: Trainer,
    images: ImageSet,
    labels: PseudoLabels,
    backend: ViewBackend,
    epoch: int,
    consistent: bool,
    recipe: Recipe,
    stage: Stage,
    ranks: Ranks = ALONE,
) -> tuple[float, torch.Tensor, dict[int, str]]:
    """Train for one epoch.

    Args:
        trainer: takes the steps; its student is trained in place.
        images: N images.
        labels: their pseudo-labels; unreadable images are passed over.
        backend: of the views.
        epoch: key of the order, the flips and the jitter.
        consistent: whether section 5 applies; before, the loss is the plain mean of BCE(z, y).
        recipe: the knobs.
        stage: advanced by images.
        ranks: the processes that share each batch; each gets the whole result.

    Returns:
        The mean loss; the probabilities of the first views as they were predicted, (N, C) float32; and the rows
        that could not be read, with the reason.

    Raises:
        RunError: the loss or a gradient is not finite.
    """
    trainer.begin_epoch()
    views = TrainingViews(recipe, epoch, len(images), backend)
    weights = confidence_weights(labels.confident, recipe.consistency.omega) if consistent else None
    probabilities = torch.zeros_like(labels.table)
    unreadable: dict[int, str] = {}
    total = 0.0
    if left := stage.keeper.restored():
        trainer.go_on(left["trainer"])
        probabilities, total = left["probabilities"], left["total"]
        unreadable |= left["unreadable"]
        stage.go_on(left["done"], seconds=left["seconds"])

    def so_far() -> dict[str, Any]:
        seen = {"probabilities": probabilities, "total": total, "unreadable": unreadable}
        return {**seen, "done": stage.done, "seconds": stage.seconds, "trainer": trainer.state()}

    made = batches(images, labels.readable, views, consistent, recipe, epoch, stage, ranks)
    with closing(prefetched(made, AHEAD, trainer.device) if works_ahead(trainer.device) else made) as source:
        for batch in source:
            unreadable |= batch.unreadable
            readable = int(ranks.total(torch.tensor(len(batch.rows))))
            if readable:
                share = len(batch.rows) * ranks.size / readable
                if not share:
                    batch = _stand_in(views.size, consistent, trainer.device, batch)
                rows = torch.from_numpy(batch.rows)
                with stage.part("student"):
                    try:
                        wanted = labels.table[rows], None if weights is None else weights[rows]
                        loss, logits = trainer.step(batch.first, batch.second, *wanted, share)
                    except NotFiniteError as error:
                        names = ", ".join(images.paths[row] for row in rows.tolist()[:3])
                        message = f"{error} at a batch with {names}; the last checkpoint is kept"
                        raise RunError(message) from error
                    except RuntimeError as error:
                        if problem := lost(error):
                            raise RunError(problem) from error
                        raise
                stage.saw("training", len(rows) * (1 if batch.second is None else 2))
                if share:
                    probabilities[rows] = torch.sigmoid(logits)
                    total += loss * len(rows)
            stage.advance(batch.images)
            stage.keeper.keep(so_far)
    ranks.total(probabilities)  # of each row, one process has the scores and the others have 0
    total = float(ranks.total(torch.tensor(total, dtype=torch.float64)))
    return total / max(stage.done, 1), probabilities, ranks.merged(unreadable)


def _stand_in(size: int, consistent: bool, device: torch.device, batch: Batch) -> Batch:
    """Give a black picture in place of an empty part: the other processes wait for its gradients, which count 0."""
    black = torch.zeros((1, size, size, 3), dtype=torch.uint8, device=device)
    return replace(batch, rows=np.zeros(1, dtype=np.int64), first=black, second=black if consistent else None)
