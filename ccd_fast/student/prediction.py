"""The student at work: probabilities for photographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.runs import Stage
from ccd_fast.student.network import PixelClassifier
from ccd_fast.student.reading import STUDENT_FILTER, Reading


@dataclass(frozen=True)
class Predictions:
    """The student's probabilities.

    Attributes:
        probabilities: (N, C) float32; zero in unreadable rows.
        readable: (N,) bool.
        unreadable: row to reason.
    """

    probabilities: torch.Tensor
    readable: torch.Tensor
    unreadable: dict[int, str]


def probabilities_of(logits: torch.Tensor) -> torch.Tensor:
    """Give the sigmoid of logits, (…, C) float32: of a row the same bits wherever it stands, and beside whatever.

    In float64 on the way: of a tensor in float32 torch does the last entries, which do not fill a register, by another
    function, that rounds otherwise.
    """
    return torch.sigmoid(logits.double()).float()


@torch.inference_mode()
def predict(
    student: PixelClassifier, files: Sequence[Path], reading: Reading, image_size: int, stage: Stage
) -> Predictions:
    """Predict probabilities, the sigmoid of the logits, in evaluation mode.

    Args:
        student: the model, or its engine; it is left in evaluation mode.
        files: N photographs.
        reading: of the views, on the student's device; each of its processes gets the whole result.
        image_size: side of the square view in pixels.
        stage: advanced by the photographs seen.

    Raises:
        Nothing for a photograph that cannot be read: it is in ``unreadable``.
    """
    student.eval()
    probabilities = reading.tables.scratch((len(files), student.classes), reading.batch_size)
    readable = torch.zeros(len(files), dtype=torch.bool)
    unreadable: dict[int, str] = {}
    with reading.views(files, (image_size, STUDENT_FILTER), stage) as batches:
        for photographs, views in batches:
            unreadable |= photographs.unreadable
            rows: NDArray[np.int64] = photographs.rows
            with stage.part("student"):
                if len(photographs):
                    logits, _ = student(views)
                    probabilities[rows] = probabilities_of(logits.cpu())
                    readable[rows] = True
                    stage.saw("student", len(photographs))
            stage.advance(len(photographs) + len(photographs.unreadable))
    probabilities = reading.tables.together(probabilities, reading.batch_size)
    reading.put_together(readable)
    unreadable = reading.ranks.merged(unreadable)
    stage.advance(len(files) - len(reading.share(len(files))))
    return Predictions(probabilities, readable, unreadable)
