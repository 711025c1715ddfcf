"""LL-R: the largest losses of unobserved entries are rejected (Kim et al., CVPR 2022)."""

import math

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ccd_fast.systems.system import Seen, System


def kept_share(epoch: int, growth: float) -> float:
    """Give the share of losses that an epoch, from 0, keeps: 1 less ``growth`` an epoch, subtracted one by one.

    As in the published code: where the rejected share is a whole number of entries, rounding makes it one more.
    """
    share = 1.0
    for _ in range(epoch):
        share -= growth
    return share


def rejected(losses: torch.Tensor, observed: torch.Tensor, kept: float) -> torch.Tensor:
    """Find the k largest losses of unobserved entries, and those equal to the k-th, (B, C) bool.

    Args:
        losses: of each entry, (B, C).
        observed: (B, C) bool.
        kept: share of the batch's entries that is kept; k is the rest, rounded up.
    """
    count = math.ceil(losses.numel() * (1 - kept))
    if count == 0:
        return torch.zeros_like(observed)
    unobserved = torch.where(observed, 0, losses.detach())
    return unobserved >= unobserved.flatten().topk(min(count, losses.numel())).values[-1]


def llr_loss(logits: torch.Tensor, known: torch.Tensor, kept: float) -> torch.Tensor:
    """Compute the mean BCE over all entries, with unknown ones as negatives and the rejected ones as 0.

    Args:
        logits: z, (B, C).
        known: (B, C) in {-1, 0, 1}.
        kept: see :func:`rejected`.
    """
    losses = binary_cross_entropy_with_logits(logits, (known == 1).to(logits.dtype), reduction="none")
    return torch.where(rejected(losses, known != 0, kept), 0, losses).mean()


class Llr(System):
    """The share that is rejected grows from epoch to epoch; it is counted over each batch."""

    def __init__(self, seen: Seen) -> None:
        """Begin by keeping all."""
        super().__init__(seen)
        self.kept = 1.0

    def before_epoch(self, epoch: int) -> None:
        """Set the share."""
        self.kept = kept_share(epoch, self.seen.rejection)

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch."""
        return llr_loss(logits, self.known_of(rows, logits), self.kept)
