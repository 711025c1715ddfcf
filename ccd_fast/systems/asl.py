"""ASL, the asymmetric loss (Ridnik et al., ICCV 2021), over the known entries of partial labels.

ASL itself is a loss for full labels. The form for partial ones is the one that stands, unused, in the published code of
SARB and SST: an unknown entry counts nothing. That code divides by all entries, so that at a tenth of the labels the
loss is a tenth; here it is the mean over the known ones, so that the learning rate means the same as elsewhere.
"""

import torch

from ccd_fast.systems.system import System

POSITIVE_FOCUS, NEGATIVE_FOCUS, CLIP = 1.0, 4.0, 0.05
SMALLEST = 1e-8
"""Probabilities inside the logarithm are no smaller; the gradient of a surer error is 0."""


def asymmetric(
    logits: torch.Tensor,
    known: torch.Tensor,
    positive_focus: float = POSITIVE_FOCUS,
    negative_focus: float = NEGATIVE_FOCUS,
    clip: float = CLIP,
    detached: bool = False,
) -> torch.Tensor:
    """Compute -(1 - p)^g+ ln p of positives and -(1 - q)^g- ln q of negatives, with q = min(1 - p + clip, 1).

    Args:
        logits: z, (B, C).
        known: +1, -1, or 0 for entries that count nothing, (B, C).
        positive_focus: g+.
        negative_focus: g-.
        clip: shift of the probability of negatives.
        detached: no gradient goes through the focusing weights.

    Returns:
        (B, C).
    """
    p = torch.sigmoid(logits)
    q = 1 - p
    if clip > 0:
        q = (q + clip).clamp(max=1)
    found = torch.zeros_like(logits)
    for side, of, focus in ((1, p, positive_focus), (-1, q, negative_focus)):
        weight = (1 - of) ** focus
        losses = -(weight.detach() if detached else weight) * of.clamp(min=SMALLEST).log()
        found = found + (known == side).to(logits.dtype) * losses
    return found


class Asl(System):
    """The asymmetric loss over the known entries."""

    def rows(self) -> torch.Tensor:
        """Give all images, as the published trainer does: one without a known label counts nothing in its batch."""
        return self.seen.readable

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the mean over the known entries of a batch."""
        known = self.known_of(rows, logits)
        return asymmetric(logits, known).sum() / (known != 0).sum().clamp(min=1)
