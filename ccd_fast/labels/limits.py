"""Limits by class without labels: from which score on does a photograph have a class?

One limit for all classes costs what a class is sure of less, or more, than the others. With the truth, each class would
take the limit of its best F1; without it, the label table stands in: an entry holds with half its label, as labels are
divided by the bias and clipped at 1, so that they say too much. That half, the bound on the number of photographs, and
how far softened labels are sharpened were chosen on training photographs (benchmarks/thresholds.py). A limit lies
midway between two neighbouring scores: worth points on photographs that are new (benchmarks/student_thresholds.py).
"""

import numpy as np
import torch
from numpy.typing import NDArray

HOLDS = 0.5
"""Chance that an entry holds, as a share of its label."""
FEW = 50
"""Photographs below which all classes share a limit: so few say nothing of a class alone."""


def by_class(
    scores: torch.Tensor,
    labels: torch.Tensor | None = None,
    told: torch.Tensor | None = None,
    temperature: float = 1.0,
) -> torch.Tensor:
    """Choose a limit for each class.

    A class takes the limit at which its expected F1 is best, 2 E[hits] / (given + E[positives]), and is given to no
    more photographs than its labels add up to. A class of which enough is known takes the limit of the best F1 on that.

    Args:
        scores: (N, C) float32 in [0, 1], of the photographs that could be read: what is cut.
        labels: (N, C) float32 in [0, 1], their label table; None where the scores are one.
        told: (N, C) int8, entries that are known: +1, -1, or 0; None where none is.
        temperature: of the teacher's softmax (``teacher.temperature``): what it has softened is sharpened again.

    Returns:
        (C,) float32: a class is given where its score is at least this; 1 without any photograph, or any score above 0.
    """
    if not len(scores):
        return torch.ones(scores.shape[1])

    def limit_of(classes: slice) -> float:
        own = scores[:, classes].double().numpy()
        table = (own if labels is None else labels[:, classes].double().numpy()) ** ((1 + temperature) / 2)
        signs = np.zeros(table.shape) if told is None else told[:, classes].numpy()
        chance = np.where(signs != 0, signs == 1, HOLDS * table)
        most = np.where(signs != 0, 1.0, table)  # what is known bounds nothing
        return _best(own.ravel(), chance.ravel(), most.sum())

    if len(scores) < FEW:
        return torch.full((scores.shape[1],), limit_of(slice(None)))
    return torch.tensor([limit_of(slice(c, c + 1)) for c in range(scores.shape[1])])


def _best(scores: NDArray[np.float64], chance: NDArray[np.float64], most: float) -> float:
    """Give the limit of the best expected F1 that at most so many of the scores reach; one at least, if they differ."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], chance[order].cumsum()
    count = np.arange(1, len(ranked) + 1)
    f1 = 2 * hits / np.maximum(count + hits[-1], 1e-12)
    last_of_equals = np.append(ranked[:-1] > ranked[1:], True)
    allowed = last_of_equals & (count <= max(most, 1))
    at = np.where(allowed, f1, -1.0).argmax() if allowed.any() else last_of_equals.argmax()
    if ranked[at] <= 0 or (not allowed.any() and at + 1 == len(ranked) > 1):
        return 1.0  # nothing is given to a class that no photograph has, or all have alike: their labels' floor
    if at + 1 == len(ranked):
        return float(ranked[at])
    between = np.float32((ranked[at] + ranked[at + 1]) / 2)  # so that a score that is rounded stays on its side
    return float(between if between > ranked[at + 1] else ranked[at])
