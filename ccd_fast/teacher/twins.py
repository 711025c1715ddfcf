"""Classes that nearly coincide for the teacher: synonyms, or names that want to be told apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

TWIN_ODDS = 2.0
"""Two classes nearly coincide if the scores of a typical image differ by less than this factor. It parts synonyms from
classes: for a CLIP trained on COCO's captions, tv and television have 1.87, cell phone and phone 1.48, and the closest
two of COCO's 80 classes, bear and teddy bear, 2.14."""

TWINS_SHOWN = 5
"""Pairs that the warning names."""


@dataclass(frozen=True)
class Twins:
    """Two classes that the teacher can hardly tell apart.

    Attributes:
        first: index of a class.
        second: index of another, larger.
        odds: how far apart their scores typically lie, as a factor; 1 if they coincide.
    """

    first: int
    second: int
    odds: float


TWIN_BLOCK = 512
"""Classes that are compared with all others at a time: memory grows with their number, not with its square."""
TWIN_PAIRS = 2**14
"""Pairs that are looked at exactly at a time."""
TWIN_SLACK = 2e-3
"""Distance by which a first look, by products in float32, may be wrong for rows of length 1."""


def twins(classes: torch.Tensor, scale: float, most: int) -> tuple[int, list[Twins]]:
    """Find the pairs of classes whose embeddings nearly coincide, the closest first.

    The scores of two classes have the odds p_c / p_d = exp(scale <e, t_c - t_d>). An image embedding that has no
    reason to point along t_c - t_d has a cosine with it of about 1 / sqrt(D), so the odds are typically
    exp(scale |t_c - t_d| / sqrt(D)). This counts the teacher's scale and width, which a limit on the cosine of
    t_c and t_d would not: cosines that are alarming for one CLIP are common for another.

    Args:
        classes: t, (C, D) float32, rows of length 1.
        scale: the teacher's.
        most: pairs that are given.

    Returns:
        How many pairs have typical odds below :data:`TWIN_ODDS`, and the closest of them.
    """
    exact, count, closest = classes.double(), 0, list[Twins]()
    limit = math.log(TWIN_ODDS) / scale * classes.shape[1] ** 0.5  # of the distance
    for start in range(0, len(classes), TWIN_BLOCK):
        near = torch.cdist(classes[start : start + TWIN_BLOCK], classes[start:]) < limit + TWIN_SLACK
        for pairs in (near.triu(diagonal=1).nonzero() + start).split(TWIN_PAIRS):
            distance = (exact[pairs[:, 0]] - exact[pairs[:, 1]]).norm(dim=1)
            odds = torch.exp(scale * distance / classes.shape[1] ** 0.5)
            count += int((odds < TWIN_ODDS).sum())
            for k in odds.argsort(stable=True)[:most].tolist():
                if odds[k] < TWIN_ODDS:
                    closest.append(Twins(int(pairs[k, 0]), int(pairs[k, 1]), float(odds[k])))
            closest = sorted(closest, key=lambda pair: pair.odds)[:most]
    return count, closest


def twins_warning(classes: torch.Tensor, scale: float, class_names: Sequence[str]) -> str:
    """Say which classes the teacher can hardly tell apart, with their number; nothing if there are none."""
    count, found = twins(classes, scale, TWINS_SHOWN)
    if not found:
        return ""
    shown = [f"{class_names[t.first]} / {class_names[t.second]} ({t.odds:.2f})" for t in found]
    more = f" and {count - TWINS_SHOWN} more" if count > TWINS_SHOWN else ""
    pairs = "1 pair" if count == 1 else f"{count} pairs"
    return (
        f"warning: {pairs} of the {len(class_names)} classes nearly coincide for the teacher (typical odds below "
        f"{TWIN_ODDS:g}): {', '.join(shown)}{more}; make them one class with several names, or say what sets them apart"
    )
