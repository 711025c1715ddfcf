"""How sure the figures of a table are: intervals over the test images, of means over seeds and beside the teacher."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ccd_fast.errors import UserError
from ccd_fast.evaluation import Interval, Metrics, Scores, scores
from ccd_fast.evaluation.bootstrap import Resampled, resampled_maps
from ccd_fast.evaluation.comparison import kept_classes
from ccd_fast.evaluation.metrics import evaluate
from ccd_fast.outputs import origin
from ccd_fast.training import CHOSEN

NOTE = (
    "95% interval: by bootstrap over the test images, 1,000 draws, of the mean over seeds; above the teacher: of the "
    "same draws for both. It says what other photographs would change; the deviation over seeds, what another training "
    "would."
)


def again(run: Path, name: str, known: Metrics, min_positives: int) -> Metrics:
    """Measure once more what a run has kept, without the classes that have too few positives among its test images.

    Args:
        run: its folder.
        name: what was measured, by its name in the summary.
        known: its metrics over all classes.
        min_positives: that a class needs.

    Raises:
        UserError: the run has kept no scores, or no class has so many.
    """
    names = origin.class_names_of(run)
    test, own = (scores.read(run, each, names) for each in (CHOSEN, name))
    if test is None or own is None:
        raise UserError(f"--min-positives: {run} has kept no scores, being older than them: remove the run")
    kept, _, _ = kept_classes(test.truth[test.known], names, min_positives)
    table, truth = own.table[own.known][:, kept], own.truth[own.known][:, kept]
    left = [names[c] for c in kept]
    at = known.threshold
    return evaluate(table, truth, left, torch.tensor([at[name] for name in left]) if isinstance(at, dict) else at)


def interval(
    ours: Sequence[Path], name: str, theirs: Sequence[Path], other: str, min_positives: int
) -> Interval | None:
    """Give the mean test mAP over some runs, less that of others, with its interval.

    Args:
        ours: folders of runs.
        name: what was measured there, by its name in the summary.
        theirs: folders of runs to compare with; none for the figure itself.
        other: what was measured there.
        min_positives: classes with fewer are left out.

    Returns:
        None where a run has kept no scores, or other images than the first.
    """
    named = [*((run, name) for run in ours), *((run, other) for run in theirs)]
    found = [scores.read(run, each, origin.class_names_of(run)) for run, each in named if (run / "run.json").is_file()]
    tables = [table for table in found if table is not None]
    if len(tables) < len(named) or any(table.paths != tables[0].paths for table in tables):
        return None
    each = [_resampled(table, min_positives) for table in tables]
    every = Resampled(np.concatenate([one.values for one in each]), np.concatenate([one.draws for one in each]))
    return every.interval(range(len(ours)), range(len(ours), len(named)))


_done: dict[tuple[str, int], Resampled] = {}
"""By what the scores are: a table asks for the teacher's, the same in every run, once a row."""


def _resampled(found: Scores, min_positives: int) -> Resampled:
    """Draw the test images for one system."""
    known = torch.from_numpy(found.known)
    table, truth = found.table[known], found.truth[known]
    key = hashlib.sha256(table.numpy().tobytes() + truth.numpy().tobytes()).hexdigest(), min_positives
    if key not in _done:
        kept = truth.sum(dim=0) >= min_positives
        _done[key] = resampled_maps([table[:, kept]], truth[:, kept])
    return _done[key]
