"""Which classes a photograph has, given a number for each; and the classes that such a decision probably misses."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.errors import printable
from ccd_fast.outputs.labelling import Labelled

FAR_MORE = 2.5
"""A class is probably missed where it is near the top of so many times the photographs that are given it."""
TOLD_FROM = 50
"""Photographs from which on something is said of classes that are missed: fewer need not show every class."""
AT_LEAST = 5
"""Photographs that a class must be lacking before anything is said of it."""
NEAR_THE_TOP = 2
"""A class is near the top of a photograph where it is among so many likeliest."""
ABSENT, ABOVE = 0.25, 1.2
"""Quantile of a class's labels that is taken for what a photograph without the class gets, the floor as a rule; and how
many times that a label must be to count."""


@dataclass(frozen=True)
class Missed:
    """A class that is near the top of far more photographs than are given it.

    Attributes:
        name: of the class.
        given: photographs that are given it.
        near: photographs that it is near the top of.
    """

    name: str
    given: int
    near: int


def likeliest(labelled: Labelled, decided: NDArray[np.bool_], top_k: int) -> NDArray[np.bool_]:
    """Keep the likeliest classes of those that were decided on, (N, C) bool, at most ``top_k`` a photograph."""
    order = labelled.table.masked_fill(~torch.from_numpy(decided), -1.0).argsort(dim=1, descending=True, stable=True)
    first = torch.zeros_like(labelled.table, dtype=torch.bool).scatter_(1, order[:, :top_k], True)
    kept: NDArray[np.bool_] = first.numpy() & decided
    return kept


def probably_missed(labelled: Labelled, decided: NDArray[np.bool_]) -> list[Missed]:
    """Name the classes that are near the top of far more photographs than are given them, the most lacking first.

    That a class comes second again and again, and hardly ever first, is what a softmax makes of one that stands beside
    others. The sum of a class's labels does not tell: it shares the one label that a softmax has.

    Args:
        labelled: N photographs.
        decided: (N, C), which classes each is given.
    """
    table = labelled.table[labelled.readable]
    if not len(table):
        return []
    first = table.topk(min(NEAR_THE_TOP, table.shape[1] - 1), dim=1).indices
    near = torch.zeros_like(table, dtype=torch.bool).scatter_(1, first, True)
    near &= table >= ABOVE * table.quantile(ABSENT, dim=0)
    counts = decided[labelled.readable.numpy()].sum(axis=0).tolist()
    found = [
        Missed(name, given, close)
        for name, given, close in zip(labelled.images.class_names, counts, near.sum(dim=0).tolist(), strict=True)
        if close >= FAR_MORE * given and close - given >= AT_LEAST
    ]
    return sorted(found, key=lambda each: each.given - each.near)


def none_of_these(labelled: Labelled, decided: NDArray[np.bool_]) -> int:
    """Count the photographs that could be read and are given no class."""
    return int((~decided.any(axis=1) & labelled.readable.numpy()).sum())


def remarks(labelled: Labelled, decided: NDArray[np.bool_]) -> list[str]:
    """Say which classes are given to no photograph, and which are probably missed, in a line each; nothing of a few."""
    if int(labelled.readable.sum()) < TOLD_FROM:
        return []
    counts = dict(zip(labelled.images.class_names, decided.sum(axis=0).tolist(), strict=True))
    lines = []
    if never := [name for name, count in counts.items() if not count]:
        lines.append(f"given to no photograph: {printable(', '.join(never))}")
    if missed := probably_missed(labelled, decided):
        told = ", ".join(f"{each.name} (given to {each.given:,}, near the top of {each.near:,})" for each in missed)
        lines.append(f"probably missed, and found more often with a lower threshold: {printable(told)}")
    return lines
