"""EPR: the known positives, and the number of classes that an image has on average (Cole et al., CVPR 2021).

The paper's table names this row after Durand et al. (CVPR 2019). Their partial BCE needs known negatives and cannot be
what stands there; the loss that Cole et al. compare with under the single-positive setting is this one.
"""

import torch

from ccd_fast.systems.cross_entropy import negative_log
from ccd_fast.systems.system import System


def expected_positives(p: torch.Tensor, k: float) -> torch.Tensor:
    """Compute R(p) = ((mean_i sum_c p_ic - k) / C)^2, a scalar.

    Args:
        p: probabilities, (B, C).
        k: how many classes an image has on average.
    """
    return ((p.sum(dim=1).mean() - k) / p.shape[1]).square()


def epr_loss(logits: torch.Tensor, positive: torch.Tensor, k: float) -> torch.Tensor:
    """Compute sum_positives n(p) / (B C) + R(p).

    Args:
        logits: z, (B, C).
        positive: (B, C) in {0, 1}.
        k: see :func:`expected_positives`.
    """
    p = torch.sigmoid(logits)
    return (positive * negative_log(p)).mean() + expected_positives(p, k)


class Epr(System):
    """Nothing is assumed of single entries that are unknown, only of their number."""

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch; its regulariser is over the whole batch."""
        return epr_loss(logits, (self.known_of(rows, logits) == 1).to(logits.dtype), self.seen.positives)
