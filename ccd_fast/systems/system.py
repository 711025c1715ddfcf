"""What a system of the paper's table is to the trainer: its loss, and what it does before, between and after."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.machine.copies import send

EVEN = 0.5
"""A soft label from here on counts as positive."""


@dataclass(frozen=True)
class Seen:
    """All that a system gets to see before training. What it may not see is not in it.

    Attributes:
        known: (N, C) int8: +1, -1, or 0 where nothing is known.
        soft: (N, C) float32, soft labels to start from, where the system takes any.
        readable: (N,) bool, images that could be decoded.
        positives: k, how many classes an image has on average, for the systems that ask it.
        rejection: by how much LL-R's share of rejected losses grows with each epoch.
        epochs: of the training.
        steps: of an epoch.
        learning_rate: of the student's head.
        seed: of the run.
    """

    known: NDArray[np.int8]
    soft: torch.Tensor | None
    readable: torch.Tensor
    positives: float
    rejection: float
    epochs: int
    steps: int
    learning_rate: float
    seed: int


class System:
    """A system as the trainer asks it. Here nothing is done between the steps: that is for those which need it.

    Attributes:
        known: (N, C) int8, what it was told.
    """

    def __init__(self, seen: Seen) -> None:
        """Take what it may see."""
        self.seen = seen
        self.known = torch.from_numpy(seen.known)

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch, a scalar.

        Args:
            rows: (B,) int64, rows of the training set, on the host.
            logits: z, (B, C).
        """
        raise NotImplementedError

    def targets(self) -> torch.Tensor:
        """Give the labels as they stand, (N, C) float32 in [0, 1]; unknown ones count as 0 where they have no value."""
        return (self.known == 1).float()

    def rows(self) -> torch.Tensor:
        """Give the images that it learns from, (N,) bool: those of which anything is known."""
        told = (self.known != 0).any(dim=1)
        return self.seen.readable & (told if self.seen.soft is None else torch.ones_like(told))

    def sure(self) -> torch.Tensor:
        """Give the positives that the choice of the epoch goes by, (N, C) bool."""
        return self.known == 1 if self.seen.soft is None else self.targets() >= EVEN

    def before_epoch(self, epoch: int) -> None:
        """Prepare an epoch, from 0."""

    def wants_vectors(self, epoch: int) -> bool:  # noqa: ARG002 - for those which need it
        """Tell whether the vectors of the known positives are to be gathered before an epoch."""
        return False

    def take_vectors(self, epoch: int, vectors: Sequence[torch.Tensor]) -> None:
        """Take, of each class, the vectors of its known positives as the head makes them now, (n, F)."""

    def after_step(self, rows: torch.Tensor, logits: torch.Tensor) -> None:
        """Learn from a step: its rows, (B,), and z before it, (B, C) float32, both on the host."""

    def after_epoch(self, epoch: int, predicted: torch.Tensor) -> bool:  # noqa: ARG002 - for those which need it
        """Learn from an epoch; tell whether :meth:`targets` have changed.

        Args:
            epoch: from 0.
            predicted: probabilities of the training images as they were seen, (N, C) float32.
        """
        return False

    def state(self) -> dict[str, Any]:
        """Give all that changes during training, for a checkpoint; :meth:`go_on` takes it back."""
        return {}

    def go_on(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state` gave."""

    def known_of(self, rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Give what is known of some rows, (B, C), as numbers of a type and on a device."""
        return send(self.known[rows], like.device).to(like.dtype)
