"""Probabilities that mean something: of photographs that are given 0.8, eight of ten should have the class.

A student learns from labels that say too much, so that its probabilities do too. A straight line over its logits mends
that, σ(a z + b_c), Platt scaling with one slope: it keeps the order of each class, and so its average precision and,
with its threshold mapped alike, what it is given to. The line is fitted to the label table, its labels sharpened as the
thresholds have them, and not to what a person has told: that the student has learned by heart. What a person has told
mends the label table first, by a line of the same kind: the teacher has not learned it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from ccd_fast.errors import UserError

BINS = 15
"""Of the expected calibration error."""
ENTRIES = 2**22
"""Most entries of the label table that a line is fitted to: two numbers need no more."""
STEPS = 100
FAR, FURTHEST = 7.0, 30.0
"""Largest logit of a label that counts, about 0.999; and of a probability: a float32 says no more."""
FEW, ENOUGH = 50, 20
"""Photographs of which nothing is told, below which no line is sought; and of which all is known, from which on they
mend the labels."""


@dataclass(frozen=True)
class Calibration:
    """A line over the logits of each class.

    Attributes:
        scale: a, above 0.
        shift: b, (C,) float64.
        known: photographs of which all was known, which mended the label table that it was fitted to.
    """

    scale: float
    shift: torch.Tensor
    known: int = 0

    def __call__(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Map probabilities, (…, C) float32, or thresholds: the order stays, within rounding; 0 and 1 stay too."""
        return torch.sigmoid(self.scale * torch.logit(probabilities.double()) + self.shift).float()

    def record(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Give it as plain data, by class name."""
        return {
            "scale": self.scale,
            "shift": dict(zip(class_names, self.shift.tolist(), strict=True)),
            "known": self.known,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any], class_names: Sequence[str], where: str) -> "Calibration":
        """Read what :meth:`record` gave.

        Raises:
            UserError: it is something else; the line says where.
        """
        try:
            shift = torch.tensor([record["shift"][name] for name in class_names], dtype=torch.float64)
            found = cls(float(record["scale"]), shift, int(record["known"]))
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(f"{where}: not what a run of ccd-fast wrote: {error}") from error
        if not (found.scale > 0 and bool(shift.isfinite().all())):
            raise UserError(f"{where}: not what a run of ccd-fast wrote: a scale of {found.scale:g}")
        return found


def fit(
    probabilities: torch.Tensor, labels: torch.Tensor, told: torch.Tensor | None = None, temperature: float = 1.0
) -> Calibration | None:
    """Find the line of a student; None of so few photographs that they say nothing.

    Args:
        probabilities: (N, C) float32, of the student.
        labels: (N, C) float32, the label table without what a person has told.
        told: (N, C) int8, entries that are known: +1, -1, or 0; None where none is. The label table is mended by the
            photographs of which all is known: where only a part is, which part it is would decide.
        temperature: of the teacher's softmax: what it has softened is sharpened again.
    """
    untold = torch.ones(len(labels), dtype=torch.bool) if told is None else (told == 0).all(dim=1)
    if int(untold.sum()) < FEW:
        return None
    sharp = torch.logit(labels.double() ** ((1 + temperature) / 2)).clamp(-FAR, FAR)
    whole = _wholly_known(told)
    if told is not None and len(whole):
        scale, shift = _line(sharp[whole], (told[whole] == 1).double())
        sharp = scale * sharp + shift
    some = torch.nonzero(untold).flatten()[:: max(1, probabilities.numel() // ENTRIES)]
    logits = torch.logit(probabilities[some].double()).clamp(-FURTHEST, FURTHEST)
    scale, shift = _line(logits, torch.sigmoid(sharp[some]))
    return Calibration(scale, shift, len(whole))


def _wholly_known(told: torch.Tensor | None) -> torch.Tensor:
    """Give the photographs of which all is known, where they are enough, and where absence is told at all."""
    if told is None or not (told == -1).any():
        return torch.empty(0, dtype=torch.int64)
    rows = torch.nonzero((told != 0).all(dim=1)).flatten()
    return rows if len(rows) >= ENOUGH else rows[:0]


def _line(values: torch.Tensor, chance: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Find the line a x + b_c whose sigmoid is nearest to a chance, by the cross-entropy.

    A normal prior of deviation 1 holds ln a near 0, b near 0, and the b_c near to b: a class of which little is known
    goes with the others.

    Args:
        values: x, (M, C) float64.
        chance: (M, C) float64 in [0, 1].

    Returns:
        a, and b_c, (C,) float64.
    """
    of = torch.zeros(2 + values.shape[1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([of], max_iter=STEPS, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        search.zero_grad()
        mapped = of[0].exp() * values + of[1] + of[2:]
        loss: torch.Tensor = binary_cross_entropy_with_logits(mapped, chance, reduction="sum") + (of**2).sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        search.step(step)  # type: ignore[no-untyped-call]
    found = of.detach()
    return float(found[0].exp()), found[1] + found[2:]


@dataclass(frozen=True)
class Reliability:
    """How often a class is there, by what is said of it.

    Attributes:
        said: the mean probability in each bin that has entries.
        found: the share of its entries that hold.
        entries: how many it has.
    """

    said: list[float]
    found: list[float]
    entries: list[int]

    @property
    def error(self) -> float:
        """Give the expected calibration error: the mean distance of said and found, over the entries."""
        apart = np.abs(np.array(self.said) - np.array(self.found))
        return float((apart * self.entries).sum() / max(sum(self.entries), 1))


def reliability(probabilities: torch.Tensor, truth: torch.Tensor) -> Reliability:
    """Sort entries into bins of equal width by their probability.

    Args:
        probabilities: (N, C) in [0, 1].
        truth: (N, C) bool.
    """
    said: NDArray[np.float64] = probabilities.double().numpy().ravel()
    holds = truth.numpy().ravel().astype(float)
    bins = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    there = counts > 0
    mean, share = (np.bincount(bins, each, BINS)[there] / counts[there] for each in (said, holds))
    return Reliability(mean.tolist(), share.tolist(), counts[there].tolist())
