"""The student's losses (sections 3 and 5)."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits


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
