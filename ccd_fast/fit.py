"""One epoch of the student's training (sections 3, 5 and 6)."""

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import randomness
from ccd_fast.config import Recipe
from ccd_fast.datasets import ImageSet
from ccd_fast.errors import RunError
from ccd_fast.losses import confidence_weights, consistency_loss, label_loss
from ccd_fast.predict import STUDENT_FILTER
from ccd_fast.progress import Stage
from ccd_fast.pseudo_labels import PseudoLabels
from ccd_fast.randomness import Purpose
from ccd_fast.student import Student
from ccd_fast.views import Photographs, ViewBackend, flipped, jitter_factors


def adam(student: Student, recipe: Recipe) -> torch.optim.Adam:
    """Make the optimiser, with a learning rate of its own for the backbone and for the 1x1 convolution.

    A backbone with the learning rate 0 is frozen: no gradients are computed for it.
    """
    student.backbone.requires_grad_(not is_frozen(recipe))
    groups = [
        {"params": list(student.backbone.parameters()), "lr": recipe.train.backbone_learning_rate},
        {"params": list(student.head.parameters()), "lr": recipe.train.head_learning_rate},
    ]
    return torch.optim.Adam(groups)


def is_frozen(recipe: Recipe) -> bool:
    """Tell whether the backbone stays as it is: weights and BatchNorm statistics."""
    return recipe.train.backbone_learning_rate == 0


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


def fit_epoch(
    student: Student,
    optimizer: torch.optim.Optimizer,
    images: ImageSet,
    labels: PseudoLabels,
    backend: ViewBackend,
    epoch: int,
    consistent: bool,
    recipe: Recipe,
    stage: Stage,
) -> tuple[float, torch.Tensor, dict[int, str]]:
    """Train for one epoch.

    Args:
        student: trained in place.
        optimizer: over the student.
        images: N images.
        labels: their pseudo-labels; unreadable images are passed over.
        backend: of the views.
        epoch: key of the order, the flips and the jitter.
        consistent: whether section 5 applies; before, the loss is the plain mean of BCE(z, y).
        recipe: the knobs.
        stage: advanced by images.

    Returns:
        The mean loss; the probabilities of the first views as they were predicted, (N, C) float32; and the rows
        that could not be read, with the reason.

    Raises:
        RunError: the loss is not finite.
    """
    student.train()
    if is_frozen(recipe):
        student.backbone.eval()
    views = TrainingViews(recipe, epoch, len(images), backend)
    weights = confidence_weights(labels.confident, recipe.consistency.omega) if consistent else None
    probabilities = torch.zeros_like(labels.table)
    unreadable: dict[int, str] = {}
    total = 0.0
    order = randomness.order(recipe.seed, epoch, len(images))
    order = order[labels.readable.numpy()[order]]
    for batch in np.array_split(order, range(recipe.train.batch_size, len(order), recipe.train.batch_size)):
        with stage.part("decode"):
            photographs = backend.decode(images.files(batch), batch)
        unreadable |= photographs.unreadable
        if not len(photographs):
            continue
        rows = torch.from_numpy(photographs.rows)
        with stage.part("views"):
            first = views.first(photographs)
            second = views.second(first, photographs.rows) if consistent else None
        with stage.part("student"):
            logits, _ = student(first)
            loss = label_loss(logits, labels.table[rows], None if weights is None else weights[rows])
            if second is not None:
                loss = loss + recipe.consistency.mu * consistency_loss(student(second)[0], logits)
            _refuse_not_finite(loss, images, rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        probabilities[rows] = torch.sigmoid(logits.detach())
        total += float(loss.detach()) * len(rows)
        stage.advance(len(batch))
    return total / max(stage.done, 1), probabilities, unreadable


def _refuse_not_finite(loss: torch.Tensor, images: ImageSet, rows: torch.Tensor) -> None:
    if not torch.isfinite(loss):
        names = ", ".join(images.paths[row] for row in rows.tolist()[:3])
        raise RunError(f"the loss is {loss.item()} at a batch with {names}; the last checkpoint is kept")
