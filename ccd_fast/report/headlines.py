"""The headline of a run's page: teacher, labels and student, with intervals where the run has kept their scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ccd_fast.compat import quirks
from ccd_fast.errors import UserError
from ccd_fast.evaluation import Comparison, Scores, compare, scores
from ccd_fast.evaluation.comparison import told
from ccd_fast.evaluation.metrics import Threshold
from ccd_fast.evaluation.scores import common
from ccd_fast.recipes import config
from ccd_fast.training import CHOSEN, FIRST, HELD_OUT, TEACHER, UPDATED

HEADLINE = {
    f"{TEACHER}, test": "zero-shot teacher",
    FIRST: "first pseudo-labels",
    HELD_OUT: "first head of photographs held out",
    UPDATED: "pseudo-labels after the updates",
    CHOSEN: "student",
}
"""What the headline tells, by its name in the summary."""


@dataclass(frozen=True)
class Line:
    """A row of the headline.

    Attributes:
        name: what was measured.
        on: the images that it was measured on.
        metrics: as :meth:`ccd_fast.evaluation.metrics.Metrics.record` gives them.
        sure: the interval of its mAP, in words; empty where the run, being older, has kept no scores.
    """

    name: str
    on: str
    metrics: dict[str, Any]
    sure: str = ""


def read(
    run: Path, metrics: dict[str, Any], class_names: Sequence[str], min_positives: int = 0
) -> tuple[list[Line], list[str]]:
    """Give the lines of the headline, and sentences on them.

    Args:
        run: its folder.
        metrics: of its summary.
        class_names: C names.
        min_positives: classes with fewer positives are left out.

    Raises:
        UserError: no class has so many, or the run has kept no scores to leave one out.
    """
    there = [name for name in HEADLINE if name in metrics]
    kept = {name: scores.read(run, name, class_names) for name in there}
    if any(found is None for found in kept.values()):
        if min_positives:
            raise UserError(f"--min-positives: {run} has kept no scores, being older than them: train it again")
        return [Line(HEADLINE[name], _on(name), metrics[name]) for name in there], []
    measured = {name: found for name, found in kept.items() if found is not None}
    compared = _compared(measured, run, metrics, class_names, min_positives)
    lines = []
    for name in there:
        own, said = compared[_on(name)], HEADLINE[name]
        sure = told(own.maps[said]).partition(" ")[2].strip("()")
        lines.append(Line(said, _on(name), own.metrics[said].record(), sure))
    test = compared.get("test")
    return lines, [] if test is None else [*test.sentences(), *test.notes()]


def _threshold(kept: Any, class_names: Sequence[str]) -> Threshold:
    """Give the threshold that figures were measured at."""
    return torch.tensor([kept[name] for name in class_names]) if isinstance(kept, Mapping) else float(kept)


def _on(name: str) -> str:
    return "test" if name.endswith("test") else "training"


def _compared(
    kept: dict[str, Scores], run: Path, metrics: dict[str, Any], class_names: Sequence[str], min_positives: int
) -> dict[str, Comparison]:
    """Compare what was measured on the same images: the last of it with what came before."""
    recipe = config.of_run(run)
    absent_ap = quirks.ABSENT_CLASS_AP if recipe.compat == "official" else math.nan
    found = {}
    for split in ("test", "training"):
        own = {HEADLINE[name]: table for name, table in reversed(kept.items()) if _on(name) == split}
        if own:
            same = common(own)
            first = next(iter(same.values()))
            known = torch.from_numpy(first.known)
            tables = {name: table.table[known] for name, table in same.items()}
            truth = first.truth[known]
            at = {HEADLINE[name]: _threshold(metrics[name]["threshold"], class_names) for name in kept}
            found[split] = compare(tables, truth, class_names, at, absent_ap, min_positives)
    return found
