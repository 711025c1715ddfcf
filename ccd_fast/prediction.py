"""The student at work: probabilities for photographs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.progress import Stage
from ccd_fast.student import PixelClassifier
from ccd_fast.views import Interpolation, Photographs, ViewBackend

LOAD_BATCH = 32
"""Photographs decoded at a time outside training: enough to fill the threads, few enough to stay in the cache."""

STUDENT_FILTER: Interpolation = "bilinear"
"""Filter of the student's resize, the one of the reference run."""


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


def decoded(
    files: list[Path], backend: ViewBackend, stage: Stage, batch_size: int = LOAD_BATCH, start: int = 0
) -> Iterator[Photographs]:
    """Decode files from ``start`` on, batch by batch, in order; row i is ``files[i]``."""
    for first in range(start, len(files), batch_size):
        rows = np.arange(first, min(first + batch_size, len(files)))
        with stage.part("decode"):
            photographs = backend.decode(files[first : first + batch_size], rows)
        yield photographs


@torch.inference_mode()
def predict(
    student: PixelClassifier, files: list[Path], backend: ViewBackend, image_size: int, stage: Stage
) -> Predictions:
    """Predict probabilities, the sigmoid of the logits, in evaluation mode.

    Args:
        student: the model, or its engine; it is left in evaluation mode.
        files: N photographs.
        backend: of the views.
        image_size: side of the square view in pixels.
        stage: advanced by the photographs seen.

    Raises:
        Nothing for a photograph that cannot be read: it is in ``unreadable``.
    """
    student.eval()
    probabilities = torch.zeros((len(files), student.classes))
    readable = torch.zeros(len(files), dtype=torch.bool)
    unreadable: dict[int, str] = {}
    for photographs in decoded(files, backend, stage):
        unreadable |= photographs.unreadable
        rows: NDArray[np.int64] = photographs.rows
        with stage.part("student"):
            if len(photographs):
                logits, _ = student(backend.whole(photographs, image_size, STUDENT_FILTER))
                probabilities[rows] = torch.sigmoid(logits)
                readable[rows] = True
        stage.advance(len(photographs) + len(photographs.unreadable))
    return Predictions(probabilities, readable, unreadable)
