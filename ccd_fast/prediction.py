"""The student at work: probabilities for photographs."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.device_streams import on_stream_for
from ccd_fast.progress import Stage
from ccd_fast.ranks import ALONE, Ranks
from ccd_fast.student import PixelClassifier
from ccd_fast.views import Interpolation, Photographs, ViewBackend, prefetched

LOAD_BATCH = 32
"""Photographs decoded at a time outside training: enough to fill the threads, few enough to stay in the cache."""

AHEAD = 1
"""Batches that wait, decoded, for the student or the teacher; one more is in the making and one in use."""

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
    files: list[Path], backend: ViewBackend, stage: Stage, batch_size: int = LOAD_BATCH, rows: range | None = None
) -> Iterator[Photographs]:
    """Decode files, batch by batch, in order; row i is ``files[i]``, and ``rows`` are all or a range of them."""
    every = range(len(files)) if rows is None else rows
    for first in range(0, len(every), batch_size):
        batch = every[first : first + batch_size]
        with stage.part("decode"):
            photographs = backend.decode(files[batch.start : batch.stop], np.arange(batch.start, batch.stop))
        yield photographs


def decoded_with_views(
    files: list[Path], backend: ViewBackend, size: int, interpolation: Interpolation, stage: Stage, rows: range
) -> Generator[tuple[Photographs, torch.Tensor], None, None]:
    """Decode a range of files, each batch with its whole views of a size, (B, S, S, 3); 0 makes none."""
    for photographs in decoded(files, backend, stage, rows=rows):
        with stage.part("views"):
            views = backend.whole(photographs, size, interpolation) if size else torch.empty(0)
        yield photographs, views


@torch.inference_mode()
def predict(
    student: PixelClassifier,
    files: list[Path],
    backend: ViewBackend,
    image_size: int,
    stage: Stage,
    ranks: Ranks = ALONE,
) -> Predictions:
    """Predict probabilities, the sigmoid of the logits, in evaluation mode.

    Args:
        student: the model, or its engine; it is left in evaluation mode.
        files: N photographs.
        backend: of the views, on the student's device.
        image_size: side of the square view in pixels.
        stage: advanced by the photographs seen.
        ranks: the processes that share the photographs; each gets the whole result.

    Raises:
        Nothing for a photograph that cannot be read: it is in ``unreadable``.
    """
    student.eval()
    probabilities = torch.zeros((len(files), student.classes))
    readable = torch.zeros(len(files), dtype=torch.bool)
    unreadable: dict[int, str] = {}
    own, device = ranks.share(len(files), LOAD_BATCH), backend.device
    made = decoded_with_views(files, backend, image_size, STUDENT_FILTER, stage, own)
    with on_stream_for("pass", device), closing(prefetched(made, AHEAD, device)) as batches:
        for photographs, views in batches:
            unreadable |= photographs.unreadable
            rows: NDArray[np.int64] = photographs.rows
            with stage.part("student"):
                if len(photographs):
                    logits, _ = student(views)
                    probabilities[rows] = torch.sigmoid(logits).cpu()
                    readable[rows] = True
                    stage.saw("student", len(photographs))
            stage.advance(len(photographs) + len(photographs.unreadable))
    for table in (probabilities, readable):
        ranks.put_together(table, LOAD_BATCH)
    unreadable = ranks.merged(unreadable)
    stage.advance(len(files) - len(own))
    return Predictions(probabilities, readable, unreadable)
