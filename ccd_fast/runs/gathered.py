"""Rows of C numbers that a process gathers for itself, nobody knows how many: in memory, or in a file that it maps."""

import os
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ccd_fast.errors import UserError
from ccd_fast.runs.folder import cannot_be_written

Kept = torch.Tensor | str
"""A table as a checkpoint holds it: itself, or the name of its file in the run's folder."""

GONE = "is gone or damaged, and a pass was to go on with it; begin anew with --overwrite"


class Gathered(Protocol):
    """Rows in the order in which they come."""

    def add(self, rows: torch.Tensor) -> None:
        """Take rows, (M, C) float32."""
        ...

    def whole(self) -> torch.Tensor:
        """Give all of them, (K, C) float32."""
        ...

    def kept(self) -> Kept:
        """Give them as a pass that is left holds them, on the host."""
        ...


class InMemoryRows:
    """Rows in memory, on a device."""

    def __init__(self, begun: torch.Tensor) -> None:
        """Begin with some rows, (K, C), or none, on the device."""
        self._parts = [begun]

    def add(self, rows: torch.Tensor) -> None:
        """See :class:`Gathered`."""
        self._parts.append(rows)

    def whole(self) -> torch.Tensor:
        """See :class:`Gathered`."""
        self._parts = [torch.cat(self._parts)]
        return self._parts[0]

    def kept(self) -> Kept:
        """See :class:`Gathered`."""
        return self.whole().cpu()


class MappedRows:
    """Rows in a file of this process alone, mapped when all are there."""

    def __init__(self, file: Path, name: str, width: int, count: int) -> None:
        """Begin a file, which a checkpoint names so, or go on behind the rows that were kept of it.

        Raises:
            UserError: they are not there any more.
        """
        self._file, self._name, self._width, self._count = file, name, width, count
        if count and not (file.is_file() and file.stat().st_size >= 4 * width * count):
            raise UserError(f"{file}: {GONE}")
        with file.open("rb+" if count else "wb") as opened:
            opened.truncate(4 * width * count)

    def add(self, rows: torch.Tensor) -> None:
        """See :class:`Gathered`.

        Raises:
            RunError: the disk is full.
        """
        try:
            with self._file.open("ab") as file:
                file.write(rows.float().cpu().contiguous().numpy().data)
        except OSError as error:
            raise cannot_be_written(self._file, error, 4 * rows.numel()) from error
        self._count += len(rows)

    def whole(self) -> torch.Tensor:
        """See :class:`Gathered`; they are on the host."""
        if not self._count:
            return torch.zeros((0, self._width))
        return torch.from_numpy(np.memmap(self._file, np.float32, "c", shape=(self._count, self._width)))

    def kept(self) -> Kept:
        """See :class:`Gathered`."""
        with self._file.open("rb+") as file:
            os.fsync(file.fileno())
        return self._name
