"""The student: its network, CAMs, losses and engine, and its predictions (sections 3 to 5).

Imports engines, views, runs, recipes and what is below them. Names are handed on
when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.student.network import PixelClassifier, Student, build
    from ccd_fast.student.prediction import Predictions, predict, probabilities_of
    from ccd_fast.student.reading import LOAD_BATCH, STUDENT_FILTER, Reading, decoded

__all__ = [
    "LOAD_BATCH",
    "STUDENT_FILTER",
    "PixelClassifier",
    "Predictions",
    "Reading",
    "Student",
    "build",
    "decoded",
    "predict",
    "probabilities_of",
]

WHERE = {
    "network": (
        "PixelClassifier",
        "Student",
        "build",
    ),
    "prediction": (
        "Predictions",
        "predict",
        "probabilities_of",
    ),
    "reading": (
        "LOAD_BATCH",
        "STUDENT_FILTER",
        "Reading",
        "decoded",
    ),
}
__getattr__ = handed_on(__name__, WHERE)
