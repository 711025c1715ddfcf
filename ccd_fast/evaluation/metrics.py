"""Evaluation against known labels, and the choice of an epoch without any (section 6)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ccd_fast.datasets import ImageSet

Threshold = float | torch.Tensor
"""From which score on a class is predicted: one for all, or one for each, (C,) float32."""
NUMBERS = 2**22
"""Scores that are ranked at a time: memory does not grow with the number of classes."""


@dataclass(frozen=True)
class Metrics:
    """How well scores fit the truth. Shares, in 0 … 1.

    Attributes:
        mean_average_precision: mAP over the classes that have positives; NaN if none has.
        average_precision: by class name, for the classes that have positives.
        without_positives: the classes left out of the mean.
        class_precision: CP, the mean over the classes that have positives; a class that is never predicted counts 0.
            NaN, as CR and CF1, if no class has positives.
        class_recall: CR, the mean over the same classes.
        class_f1: CF1, the harmonic mean of CP and CR.
        overall_precision: OP, over all decisions on all classes.
        overall_recall: OR, likewise.
        overall_f1: OF1, the harmonic mean of OP and OR.
        threshold: a class is predicted from this score on; by class name where each has its own.
        images: how many were evaluated.
    """

    mean_average_precision: float
    average_precision: dict[str, float]
    without_positives: list[str]
    class_precision: float
    class_recall: float
    class_f1: float
    overall_precision: float
    overall_recall: float
    overall_f1: float
    threshold: float | dict[str, float]
    images: int

    def record(self) -> dict[str, Any]:
        """Give the metrics as plain data; NaN becomes None."""
        record = asdict(self)
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in record.items()}

    @property
    def at(self) -> str:
        """Say in a few words from which score on a class is predicted."""
        return said(self.threshold)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Metrics":
        """Read back what :meth:`record` gave."""
        known: dict[str, Any] = {key: math.nan if value is None else value for key, value in record.items()}
        return cls(**known)


def said(threshold: float | Mapping[str, float]) -> str:
    """Say in a few words what a kept threshold is."""
    return f"threshold {threshold:g}" if isinstance(threshold, float) else "each class's own threshold"


def average_precision(scores: torch.Tensor, truth: torch.Tensor, absent_ap: float = math.nan) -> torch.Tensor:
    """Compute the average precision of each class.

    Args:
        scores: (N, C) float32 in [0, 1].
        truth: (N, C) bool.
        absent_ap: what a class without positives gets; NaN leaves it out of means.

    Returns:
        (C,) float32, C at least 2.
    """
    parts = _of_classes(*scores.shape)
    values = torch.cat([_by_class(scores[:, classes], truth[:, classes]) for classes in parts]).float()
    return torch.where(truth.any(dim=0), values, absent_ap)


def _of_classes(images: int, classes: int) -> list[slice]:
    """Cut the classes into blocks whose scores of so many images are ranked together."""
    size = max(NUMBERS // max(images, 1), 1)
    return [slice(first, first + size) for first in range(0, classes, size)]


def _by_class(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Compute the mean precision at the positives of each class, (C,) float64; images of one score come at once."""
    order = scores.argsort(dim=0, descending=True, stable=True)
    ranked, hits = scores.gather(0, order), truth.gather(0, order).cumsum(dim=0)
    is_last = torch.cat([ranked[:-1] != ranked[1:], torch.ones_like(truth[:1])])  # of those with the same score
    reached = torch.where(is_last, hits, 0).cummax(dim=0).values
    gained = torch.where(is_last, hits - torch.cat([torch.zeros_like(hits[:1]), reached[:-1]]), 0)
    precision = hits.double() / torch.arange(1, len(hits) + 1)[:, None]
    return (gained * precision).sum(dim=0) / truth.sum(dim=0)


def mean_average_precision(scores: torch.Tensor, truth: torch.Tensor, absent_ap: float = math.nan) -> float:
    """Compute mAP over the classes that have positives; NaN if none has. Arguments: :func:`average_precision`."""
    return float(average_precision(scores, truth, absent_ap).nanmean())


def evaluate(
    scores: torch.Tensor,
    truth: torch.Tensor,
    class_names: Sequence[str],
    threshold: Threshold,
    absent_ap: float = math.nan,
    rows: torch.Tensor | None = None,
) -> Metrics:
    """Compare scores with the truth.

    Args:
        scores: (N, C) float32 or float16 in [0, 1].
        truth: (N, C) bool.
        class_names: C names.
        threshold: a class is predicted from this score on.
        absent_ap: average precision of a class without positives; NaN leaves it out of the mean.
        rows: (R,) int64, those that are compared; None is all.
    """
    rows = torch.arange(len(truth)) if rows is None else rows
    limits = torch.as_tensor(threshold).expand(len(class_names))
    counted = []
    for classes in _of_classes(len(rows), len(class_names)):
        seen, there = scores[:, classes][rows].float(), truth[:, classes][rows]
        predicted = seen >= limits[classes]
        sums = ((predicted & there).sum(dim=0), predicted.sum(dim=0), there.sum(dim=0))
        counted.append([average_precision(seen, there, absent_ap), *(each.double() for each in sums)])
    by_class, hits, claims, positives = (torch.cat(parts) for parts in zip(*counted, strict=True))
    present = positives > 0
    class_precision = float((hits / claims.clamp_min(1))[present].mean())
    class_recall = float((hits / positives.clamp_min(1))[present].mean())
    overall_precision = float(hits.sum() / claims.sum().clamp_min(1))
    overall_recall = float(hits.sum() / positives.sum().clamp_min(1))
    return Metrics(
        mean_average_precision=float(by_class.nanmean()),
        average_precision={n: float(v) for n, v in zip(class_names, by_class, strict=True) if not v.isnan()},
        without_positives=[n for n, v in zip(class_names, by_class, strict=True) if v.isnan()],
        class_precision=class_precision,
        class_recall=class_recall,
        class_f1=_harmonic_mean(class_precision, class_recall),
        overall_precision=overall_precision,
        overall_recall=overall_recall,
        overall_f1=_harmonic_mean(overall_precision, overall_recall),
        threshold=threshold
        if not isinstance(threshold, torch.Tensor)
        else dict(zip(class_names, threshold.tolist(), strict=True)),
        images=len(rows),
    )


def evaluate_images(
    scores: torch.Tensor, images: ImageSet, readable: torch.Tensor, threshold: Threshold, absent_ap: float = math.nan
) -> Metrics | None:
    """Compare scores with the truth of an ImageSet, over the images that can be read and whose labels are known.

    Args:
        scores: (N, C) float32 or float16 in [0, 1].
        images: N images.
        readable: (N,) bool.
        threshold: a class is predicted from this score on.
        absent_ap: as in :func:`evaluate`.

    Returns:
        The metrics; None where no such image is left.
    """
    if images.truth is None:
        return None
    rows = torch.from_numpy(np.flatnonzero(readable.numpy() & images.known))
    if not len(rows):
        return None
    return evaluate(scores, torch.from_numpy(images.truth), images.class_names, threshold, absent_ap, rows)


def choose_epoch(agreement: Sequence[float]) -> int | None:
    """Choose an epoch without labels (section 6).

    Args:
        agreement: m_e for e = 0, 1, …: the student's mAP against its pseudo-labels during training epoch e;
            NaN where no pseudo-label is 1.

    Returns:
        The first e >= 2 at which m grows faster than it did before, or None while there is none.
    """
    for epoch in range(2, len(agreement)):
        if agreement[epoch] - agreement[epoch - 1] > agreement[epoch - 1] - agreement[epoch - 2]:
            return epoch
    return None


def explain_choice(choose: str, agreement: Sequence[float]) -> str:
    """Say why an epoch was chosen, by ``train.choose`` and m_e; see :func:`choose_epoch`."""
    if choose == "last":
        return "the last (train.choose)"
    if choose_epoch(agreement) is not None:
        return "chosen without labels, the first whose agreement with the pseudo-labels grew faster than before"
    undefined = [str(epoch) for epoch, value in enumerate(agreement) if math.isnan(value)]
    why = f" (undefined in epoch {', '.join(undefined)}: no pseudo-label is 1)" if undefined else ""
    return f"the last, as the agreement with the pseudo-labels never grew faster{why}"


def oracle_epoch(test_maps: Sequence[float]) -> int | None:
    """Give the epoch that the truth would choose, the first of the highest test mAP; None where none is defined.

    For comparison with :func:`choose_epoch` only: it has seen the labels of the test images.
    """
    defined = [epoch for epoch, value in enumerate(test_maps) if not math.isnan(value)]
    return max(defined, key=lambda epoch: test_maps[epoch], default=None)


def _harmonic_mean(precision: float, recall: float) -> float:
    """Give F1: 0 where both are 0, NaN where one is."""
    total = precision + recall
    return 0.0 if total == 0 else 2 * precision * recall / total
