"""How photographs are read in a pass outside training: decoded ahead of the network, in order, batch by batch."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ccd_fast.machine import Ranks, on_stream_for
from ccd_fast.runs import Stage
from ccd_fast.runs.tables import IN_MEMORY, Tables
from ccd_fast.views import Interpolation, Photographs, ViewBackend, prefetched

LOAD_BATCH = 32
"""Photographs decoded at a time outside training on a CPU: enough to fill the threads, few enough for its cache."""

ON_A_GPU = 256
"""The same on a GPU, where each round of a pass costs the host some waiting and launching, whatever its size."""

AHEAD = 1
"""Batches that wait, decoded, for the student or the teacher; one more is in the making and one in use."""

STUDENT_FILTER: Interpolation = "bilinear"
"""Filter of the student's resize, the one of the reference run."""

Look = tuple[int, Interpolation]
"""A whole view: its side in pixels, and the filter of its resize. A side of 0 makes none."""


@dataclass(frozen=True)
class Reading:
    """What decodes photographs and makes their views, and the processes that share a pass over them.

    Attributes:
        backend: of the views; they are on its device.
        tables: what a pass gathers; of their processes each reads its share, and gets the whole result.
    """

    backend: ViewBackend
    tables: Tables = IN_MEMORY

    @property
    def ranks(self) -> Ranks:
        """Give the processes."""
        return self.tables.ranks

    @property
    def batch_size(self) -> int:
        """Give the photographs that are decoded at a time."""
        return ON_A_GPU if self.backend.device.type == "cuda" else LOAD_BATCH

    def share(self, files: int) -> range:
        """Give the rows of so many files that this process reads."""
        return self.ranks.share(files, self.batch_size)

    def put_together(self, table: torch.Tensor) -> None:
        """Bring the rows that each process made of its share of N files to all, (N, ...), in place."""
        self.ranks.put_together(table, self.batch_size)

    @contextmanager
    def views(
        self, files: Sequence[Path], look: Look, stage: Stage
    ) -> Iterator[Iterator[tuple[Photographs, torch.Tensor]]]:
        """Read this process's share, less what the stage has done already, each batch with its whole views.

        Args:
            files: N photographs; row i is ``files[i]``.
            look: of the whole views, (B, S, S, 3) uint8.
            stage: timed by part.
        """
        device = self.backend.device
        made = self._with_views(files, look, stage, self.share(len(files))[stage.done :])
        with on_stream_for("pass", device), closing(prefetched(made, AHEAD, device)) as batches:
            yield batches

    def _with_views(
        self, files: Sequence[Path], look: Look, stage: Stage, rows: range
    ) -> Generator[tuple[Photographs, torch.Tensor], None, None]:
        for photographs in decoded(files, self.backend, stage, self.batch_size, rows):
            with stage.part("views"):
                views = self.backend.whole(photographs, *look) if look[0] else torch.empty(0)
            yield photographs, views


def decoded(
    files: Sequence[Path], backend: ViewBackend, stage: Stage, batch_size: int, rows: range | None = None
) -> Iterator[Photographs]:
    """Decode files, batch by batch, in order; row i is ``files[i]``, and ``rows`` are all or a range of them."""
    every = range(len(files)) if rows is None else rows
    for first in range(0, len(every), batch_size):
        batch = every[first : first + batch_size]
        with stage.part("decode"):
            photographs = backend.decode(files[batch.start : batch.stop], np.arange(batch.start, batch.stop))
        yield photographs
