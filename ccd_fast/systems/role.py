"""ROLE: regularised online label estimation (Cole et al., CVPR 2021).

Beside the student stands a table of logits G, one an image and class. Student and table each learn from the other's
answer as if it were the label, from the known positives, and from the number of classes that an image should have.
"""

from typing import Any

import torch

from ccd_fast.systems.cross_entropy import negative_log
from ccd_fast.systems.epr import expected_positives
from ccd_fast.systems.system import Seen, System

UNKNOWN = 0.6
"""An unknown label starts between 1 - 0.6 and 0.6."""
SURE = 0.995
"""A known positive starts here, a known negative at 1 - 0.995."""
FASTER = 10.0
"""The table's learning rate, in those of the student's head."""


def start(known: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Give the table's first logits, (N, C) float32.

    Args:
        known: (N, C) int8.
        uniform: draws in [0, 1), (N, C).
    """
    least, most, sure = (torch.logit(torch.tensor(p)) for p in (1 - UNKNOWN, UNKNOWN, SURE))
    return torch.where(known == 0, least + (most - least) * uniform, known.float() * sure)


def role_loss(logits: torch.Tensor, table: torch.Tensor, positive: torch.Tensor, k: float) -> torch.Tensor:
    """Compute the loss of student and table; it is the sum of one part for each, as neither learns through the other.

    Args:
        logits: z of the student, (B, C).
        table: the rows of G, (B, C).
        positive: (B, C) in {0, 1}.
        k: see :func:`ccd_fast.systems.epr.expected_positives`.
    """
    return (_half(logits, table.detach(), positive, k) + _half(table, logits.detach(), positive, k)) / 2


def _half(own: torch.Tensor, other: torch.Tensor, positive: torch.Tensor, k: float) -> torch.Tensor:
    """Compute what one of the two learns from: the positives, the other's answer, the number of classes."""
    p, q, label = torch.sigmoid(own), torch.sigmoid(-own), torch.sigmoid(other)
    of_entries = positive * negative_log(p) + label * negative_log(p) + (1 - label) * negative_log(q)
    return of_entries.mean() + expected_positives(p, k)


class Role(System):
    """Keeps the table and its optimiser: Adam over all of it, so that a row goes on moving after its batch."""

    def __init__(self, seen: Seen) -> None:
        """Start the table from draws keyed by the run's seed."""
        super().__init__(seen)
        draws = torch.rand(self.known.shape, generator=torch.Generator().manual_seed(seen.seed))
        self.table = torch.nn.Parameter(start(self.known, draws))
        self.adam = torch.optim.Adam([self.table], lr=FASTER * seen.learning_rate)

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch; the table learns in :meth:`after_step`."""
        return role_loss(
            logits, self.table.detach()[rows].to(logits), self._positive(rows, logits), self.seen.positives
        )

    def after_step(self, rows: torch.Tensor, logits: torch.Tensor) -> None:
        """Take the table's own step, from what the student said before its step."""
        self.adam.zero_grad()
        role_loss(logits, self.table[rows], self._positive(rows, logits), self.seen.positives).backward()  # type: ignore[no-untyped-call]
        self.adam.step()

    def after_epoch(self, epoch: int, predicted: torch.Tensor) -> bool:  # noqa: ARG002
        """Tell that the estimates have changed."""
        return True

    def targets(self) -> torch.Tensor:
        """Give the estimates, the sigmoid of the table."""
        return torch.sigmoid(self.table.detach())

    def state(self) -> dict[str, Any]:
        """Give the table and its moments."""
        return {"table": self.table.detach().clone(), "adam": self.adam.state_dict()}

    def go_on(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.table.data.copy_(state["table"])
        self.adam.load_state_dict(state["adam"])

    def _positive(self, rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return (self.known_of(rows, like) == 1).to(like.dtype)
