"""Several systems on the same images: figures with intervals, and what they say in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ccd_fast.errors import UserError, printable
from ccd_fast.evaluation import bootstrap
from ccd_fast.evaluation.bootstrap import Interval
from ccd_fast.evaluation.metrics import Metrics, Threshold, evaluate

FEW = 10
"""Positives below which the average precision of a class says little: one photograph more moves it by points."""


@dataclass(frozen=True)
class Comparison:
    """Several systems on the same images; the first is the one that the others are compared with.

    Attributes:
        metrics: by system.
        maps: mAP by system, with its interval.
        found: by system, the share of the labels that are there which it gives: OR.
        right: by system, the share of those that it gives which are there: OP.
        gains: how much the mAP of the first is above that of each other system, paired.
        few: classes with fewer than :data:`FEW` positives that are in the figures, with their number.
        left_out: classes that are not, as they have too few.
        min_positives: how many they would need.
    """

    metrics: dict[str, Metrics]
    maps: dict[str, Interval]
    found: dict[str, Interval]
    right: dict[str, Interval]
    gains: dict[str, Interval]
    few: dict[str, int]
    left_out: dict[str, int]
    min_positives: int

    @property
    def first(self) -> str:
        """Name the system that the others are compared with."""
        return next(iter(self.metrics))

    def record(self) -> dict[str, Any]:
        """Give everything as plain data; NaN becomes None."""
        every = {name: metrics.record() for name, metrics in self.metrics.items()}
        by_system = {"mean_average_precision": self.maps, "overall_recall": self.found, "overall_precision": self.right}
        intervals = {
            name: {figure: [_number(of[name].low), _number(of[name].high)] for figure, of in by_system.items()}
            for name in self.metrics
        }
        gains = {name: {key: _number(v) for key, v in asdict(gain).items()} for name, gain in self.gains.items()}
        counts = {"fewer_than_10_positives": self.few, "left_out": self.left_out, "min_positives": self.min_positives}
        return {"metrics": every, "intervals": intervals, "above": gains, **counts}

    def sentences(self) -> list[str]:
        """Say what the figures mean, those first that need no field of their own to be understood."""
        lines = [
            "of the labels that are there, so many are found: " + self._by_system(self.found),
            "of the labels that are given, so many are right: " + self._by_system(self.right),
        ]
        for name, gain in self.gains.items():
            if not math.isnan(gain.value):
                lines.append(f"mAP, {self.first} against {name}: {told(gain, sign=True)}: {verdict(gain)}")
        return lines

    def notes(self) -> list[str]:
        """Say what the figures rest on."""
        images = next(iter(self.metrics.values())).images
        lines = [
            f"in brackets: where a figure would lie on other photographs of the kind in 95 of 100 cases, by "
            f"{bootstrap.DRAWS:,} draws of these {images:,}; differences are of the same draws"
        ]
        without = self.metrics[self.first].without_positives
        if without:
            lines.append(f"left out of the mean, as no image has them: {printable(', '.join(without))}")
        return [*lines, *on_rare_classes(self.few, self.left_out, self.min_positives)]

    def _by_system(self, shares: Mapping[str, Interval]) -> str:
        return "; ".join(f"{name} {told(share)}" for name, share in shares.items())


def compare(
    systems: Mapping[str, torch.Tensor],
    truth: torch.Tensor,
    class_names: Sequence[str],
    thresholds: float | Mapping[str, Threshold],
    absent_ap: float = math.nan,
    min_positives: int = 0,
) -> Comparison:
    """Measure several systems on the same images.

    Args:
        systems: scores by name, (N, C) float32 in [0, 1]; the first is compared with the others.
        truth: (N, C) bool.
        class_names: C names.
        thresholds: a class is predicted from this score on; or by system, one for all classes or one for each, (C,).
        absent_ap: average precision of a class without positives; NaN leaves it out of the mean.
        min_positives: classes with fewer are left out of all figures.

    Raises:
        UserError: no class has so many positives.
    """
    kept, few, left_out = kept_classes(truth, class_names, min_positives)
    names, truth = [class_names[c] for c in kept], truth[:, kept]
    tables = {name: scores[:, kept] for name, scores in systems.items()}
    own = {name: thresholds[name] if isinstance(thresholds, Mapping) else thresholds for name in tables}
    limits = {name: limit[kept] if isinstance(limit, torch.Tensor) else limit for name, limit in own.items()}
    maps = bootstrap.resampled_maps(list(tables.values()), truth, absent_ap)
    given = torch.stack([scores >= limits[name] for name, scores in tables.items()])
    hits = (given & truth).sum(dim=2)
    found = bootstrap.resampled_shares(hits, truth.sum(dim=1).expand_as(hits))
    right = bootstrap.resampled_shares(hits, given.sum(dim=2))
    number = {name: k for k, name in enumerate(tables)}
    return Comparison(
        metrics={name: evaluate(scores, truth, names, limits[name], absent_ap) for name, scores in tables.items()},
        maps={name: maps.interval([k]) for name, k in number.items()},
        found={name: found.interval([k]) for name, k in number.items()},
        right={name: right.interval([k]) for name, k in number.items()},
        gains={name: maps.interval([0], [k]) for name, k in number.items() if k},
        few=few,
        left_out=left_out,
        min_positives=min_positives,
    )


def kept_classes(
    truth: torch.Tensor, class_names: Sequence[str], min_positives: int
) -> tuple[list[int], dict[str, int], dict[str, int]]:
    """Give the classes that have enough positives, by number; those of them that have few; and the others.

    Args:
        truth: (N, C) bool.
        class_names: C names.
        min_positives: that a class needs.

    Raises:
        UserError: none has, or one alone.
    """
    counts = truth.sum(dim=0).tolist()
    kept = [c for c, count in enumerate(counts) if count >= min_positives]
    if len(kept) < min(2, len(counts)):
        most = max(range(len(counts)), key=counts.__getitem__)
        raise UserError(
            f"--min-positives {min_positives}: fewer than two classes have so many; the most has {class_names[most]}, "
            f"{counts[most]}"
        )
    few = {class_names[c]: counts[c] for c in kept if 0 < counts[c] < FEW}
    return kept, few, {class_names[c]: count for c, count in enumerate(counts) if count < min_positives}


def on_rare_classes(few: Mapping[str, int], left_out: Mapping[str, int], min_positives: int) -> list[str]:
    """Name the classes that :func:`kept_classes` gave: those that are left out, and those that say little."""
    lines = []
    if left_out:
        lines.append(f"left out, with fewer than {min_positives} positives (--min-positives): {_counted(left_out)}")
    if few:
        lines.append(
            f"with fewer than {FEW} positives, so that their average precision says little "
            f"(--min-positives {FEW} leaves them out): {_counted(few)}"
        )
    return lines


def told(share: Interval, sign: bool = False) -> str:
    """Write a share in percent, with its interval in brackets."""
    if math.isnan(share.value):
        return "–"
    plus = "+" if sign else ""
    return f"{100 * share.value:{plus}.1f} ({100 * share.low:.1f} … {100 * share.high:.1f})"


def verdict(gain: Interval) -> str:
    """Say what a difference amounts to."""
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "these photographs cannot tell which is better"


def _counted(counts: Mapping[str, int]) -> str:
    return printable(", ".join(f"{name} ({count})" for name, count in counts.items()))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
