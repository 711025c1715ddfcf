"""Evaluation against known labels, how sure its figures are, the choice of an epoch, where CAMs point (section 6).

Imports teacher, student, datasets and what is below them. Names are handed on
when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.evaluation.bootstrap import Interval, paired
    from ccd_fast.evaluation.comparison import Comparison, compare
    from ccd_fast.evaluation.localisation import Localisation, localise
    from ccd_fast.evaluation.metrics import (
        Metrics,
        choose_epoch,
        evaluate_images,
        explain_choice,
        mean_average_precision,
        oracle_epoch,
    )
    from ccd_fast.evaluation.scores import Scores

__all__ = [
    "Comparison",
    "Interval",
    "Localisation",
    "Metrics",
    "Scores",
    "choose_epoch",
    "compare",
    "evaluate_images",
    "explain_choice",
    "localise",
    "mean_average_precision",
    "oracle_epoch",
    "paired",
]

WHERE = {
    "bootstrap": (
        "Interval",
        "paired",
    ),
    "comparison": (
        "Comparison",
        "compare",
    ),
    "localisation": (
        "Localisation",
        "localise",
    ),
    "metrics": (
        "Metrics",
        "choose_epoch",
        "evaluate_images",
        "explain_choice",
        "mean_average_precision",
        "oracle_epoch",
    ),
    "scores": ("Scores",),
}
__getattr__ = handed_on(__name__, WHERE)
