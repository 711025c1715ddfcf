"""Which photographs are worth a person's minute first: where student and labels doubt, or contradict each other.

Two look at each photograph: the student, and the label table, which is the teacher's. Both are brought to one scale, on
which ½ is where they begin to give the class, and averaged, q. The entropy of q is the doubt of an entry: high where
both are unsure, and where one is sure that the class is there and the other that it is not, as in query by committee
(Seung et al. 1992). A photograph is worth the sum of its doubts, each divided by the square root of the photographs
that its class seems to have: a rare class has less to learn from.
"""

import math
from dataclasses import dataclass

import torch

HALF = 0.5
CLOSE = 1e-4
"""Nearest that a limit is taken to be to 0 or 1."""


@dataclass(frozen=True)
class Doubts:
    """What is doubtful of N photographs and C classes.

    Attributes:
        student: (N, C) float32 in [0, 1]; the class is given from ½ on.
        labels: of the same form, what the label table says.
        entries: (N, C) float32, doubt in bits; 0 where a person has told, and in rows that cannot be read.
        worth: (N,) float32, of the photograph; by it they are put in order.
    """

    student: torch.Tensor
    labels: torch.Tensor
    entries: torch.Tensor
    worth: torch.Tensor

    @property
    def likely(self) -> torch.Tensor:
        """Give q, (N, C) float32: from ½ on the class is suggested."""
        return (self.student + self.labels) / 2

    def first(self, count: int) -> list[int]:
        """Give the photographs that are worth most, the first first; none that leaves no doubt."""
        order = self.worth.argsort(descending=True, stable=True)[:count]
        return [row for row in order.tolist() if self.worth[row] > 0]


def halved(scores: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Bring scores to the scale on which ½ is the limit of their class: p to the power of ln ½ / ln t.

    Args:
        scores: (N, C) float32 in [0, 1].
        limits: t, (C,) float32 in [0, 1].
    """
    return scores ** (math.log(HALF) / limits.clamp(CLOSE, 1 - CLOSE).log())


def of(student: torch.Tensor, labels: torch.Tensor, settled: torch.Tensor) -> Doubts:
    """Find what is doubtful.

    Args:
        student: (N, C) float32, on the scale of :func:`halved`.
        labels: of the same form.
        settled: (N, C) bool, entries that leave no doubt: a person has told, or the photograph cannot be read.
    """
    likely = (student + labels) / 2
    bits = -(torch.xlogy(likely, likely) + torch.xlogy(1 - likely, 1 - likely)) / math.log(2)
    entries = bits.clamp(min=0).masked_fill(settled, 0)
    rare = likely.sum(dim=0).clamp(min=1).rsqrt()
    return Doubts(student, labels, entries, (entries * rare).sum(dim=1))


def why(doubts: Doubts, row: int, names: tuple[str, ...], most: int = 2) -> str:
    """Say in a few words what is doubtful of a photograph, the most doubtful class first."""
    order = doubts.entries[row].argsort(descending=True, stable=True)[:most].tolist()
    said = []
    for c in (c for c in order if doubts.entries[row, c] > HALF):
        student, labels = (bool(table[row, c] >= HALF) for table in (doubts.student, doubts.labels))
        if student != labels:
            said.append(f"{names[c]}: {'student yes, labels no' if student else 'labels yes, student no'}")
        else:
            said.append(f"{names[c]}: unsure")
    return " · ".join(said) or "several small doubts"
