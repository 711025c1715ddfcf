"""SARB: semantic-aware representation blending (Pu et al., AAAI 2022; the published code's first version).

Where a label of an image is unknown, the class's vector is blended with that of another image that has the class, and
with a prototype of the class: the blend is a positive whose label says how much of it is.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ccd_fast.systems.class_features import ClassFeatures
from ccd_fast.systems.contrastive import CONTRASTIVE, Draws, contrastive, known_bce
from ccd_fast.systems.system import Seen, System

START, EVERY = 5 / 20, 5 / 20
"""Blending begins at epoch 5 of 20, and the prototypes are made anew every 5: here at the same share of the epochs."""
PROTOTYPES = 10
"""Prototypes of a class."""
KMEANS_STEPS = 100
HALF = 0.5


class BlendingHead(ClassFeatures):
    """The head with the two shares of a blend, which are learned with it."""

    def __init__(self, features: int, words: torch.Tensor, edges: torch.Tensor, width: int = 0, inner: int = 0) -> None:
        """Draw weights; see :class:`ccd_fast.systems.class_features.ClassFeatures`."""
        super().__init__(features, words, edges, width, inner)
        self.alpha = nn.Parameter(torch.tensor(HALF))
        self.beta = nn.Parameter(torch.tensor(HALF))

    def keep_shares(self) -> None:
        """Put the shares back into 0 … 1."""
        for share in (self.alpha, self.beta):
            share.data.clamp_(0, 1)


Blend = tuple[torch.Tensor, torch.Tensor]
"""Vectors, (B, C, F), and their labels, (B, C)."""


def with_another_image(features: torch.Tensor, known: torch.Tensor, alpha: torch.Tensor) -> Blend:
    """Blend each image with the one as far from the batch's other end, where that has a class which is unknown here.

    Args:
        features: f, (B, C, F).
        known: (B, C) in {-1, 0, 1}.
        alpha: share of the image's own.
    """
    here = (known == 0) & (known.flip(0) == 1)
    mixed = alpha * features + (1 - alpha) * features.flip(0)
    return torch.where(here[..., None], mixed, features), torch.where(here, 1 - alpha, known)


def with_a_prototype(
    features: torch.Tensor, known: torch.Tensor, beta: torch.Tensor, prototypes: torch.Tensor, draws: torch.Tensor
) -> Blend:
    """Blend one unknown class of each image, at random, with its prototype.

    An image without an unknown class blends its first one, as in the published code. A class without a prototype
    (NaN) stays as it is.

    Args:
        features: f, (B, C, F).
        known: (B, C) in {-1, 0, 1}.
        beta: share of the image's own.
        prototypes: (C, F).
        draws: in [0, 1), (B, C).
    """
    chosen = torch.where(known == 0, draws, 0).argmax(dim=1)
    here = torch.zeros_like(known, dtype=torch.bool)
    here[torch.arange(len(known)), chosen] = True
    here &= ~prototypes.isnan().any(dim=1)
    mixed = beta * features + (1 - beta) * prototypes.nan_to_num()
    return torch.where(here[..., None], mixed, features), torch.where(here, 1 - beta, known)


def k_means(points: torch.Tensor, count: int, draws: Draws) -> torch.Tensor:
    """Find centres of points, (n, F), by k-means from a k-means++ start, (count, F).

    Fewer points than centres stand for the centres themselves, in turn; without any the centres are NaN.
    """
    if len(points) <= count:
        turns = torch.arange(count) % max(len(points), 1)
        return points[turns] if len(points) else torch.full((count, points.shape[1]), torch.nan)
    centres = points[[draws.index(len(points))]]
    while len(centres) < count:
        far = torch.cdist(points, centres).min(dim=1).values.square()
        if not far.any():
            return centres[torch.arange(count) % len(centres)]
        centres = torch.cat([centres, points[draws.weighted(far)]])
    for _ in range(KMEANS_STEPS):
        nearest = torch.cdist(points, centres).argmin(dim=1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=count)[:, None]
        moved = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def prototypes_of(features: Sequence[torch.Tensor], count: int, seed: int) -> torch.Tensor:
    """Find the prototypes of each class, (C, count, F), in the vectors of its known positives, (n, F) each."""
    return torch.stack([k_means(own.float(), count, Draws(seed, c)) for c, own in enumerate(features)])


def sarb_loss(
    head: BlendingHead,
    logits: torch.Tensor,
    known: torch.Tensor,
    prototypes: torch.Tensor | None,
    grown: float,
    draws: Draws,
) -> torch.Tensor:
    """Compute the loss of the batch that a head has just seen.

    Args:
        head: of the student.
        logits: z, (B, C).
        known: (B, C) in {-1, 0, 1}.
        prototypes: (C, K, F), of which the same one is taken for all classes; None where nothing is blended yet.
        grown: share of the contrastive loss; it grows over the first epoch.
        draws: of the step.
    """
    features = head.of_the_last()
    total = known_bce(logits, known) + CONTRASTIVE * grown * contrastive(features, known, draws)
    if prototypes is None:
        return total
    head.keep_shares()
    of_one = prototypes[:, draws.index(prototypes.shape[1])].to(features)
    chance = draws.uniform(known.shape).to(known)
    for blended, labels in (
        with_another_image(features, known, head.alpha),
        with_a_prototype(features, known, head.beta, of_one, chance),
    ):
        total = total + known_bce(head.classify(blended), labels)
    return total


class Sarb(System):
    """BCE over the known labels, over both blends, and the contrastive loss."""

    def __init__(self, seen: Seen, head: BlendingHead) -> None:
        """Take the head, whose vectors the losses look at."""
        super().__init__(seen)
        self.head = head
        self.prototypes = torch.empty(0)
        self.start, self.every = round(START * seen.epochs), max(round(EVERY * seen.epochs), 1)
        self.epoch = self.step = 0

    def rows(self) -> torch.Tensor:
        """Give all images, as the published trainer does."""
        return self.seen.readable

    @property
    def blends(self) -> bool:
        """Tell whether this epoch blends."""
        return self.epoch >= self.start

    def wants_vectors(self, epoch: int) -> bool:
        """Tell whether the prototypes are to be made anew before an epoch."""
        return epoch >= self.start and (epoch - self.start) % self.every == 0

    def take_vectors(self, epoch: int, vectors: Sequence[torch.Tensor]) -> None:
        """Make the prototypes, of the vectors of each class's known positives, (n, F) each."""
        self.prototypes = prototypes_of(vectors, PROTOTYPES, self.seen.seed + epoch)

    def before_epoch(self, epoch: int) -> None:
        """Count the steps anew."""
        self.epoch, self.step = epoch, 0

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch."""
        grown = self.step / self.seen.steps if self.epoch == 0 else 1.0
        prototypes = self.prototypes if self.blends else None
        draws = Draws(self.seen.seed, self.epoch, self.step)
        return sarb_loss(self.head, logits, self.known_of(rows, logits), prototypes, grown, draws)

    def after_step(self, rows: torch.Tensor, logits: torch.Tensor) -> None:  # noqa: ARG002
        """Count it."""
        self.step += 1

    def state(self) -> dict[str, Any]:
        """Give the prototypes; the shares are weights of the student."""
        return {"prototypes": self.prototypes, "step": self.step}

    def go_on(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.prototypes, self.step = state["prototypes"], state["step"]
