"""Which classes a photograph has, given a number for each; and the classes that such a decision probably misses."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.errors import printable
from ccd_fast.outputs.labelling import Labelled

FAR_LESS = 3.0
"""A class is probably missed where its labels add up to so many times the photographs that are given it."""
AT_LEAST = 5.0
"""Photographs that a class must be lacking, by the sum of its labels, before anything is said of it."""
ORDINARY = 0.5
"""Quantile of a class's labels that is taken for what a photograph without the class gets."""


@dataclass(frozen=True)
class Missed:
    """A class that is given to far fewer photographs than its labels add up to.

    Attributes:
        name: of the class.
        given: photographs that are given it.
        expected: photographs that its labels add up to.
    """

    name: str
    given: int
    expected: int

    def said(self) -> str:
        """Say it in a line."""
        return (
            f"probably missed: {printable(self.name)}: given to {self.given:,} photographs, while its labels add up to "
            f"about {self.expected:,}: a lower threshold for it would find more"
        )


def likeliest(labelled: Labelled, decided: NDArray[np.bool_], top_k: int) -> NDArray[np.bool_]:
    """Keep the likeliest classes of those that were decided on, (N, C) bool, at most ``top_k`` a photograph."""
    order = labelled.table.masked_fill(~torch.from_numpy(decided), -1.0).argsort(dim=1, descending=True, stable=True)
    first = torch.zeros_like(labelled.table, dtype=torch.bool).scatter_(1, order[:, :top_k], True)
    kept: NDArray[np.bool_] = first.numpy() & decided
    return kept


def probably_missed(labelled: Labelled, decided: NDArray[np.bool_]) -> list[Missed]:
    """Name the classes that are given far less often than their labels add up to, the most lacking first.

    Labels have a floor, and a student's probabilities of what is absent are not 0: a class's median is taken for what
    an ordinary photograph without it gets, and only what is above it counts.

    Args:
        labelled: N photographs.
        decided: (N, C), which classes each is given.
    """
    table = labelled.table[labelled.readable].double()
    if not len(table):
        return []
    floor = table.quantile(ORDINARY, dim=0)
    mass = ((table - floor).clamp_min(0) / (1 - floor).clamp_min(1e-6)).sum(dim=0).tolist()
    counts = decided[labelled.readable.numpy()].sum(axis=0).tolist()
    found = [
        Missed(name, given, round(expected))
        for name, given, expected in zip(labelled.images.class_names, counts, mass, strict=True)
        if expected >= FAR_LESS * given and expected - given >= AT_LEAST
    ]
    return sorted(found, key=lambda each: each.given - each.expected)
