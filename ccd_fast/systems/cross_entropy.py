"""BCE and its variants of Cole et al. (CVPR 2021): BCE, BCE-LS, naive AN, AN-LS (Szegedy), WAN (Aodha).

All are one loss, the mean over the entries of w (t n(p) + (1 - t) n(1 - p)), with targets t and weights w of their own.
n(x) = -ln(x + 1e-5) is theirs too: a loss is never above 11.5, and its gradient vanishes where the student is sure of
the opposite (beyond a logit of about 11.5).
"""

import torch

from ccd_fast.systems.system import System

INSIDE_THE_LOGARITHM = 1e-5
SMOOTHING = 0.1
"""Of the labels, in full on both sides: 0.9 and 0.1."""


def negative_log(p: torch.Tensor) -> torch.Tensor:
    """Compute n(p) = -ln(p + 1e-5)."""
    return -(p + INSIDE_THE_LOGARITHM).log()


def entries(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute t n(p) + (1 - t) n(1 - p) of each entry, (B, C); 1 - p is the sigmoid of -z, which is not rounded."""
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    return targets * negative_log(p) + (1 - targets) * negative_log(q)


def smoothed(targets: torch.Tensor, by: float = SMOOTHING) -> torch.Tensor:
    """Draw targets towards their opposite: t becomes (1 - by) t + by (1 - t)."""
    return (1 - by) * targets + by * (1 - targets)


def weak_negatives(positive: torch.Tensor) -> torch.Tensor:
    """Give WAN's weights, (B, C): 1 of a positive, 1 / (C - 1) of every other entry."""
    others = max(positive.shape[1] - 1, 1)
    return torch.where(positive > 0, torch.ones_like(positive), torch.full_like(positive, 1 / others))


class Bce(System):
    """BCE over the known labels, of which those that are not positive count as negative; or over soft ones."""

    def targets(self) -> torch.Tensor:
        """Give the soft labels where there are any, and else 1 for each positive."""
        return super().targets() if self.seen.soft is None else self.seen.soft

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the mean of w l(z, t)."""
        targets = self._of(rows, logits)
        return (self.weights(targets) * entries(logits, self.smooth(targets))).mean()

    def _of(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        if self.seen.soft is None:
            return (self.known_of(rows, logits) == 1).to(logits.dtype)
        return self.seen.soft[rows].to(logits)

    def smooth(self, targets: torch.Tensor) -> torch.Tensor:
        """Leave the targets as they are."""
        return targets

    def weights(self, targets: torch.Tensor) -> torch.Tensor:
        """Weigh every entry the same."""
        return torch.ones_like(targets)


class Smoothed(Bce):
    """The same with label smoothing: BCE-LS on full labels, AN-LS on single positives."""

    def smooth(self, targets: torch.Tensor) -> torch.Tensor:
        """Give 0.9 and 0.1 in place of 1 and 0."""
        return smoothed(targets)


class WeakNegatives(Bce):
    """The same with weak negatives (WAN): all negatives of an image count as much as one positive."""

    def weights(self, targets: torch.Tensor) -> torch.Tensor:
        """Give 1 and 1 / (C - 1)."""
        return weak_negatives(targets)
