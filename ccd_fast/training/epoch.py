"""One epoch of the student's training (sections 3, 5 and 6)."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.errors import RunError
from ccd_fast.machine import Ranks
from ccd_fast.machine.ranks import lost
from ccd_fast.runs import Stage
from ccd_fast.student.losses import Loss
from ccd_fast.student.reading import AHEAD
from ccd_fast.student.training_views import TrainingViews
from ccd_fast.training.method import Learner
from ccd_fast.training.steps import NotFiniteError, Trainer
from ccd_fast.views import Photographs, prefetched, works_ahead


@dataclass(frozen=True)
class Batch:
    """What a step is taken on.

    Attributes:
        rows: (B,) int64, the rows of the ImageSet that could be read; of several processes, this one's.
        first: the first views, (B, S, S, 3) uint8.
        second: the second views; None where section 5 does not apply.
        unreadable: the rows that could not be read, with the reason.
        images: how many images the batch has, on all processes.
        photographs: what the views were made of, kept while the step is queued: on a GPU the views may still be in
            the making.
    """

    rows: NDArray[np.int64]
    first: torch.Tensor
    second: torch.Tensor | None
    unreadable: dict[int, str]
    images: int
    photographs: Photographs


@dataclass(frozen=True)
class Fitted:
    """What an epoch gave.

    Attributes:
        loss: its mean.
        predicted: the probabilities of the first views of some images as they were seen, (S, C) float32; 0 where none
            was.
        unreadable: the rows that could not be read, with the reason.
    """

    loss: float
    predicted: torch.Tensor
    unreadable: dict[int, str]


def batches(
    images: ImageSet, rows: NDArray[np.int64], views: TrainingViews, both: bool, size: int, stage: Stage, ranks: Ranks
) -> Generator[Batch, None, None]:
    """Decode the images of some rows, in their order, and make their views, batch by batch.

    Of several processes each decodes its part of every batch.
    """
    for every in np.array_split(rows, range(size, len(rows), size)):
        own = np.array_split(every, ranks.size)[ranks.rank]
        with stage.part("decode"):
            photographs = views.backend.decode(images.files(own), own)
        with stage.part("views"):
            first = views.first(photographs)
            second = views.second(first, photographs.rows) if both and len(photographs) else None
        yield Batch(photographs.rows, first, second, photographs.unreadable, len(every), photographs)


def fit_epoch(
    trainer: Trainer,
    images: ImageSet,
    readable: torch.Tensor,
    views: TrainingViews,
    loss: Loss,
    stage: Stage,
    beside: Learner | None = None,
    sample: torch.Tensor | None = None,
) -> Fitted:
    """Train for one epoch.

    Args:
        trainer: takes the steps; its student is trained in place.
        images: N images.
        readable: (N,) bool; the others are passed over.
        views: of the epoch, and its order.
        loss: of the epoch.
        stage: advanced by images; those that it has done already are left out.
        beside: what learns beside the student.
        sample: (S,) int64, the images whose probabilities are kept; None is all.

    Raises:
        RunError: the loss or a gradient is not finite.
    """
    trainer.begin_epoch()
    ranks = trainer.ranks
    sample = torch.arange(len(images)) if sample is None else sample
    predicted = torch.zeros((len(sample), len(images.class_names)))
    places = torch.full((len(images),), -1).index_copy(0, sample, torch.arange(len(sample)))
    unreadable: dict[int, str] = {}
    total = 0.0
    if left := stage.keeper.restored():
        trainer.go_on(left["trainer"])
        predicted, total = left["probabilities"], left["total"]
        unreadable |= left["unreadable"]
        stage.go_on(left["done"], seconds=left["seconds"])
        if beside is not None and "beside" in left:
            beside.go_on(left["beside"])

    def so_far() -> dict[str, Any]:
        seen: dict[str, Any] = {"probabilities": predicted, "total": total, "unreadable": unreadable}
        if beside is not None:
            seen["beside"] = beside.kept()
        return {**seen, "done": stage.done, "seconds": stage.seconds, "trainer": trainer.state()}

    order = views.order[readable.numpy()[views.order]][stage.done :]
    made = batches(images, order, views, loss.compares_views, trainer.batch_size, stage, ranks)
    with closing(prefetched(made, AHEAD, trainer.device) if works_ahead(trainer.device) else made) as source:
        for batch in source:
            unreadable |= batch.unreadable
            of_all = int(ranks.total(torch.tensor(len(batch.rows))))
            if of_all:
                share = len(batch.rows) * ranks.size / of_all
                if not share:
                    batch = _stand_in(views.size, loss.compares_views, trainer.device, batch)
                rows = torch.from_numpy(batch.rows)
                with stage.part("student"):
                    value, logits = _step(trainer, batch, rows, loss, share, images)
                stage.saw("training", len(rows) * (1 if batch.second is None else 2))
                if share:
                    kept = places[rows] >= 0
                    predicted[places[rows[kept]]] = torch.sigmoid(logits)[kept]
                    total += value * len(rows)
                    if beside is not None:
                        beside.after_step(rows, logits)
            stage.advance(batch.images)
            stage.keeper.keep(so_far)
    ranks.total(predicted)  # of each row, one process has the scores and the others have 0
    total = float(ranks.total(torch.tensor(total, dtype=torch.float64)))
    return Fitted(total / max(stage.done, 1), predicted, ranks.merged(unreadable))


def _step(
    trainer: Trainer, batch: Batch, rows: torch.Tensor, loss: Loss, share: float, images: ImageSet
) -> tuple[float, torch.Tensor]:
    """Take a step, and say of which photographs it was where it cannot be taken."""
    try:
        return trainer.step(batch.first, batch.second, rows, loss, share)
    except NotFiniteError as error:
        names = ", ".join(images.paths[row] for row in rows.tolist()[:3])
        raise RunError(f"{error} at a batch with {names}; the last checkpoint is kept") from error
    except RuntimeError as error:
        if problem := lost(error):
            raise RunError(problem) from error
        raise


def _stand_in(size: int, both: bool, device: torch.device, batch: Batch) -> Batch:
    """Give a black picture in place of an empty part: the other processes wait for its gradients, which count 0."""
    black = torch.zeros((1, size, size, 3), dtype=torch.uint8, device=device)
    return replace(batch, rows=np.zeros(1, dtype=np.int64), first=black, second=black if both else None)
