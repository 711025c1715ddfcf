"""What a run asks of its method, in one place: first labels, loss, and what comes between epochs and steps.

The method of the paper is :class:`ccd_fast.training.ccd.Ccd`; the other systems of its table come through the same door
(:class:`ccd_fast.training.compared.Compared`).
"""

from typing import Any, Protocol

import torch

from ccd_fast.student.losses import Loss
from ccd_fast.training.state import State


class Learner(Protocol):
    """What learns beside the student, step by step."""

    def after_step(self, rows: torch.Tensor, logits: torch.Tensor) -> None:
        """Learn from a step: its rows, (B,) int64, and z before it, (B, C) float32, both on the host."""
        ...

    def kept(self) -> dict[str, Any]:
        """Give all that has changed since the start, but for labels and student; :meth:`go_on` takes it back."""
        ...

    def go_on(self, kept: dict[str, Any]) -> None:
        """Take what :meth:`kept` gave."""
        ...


class Method(Learner, Protocol):
    """A way of making the targets that a student learns from."""

    def first_labels(self) -> State:
        """Make what the first epoch learns from."""
        ...

    def before_epoch(self, state: State, epoch: int) -> bool:
        """Change the targets before an epoch, where it is time to; tell whether anything was done."""
        ...

    def has_seen(self, state: State, rows: torch.Tensor, features: torch.Tensor) -> None:
        """Take what the student's backbone saw in images before the first epoch: rows, (M,) int64, features, (M, F)."""
        ...

    def rows(self, state: State) -> torch.Tensor:
        """Give the images to train on, (N,) bool."""
        ...

    def loss(self, state: State, epoch: int) -> Loss:
        """Give the loss of an epoch."""
        ...

    def sure(self, state: State, rows: torch.Tensor) -> torch.Tensor:
        """Give the labels of some rows, (R,) int64, whose agreement with the student chooses the epoch (section 6).

        Returns:
            (R, C) bool.
        """
        ...

    def after_epoch(self, state: State, epoch: int, predicted: torch.Tensor) -> None:
        """Change the targets after an epoch, from the student's probabilities in it, (S, C), of ``parts.sample``."""
        ...
