"""Which classes a photograph has, given a number for each; and the classes that such a decision probably misses."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.errors import printable
from ccd_fast.outputs.labelling import Labelled, chosen

HALF = 2
"""A class is probably missed where its own threshold gives it to so many times the photographs."""
TOLD_FROM = 50
"""Photographs from which on something is said of classes that are missed: fewer need not show every class."""
AT_LEAST = 5
"""Photographs that a class must be lacking before anything is said of it."""


@dataclass(frozen=True)
class Missed:
    """A class that is given to far fewer photographs than its own threshold gives it to.

    Attributes:
        name: of the class.
        given: photographs that are given it.
        own: photographs that its own threshold gives it to.
    """

    name: str
    given: int
    own: int


def likeliest(labelled: Labelled, decided: NDArray[np.bool_], top_k: int) -> NDArray[np.bool_]:
    """Keep the likeliest classes of those that were decided on, (N, C) bool, at most ``top_k`` a photograph."""
    order = labelled.table.masked_fill(~torch.from_numpy(decided), -1.0).argsort(dim=1, descending=True, stable=True)
    first = torch.zeros_like(labelled.table, dtype=torch.bool).scatter_(1, order[:, :top_k], True)
    kept: NDArray[np.bool_] = first.numpy() & decided
    return kept


def probably_missed(labelled: Labelled, decided: NDArray[np.bool_]) -> list[Missed]:
    """Name the classes that are given to at most half of what their own thresholds give, the most lacking first.

    One threshold for all classes misses those whose labels are low as a rule (``benchmarks/missed.py``).

    Args:
        labelled: N photographs, with a threshold of its own for each class.
        decided: (N, C), which classes each is given.
    """
    counts = (
        each[labelled.readable.numpy()].sum(axis=0).tolist() for each in (decided, chosen(labelled, labelled.limits))
    )
    found = [
        Missed(name, given, own)
        for name, given, own in zip(labelled.images.class_names, *counts, strict=True)
        if HALF * given <= own and own - given >= AT_LEAST
    ]
    return sorted(found, key=lambda each: each.given - each.own)


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
        told = ", ".join(f"{each.name} (given to {each.given:,}, not {each.own:,})" for each in missed)
        lines.append(f"probably missed, and found with the class's own threshold: {printable(told)}")
    return lines
