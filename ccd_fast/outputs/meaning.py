"""What a student's probabilities mean where the truth is known: before and after its calibration."""

from pathlib import Path
from typing import NamedTuple

import torch

from ccd_fast.evaluation import scores
from ccd_fast.evaluation.calibration import Reliability, reliability
from ccd_fast.outputs.trained import Trained
from ccd_fast.training import CHOSEN, LAST


class Meaning(NamedTuple):
    """How often a class is there, by what is said of it.

    Attributes:
        before: by the sigmoid of the student's logits.
        after: by what ``predict`` gives; None where the run has no calibration.
    """

    before: Reliability
    after: Reliability | None

    def told(self) -> str:
        """Say in a line how far probabilities are from shares."""
        error = f"{100 * (self.after or self.before).error:.1f}"
        was = "" if self.after is None else f" (by the sigmoid alone {100 * self.before.error:.1f})"
        return (
            f"expected calibration error {error} %{was}: how far probabilities are from the shares that they stand for"
        )


def of(model: Trained, raw: torch.Tensor, truth: torch.Tensor) -> Meaning:
    """Measure probabilities as the student gives them, (N, C), against the truth, (N, C) bool."""
    after = None if model.calibration is None else reliability(model.calibrated(raw), truth)
    return Meaning(reliability(raw, truth), after)


def measured(run: Path, model: Trained, checkpoint: str = "best") -> Meaning | None:
    """Measure on the test photographs that the run has kept the scores of; None where none are known."""
    kept = scores.read(run, CHOSEN if checkpoint == "best" else LAST, model.class_names)
    if kept is None or not kept.known.any():
        return None
    known = torch.from_numpy(kept.known)
    return of(model, kept.table[known], kept.truth[known])
