"""CDUL: CLIP-driven unsupervised learning (Abdelfattah et al., ICCV 2023, arXiv 2307.16634).

CLIP scores the whole image and the tiles of a 3 x 3 grid; their mean is a first soft label. Then student and labels
take turns: an epoch for the student, and a step of the labels towards the student, in which unsure labels move most.
The paper's width of that weight, the step and the schedule are not known: those below are this project's.
"""

import math

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ccd_fast.systems.system import Seen, System

GRID = 3
PRESENT = 0.5
"""zeta: a class counts as seen in a tile from this score on."""
WIDTH, STEP = 0.2, 0.25
"""sigma of the Gaussian weight, and eta of the step: chosen here."""
WAIT = 1
"""Epochs before the labels first move: the student has to say something first."""
INSIDE = 1e-4
"""Labels and probabilities stay this far from 0 and 1 where their logits are taken."""


def first_labels(whole: torch.Tensor, most: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    """Compute y = (s_g + s_a) / 2, with s_a = alpha where alpha >= zeta and beta elsewhere, (N, C).

    Args:
        whole: s_g, the scores of the whole images, (N, C).
        most: alpha, the largest score over the tiles.
        least: beta, the smallest.
    """
    return (whole + torch.where(most >= PRESENT, most, least)) / 2


def turn(labels: torch.Tensor, predicted: torch.Tensor, width: float = WIDTH, step: float = STEP) -> torch.Tensor:
    """Move labels down the gradient of KL(y || f), in the logits of y, weighted by a Gaussian around 1/2.

    Args:
        labels: y, (N, C).
        predicted: f, (N, C).
        width: sigma.
        step: eta; 0 leaves the labels as they are, but for the distance that they keep from 0 and 1.
    """
    y, f = labels.clamp(INSIDE, 1 - INSIDE), predicted.clamp(INSIDE, 1 - INSIDE)
    weight = torch.exp(-0.5 * ((y - 0.5) / width) ** 2) / (width * math.sqrt(2 * math.pi))
    return torch.sigmoid(torch.logit(y) - step * weight * (torch.logit(y) - torch.logit(f)))


class Cdul(System):
    """Keeps the soft labels."""

    def __init__(self, seen: Seen) -> None:
        """Start from the teacher's soft labels."""
        super().__init__(seen)
        assert seen.soft is not None, "CDUL begins with soft labels"
        self.labels = seen.soft

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the mean BCE to the labels; in the student its gradient is that of KL(y || f)."""
        return binary_cross_entropy_with_logits(logits, self.labels[rows].to(logits))

    def after_epoch(self, epoch: int, predicted: torch.Tensor) -> bool:
        """Move the labels towards what the student said while it was trained; unreadable images keep theirs."""
        if epoch < WAIT:
            return False
        rows = self.rows()
        self.labels = self.labels.clone()
        self.labels[rows] = turn(self.labels[rows], predicted[rows])
        return True

    def targets(self) -> torch.Tensor:
        """Give the labels."""
        return self.labels

    def state(self) -> dict[str, torch.Tensor]:
        """Give the labels."""
        return {"labels": self.labels}

    def go_on(self, state: dict[str, torch.Tensor]) -> None:
        """Take them back."""
        self.labels = state["labels"]
