"""Evaluation against known labels, the choice of an epoch without any, and where CAMs point (section 6).

Imports teacher, student, datasets and what is below them.
"""

from ccd_fast.evaluation.localisation import Localisation, localise
from ccd_fast.evaluation.metrics import (
    Metrics,
    choose_epoch,
    evaluate_images,
    explain_choice,
    mean_average_precision,
    oracle_epoch,
)

__all__ = [
    "Localisation",
    "Metrics",
    "choose_epoch",
    "evaluate_images",
    "explain_choice",
    "localise",
    "mean_average_precision",
    "oracle_epoch",
]
