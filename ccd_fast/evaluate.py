"""Evaluation against known labels, and the choice of an epoch without any (section 6)."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torchmetrics.functional.classification import multilabel_average_precision


@dataclass(frozen=True)
class Metrics:
    """How well scores fit the truth. Shares, in 0 … 1.

    Attributes:
        mean_average_precision: mAP over the classes that have positives; NaN if none has.
        average_precision: by class name, for the classes that have positives.
        without_positives: the classes left out of the mean.
        class_f1: CF1, from the means over classes of precision and recall at the threshold.
        overall_f1: OF1, from precision and recall over all decisions.
        threshold: a class is predicted from this score on.
        images: how many were evaluated.
    """

    mean_average_precision: float
    average_precision: dict[str, float]
    without_positives: list[str]
    class_f1: float
    overall_f1: float
    threshold: float
    images: int

    def record(self) -> dict[str, Any]:
        """Give the metrics as plain data; NaN becomes None."""
        record = asdict(self)
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in record.items()}


def average_precision(scores: torch.Tensor, truth: torch.Tensor, absent_ap: float = math.nan) -> torch.Tensor:
    """Compute the average precision of each class.

    Args:
        scores: (N, C) float32 in [0, 1].
        truth: (N, C) bool.
        absent_ap: what a class without positives gets; NaN leaves it out of means.

    Returns:
        (C,) float32, C at least 2.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of classes without positives, which are named in the result
        values = multilabel_average_precision(scores, truth.long(), num_labels=truth.shape[1], average=None)
    return torch.where(truth.any(dim=0), values, absent_ap)


def mean_average_precision(scores: torch.Tensor, truth: torch.Tensor, absent_ap: float = math.nan) -> float:
    """Compute mAP over the classes that have positives; NaN if none has. Arguments: :func:`average_precision`."""
    return float(average_precision(scores, truth, absent_ap).nanmean())


def evaluate(
    scores: torch.Tensor,
    truth: torch.Tensor,
    class_names: Sequence[str],
    threshold: float,
    absent_ap: float = math.nan,
) -> Metrics:
    """Compare scores with the truth.

    Args:
        scores: (N, C) float32 in [0, 1].
        truth: (N, C) bool.
        class_names: C names.
        threshold: a class is predicted from this score on.
        absent_ap: average precision of a class without positives; NaN leaves it out of the mean.
    """
    by_class = average_precision(scores, truth, absent_ap)
    predicted = scores >= threshold
    hits = (predicted & truth).sum(dim=0).double()
    claims, positives = predicted.sum(dim=0).double(), truth.sum(dim=0).double()
    present = positives > 0
    class_precision = (hits / claims.clamp_min(1))[present].mean()
    class_recall = (hits / positives.clamp_min(1))[present].mean()
    overall_precision = hits.sum() / claims.sum().clamp_min(1)
    overall_recall = hits.sum() / positives.sum().clamp_min(1)
    return Metrics(
        mean_average_precision=float(by_class.nanmean()),
        average_precision={n: float(v) for n, v in zip(class_names, by_class, strict=True) if not v.isnan()},
        without_positives=[n for n, v in zip(class_names, by_class, strict=True) if v.isnan()],
        class_f1=_harmonic_mean(float(class_precision), float(class_recall)),
        overall_f1=_harmonic_mean(float(overall_precision), float(overall_recall)),
        threshold=threshold,
        images=len(truth),
    )


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


def oracle_epoch(test_maps: Sequence[float]) -> int | None:
    """Give the epoch that the truth would choose, the first of the highest test mAP; None where none is defined.

    For comparison with :func:`choose_epoch` only: it has seen the labels of the test images.
    """
    defined = [epoch for epoch, value in enumerate(test_maps) if not math.isnan(value)]
    return max(defined, key=lambda epoch: test_maps[epoch], default=None)


def _harmonic_mean(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0
