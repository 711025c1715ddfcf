"""The student's losses (sections 3 and 5)."""

from typing import Protocol

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ccd_fast.machine.copies import send


def label_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Compute the mean over images of w_i BCE(z_i, y_i), BCE being the mean over classes.

    Args:
        logits: z, (B, C).
        labels: y, (B, C) in [0, 1]; soft targets.
        weights: w, (B,), or None for ones.

    Returns:
        A scalar.
    """
    losses = binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
    return losses.mean() if weights is None else (weights * losses).mean()


def confidence_weights(confident: torch.Tensor, omega: float) -> torch.Tensor:
    """Compute w_i = clip(confident_i + omega, 0, 1) from (B,) bool flags."""
    return (confident.float() + omega).clamp(0, 1)


def consistency_loss(other_logits: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Compute the mean BCE(z', sigmoid(z)) of the second view against the first, without gradient into the first.

    Args:
        other_logits: z', (B, C), of the second view.
        logits: z, (B, C), of the first.

    Returns:
        A scalar.
    """
    return binary_cross_entropy_with_logits(other_logits, torch.sigmoid(logits).detach())


class Loss(Protocol):
    """The loss of an epoch's steps.

    Attributes:
        compares_views: whether it asks for a second view of each photograph (section 5).
        parts_add_up: whether the loss of a batch is the mean of its parts', so that a batch may be cut.
    """

    @property
    def compares_views(self) -> bool:
        """Tell whether it asks for the second views."""
        ...

    @property
    def parts_add_up(self) -> bool:
        """Tell whether a batch may be cut."""
        ...

    def __call__(self, rows: torch.Tensor, logits: torch.Tensor, others: torch.Tensor | None) -> torch.Tensor:
        """Compute the loss of some rows.

        Args:
            rows: (B,) int64, rows of the training set, on the host.
            logits: of the first views, (B, C) float32.
            others: of the second views, where it asks for them.

        Returns:
            A scalar, the mean over the rows.
        """
        ...


class CcdLoss:
    """The loss of an epoch of the method, over a table of pseudo-labels.

    Attributes:
        compares_views: whether it asks for the second view of section 5.
    """

    parts_add_up = True

    def __init__(self, table: torch.Tensor, weights: torch.Tensor | None = None, mu: float = 0.0) -> None:
        """Take y, (N, C) float32 or float16; w, (N,) float32, or None for ones; and mu; 0 leaves section 5 out."""
        self.compares_views = mu > 0
        self._table, self._weights, self._mu = table, weights, mu

    def __call__(self, rows: torch.Tensor, logits: torch.Tensor, others: torch.Tensor | None) -> torch.Tensor:
        """Compute mean_i w_i BCE(z_i, y_i) + mu mean BCE(z'_i, sigmoid(z_i)), a scalar.

        Args:
            rows: (B,) int64, on the host.
            logits: z, (B, C) float32.
            others: z' of the second views, (B, C) float32, where section 5 applies.
        """
        labels = send(self._table[rows].float(), logits.device)
        weights = None if self._weights is None else send(self._weights[rows], logits.device)
        loss = label_loss(logits, labels, weights)
        return loss if others is None else loss + self._mu * consistency_loss(others, logits)
