"""How sure a figure is: intervals over test images that are drawn anew, paired where systems are compared."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import randomness
from ccd_fast.evaluation.metrics import mean_average_precision

DRAWS = 1000
"""How often the test images are drawn."""
SHARE = 0.95
"""Of the draws, those that lie within an interval."""
TOGETHER = 250
"""Draws that are held at a time: 200 MB for 100 thousand images."""


@dataclass(frozen=True)
class Interval:
    """A figure, and where it would lie on other images of the kind in 95 of 100 cases.

    Attributes:
        value: on the images that there are.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Interval":
        """Give the same in another unit."""
        return Interval(factor * self.value, factor * self.low, factor * self.high)


@dataclass(frozen=True)
class Resampled:
    """A figure of K systems on the same images, and on the same draws of them.

    Attributes:
        values: (K,) float64, on the images themselves.
        draws: (K, D) float64.
    """

    values: NDArray[np.float64]
    draws: NDArray[np.float64]

    def interval(self, of: Sequence[int], less: Sequence[int] = ()) -> Interval:
        """Give the mean over some systems, less the mean over others, with its interval.

        The draws of all systems are of the same images, so that a difference is paired. A draw repeats images, which
        raises a class's average precision where it has few positives: the interval is moved by as much as the draws'
        mean is off.

        Args:
            of: systems by number, such as the seeds of a row.
            less: those to compare with; none for the figure itself.
        """
        value, draws = self.values[list(of)].mean(), self.draws[list(of)].mean(axis=0)
        if less:
            value, draws = value - self.values[list(less)].mean(), draws - self.draws[list(less)].mean(axis=0)
        draws = draws[~np.isnan(draws)]
        if math.isnan(value) or not len(draws):
            return Interval(float(value), math.nan, math.nan)
        ends = np.quantile(draws, [(1 - SHARE) / 2, (1 + SHARE) / 2]) - (draws.mean() - value)
        low, high = ends if less else ends.clip(0, 1)
        return Interval(float(value), float(low), float(high))


def resampled_maps(
    systems: Sequence[torch.Tensor], truth: torch.Tensor, absent_ap: float = math.nan, draws: int = DRAWS
) -> Resampled:
    """Compute mAP of several systems on the images and on draws of them.

    A class that has positives but none in a draw is left out of that draw's mean.

    Args:
        systems: K tables of scores, (N, C) float32.
        truth: (N, C) bool.
        absent_ap: average precision of a class without any positive; NaN leaves it out of the mean.
        draws: D.
    """
    values = np.array([mean_average_precision(scores, truth, absent_ap) for scores in systems])

    def of_draws(weights: torch.Tensor) -> NDArray[np.float64]:
        return np.stack([_mean(weighted_average_precision(s, truth, weights), truth, absent_ap) for s in systems])

    return Resampled(values, _over_draws(of_draws, len(systems), len(truth), draws))


def resampled_shares(hits: torch.Tensor, of_all: torch.Tensor, draws: int = DRAWS) -> Resampled:
    """Compute the share of hits of several systems on the images and on draws of them.

    Args:
        hits: (K, N), of each image.
        of_all: (K, N), what they are hits of.
        draws: D.
    """
    hits, of_all = hits.float(), of_all.float()

    def of_draws(weights: torch.Tensor) -> NDArray[np.float64]:
        return ((hits @ weights) / (of_all @ weights)).double().numpy()

    values = (hits.sum(dim=1) / of_all.sum(dim=1)).double().numpy()
    return Resampled(values, _over_draws(of_draws, len(hits), hits.shape[1], draws))


def paired(
    ours: torch.Tensor | Sequence[torch.Tensor],
    theirs: torch.Tensor | Sequence[torch.Tensor],
    truth: torch.Tensor,
    min_positives: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """Compare the mAP of two systems on the same images: the difference, with its interval.

    Args:
        ours: scores, (N, C) float32, or a table a seed, of which the mean counts.
        theirs: likewise.
        truth: (N, C) bool.
        min_positives: classes with fewer positives are left out.
        draws: D.

    Returns:
        How much ours is above theirs, in 0 … 1; an interval without 0 tells them apart.
    """
    ours, theirs = ([each] if isinstance(each, torch.Tensor) else list(each) for each in (ours, theirs))
    kept = truth.sum(dim=0) >= min_positives
    systems = [scores[:, kept] for scores in (*ours, *theirs)]
    numbers = range(len(systems))
    return resampled_maps(systems, truth[:, kept], draws=draws).interval(numbers[: len(ours)], numbers[len(ours) :])


def weighted_average_precision(scores: torch.Tensor, truth: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Compute the average precision of each class where images count several times, or not at all.

    AP = Σ_t h_t · H_t / A_t / H over the scores t of positives, from the highest on: h_t positives have it, H_t have it
    or a higher one, as A_t images do. Only the places of the images among those scores are looked up: nothing is sorted
    anew for a draw.

    Args:
        scores: (N, C) float32.
        truth: (N, C) bool.
        weights: (N, D) float32, how often each image counts in each draw.

    Returns:
        (D, C) float32; NaN where a draw has no positive of a class.
    """
    found = torch.full((weights.shape[1], scores.shape[1]), math.nan)
    for c in range(scores.shape[1]):
        positive = truth[:, c]
        if not positive.any():
            continue
        levels = torch.unique(scores[positive, c])
        place = torch.searchsorted(levels, scores[:, c].contiguous(), right=True) - 1  # -1: below every positive
        above = place >= 0
        ahead = _from_the_top(place[above], weights[above], len(levels))
        hits = torch.zeros(len(levels), weights.shape[1]).index_add_(0, place[positive], weights[positive])
        ahead_hits = hits.flip(0).cumsum(0).flip(0)
        found[:, c] = (hits * ahead_hits / ahead.clamp_min(1)).sum(dim=0) / ahead_hits[0]
    return found


def _from_the_top(place: torch.Tensor, weights: torch.Tensor, levels: int) -> torch.Tensor:
    """Count the images at each level or above it, (levels, D)."""
    return torch.zeros(levels, weights.shape[1]).index_add_(0, place, weights).flip(0).cumsum(0).flip(0)


def _mean(by_class: torch.Tensor, truth: torch.Tensor, absent_ap: float) -> NDArray[np.float64]:
    """Average over classes, (D, C) to (D,)."""
    by_class = torch.where(truth.any(dim=0), by_class, absent_ap)
    return by_class.nanmean(dim=1).double().numpy()


def _over_draws(
    of_draws: Callable[[torch.Tensor], NDArray[np.float64]], systems: int, images: int, draws: int
) -> NDArray[np.float64]:
    """Gather (K, D) figures, a part of the draws at a time."""
    found = np.empty((systems, draws))
    for first in range(0, draws, TOGETHER):
        part = range(first, min(first + TOGETHER, draws))
        found[:, part.start : part.stop] = of_draws(torch.from_numpy(randomness.resamples(images, part)).float())
    return found
