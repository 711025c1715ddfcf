"""A reconstruction of G2NetPL (Abdelfattah et al., BMVC 2022, arXiv 2210.11469): only its abstract could be read.

From the abstract: every unobserved label has a soft value; student and labels play a game in which the student
minimises its loss, and each label seeks 0 or 1 and pays for leaving the student's answer; a scheduler weighs the losses
from sure labels to unsure ones. What these costs, steps and weights are is not known: those below are this project's,
and a figure of this system is not a figure of G2NetPL.
"""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ccd_fast.systems.epr import epr_loss
from ccd_fast.systems.system import Seen, System

AGREEMENT = 1.0
"""kappa, what a label pays for leaving the student; up to 1 labels run to 0 or 1 by themselves."""
STEP = 8.0
"""eta of the labels' step. In their logits it is at most an eighth of this at first: 10 epochs reach 0 and 1."""


def turn(latent: torch.Tensor, predicted: torch.Tensor, step: float = STEP) -> torch.Tensor:
    """Move labels down the gradient of their cost y (1 - y) + kappa (y - p)^2, in the logits of y.

    Args:
        latent: logits of y, (N, C).
        predicted: p, (N, C).
        step: eta.
    """
    y = torch.sigmoid(latent)
    return latent - step * ((1 - 2 * y) + 2 * AGREEMENT * (y - predicted)) * y * (1 - y)


class G2NetPl(System):
    """Keeps the labels, as logits; the student first learns from the positives alone, with EPR's regulariser."""

    def __init__(self, seen: Seen) -> None:
        """Start every unknown label at 1/2."""
        super().__init__(seen)
        self.latent = torch.zeros(self.known.shape)
        self.epoch = 0

    def before_epoch(self, epoch: int) -> None:
        """Remember which one it is."""
        self.epoch = epoch

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the mean of w l(z, y): w is 1 of known entries, |2y - 1|^s of others, s falling from 1 to 0."""
        known = self.known_of(rows, logits)
        if self.epoch == 0:
            return epr_loss(logits, (known == 1).to(logits.dtype), self.seen.positives)
        y = torch.sigmoid(self.latent[rows]).to(logits)
        labels = torch.where(known == 0, y, (known == 1).to(y))
        easy_first = 1 - self.epoch / max(self.seen.epochs - 1, 1)
        weights = torch.where(known == 0, (2 * y - 1).abs() ** easy_first, 1)
        return (weights * binary_cross_entropy_with_logits(logits, labels, reduction="none")).mean()

    def after_epoch(self, epoch: int, predicted: torch.Tensor) -> bool:  # noqa: ARG002
        """Let the labels take their turn."""
        rows = self.rows()
        self.latent = self.latent.clone()
        self.latent[rows] = turn(self.latent[rows], predicted[rows])
        return True

    def targets(self) -> torch.Tensor:
        """Give the known labels, and y of the others."""
        return torch.where(self.known == 0, torch.sigmoid(self.latent), (self.known == 1).float())

    def state(self) -> dict[str, torch.Tensor]:
        """Give the labels."""
        return {"latent": self.latent}

    def go_on(self, state: dict[str, torch.Tensor]) -> None:
        """Take them back."""
        self.latent = state["latent"]
