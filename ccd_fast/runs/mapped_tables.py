"""Tables of a run in mapped files of its folder (``labels.table = "mapped"``), labels in half precision.

The system keeps the pages of a mapped file in main memory while there is room, once for all processes of a machine, and
takes them back when it needs the room. No file is written to by two processes, and none is changed that a checkpoint
names: each process writes a file of its own rows, the leader puts them together under a temporary name and renames, and
then all map it. So a disk that machines share needs no lock, and no more than that a file which was closed is seen
whole by whoever opens it later.
"""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.errors import UserError
from ccd_fast.machine import Ranks
from ccd_fast.machine.blocks import blocks
from ccd_fast.runs.folder import RunFolder, cannot_be_written
from ccd_fast.runs.free import refuse_no_room
from ccd_fast.runs.gathered import GONE, Gathered, Kept, MappedRows
from ccd_fast.runs.tables import InMemory, Shape, Tables

TABLE, SCRATCH = "labels/table-{:03d}.npy", "labels/.scratch-{:02d}"
OWN = re.compile(r"\.*(table-\d+\.npy|scratch-\d+)(\..*)?")
"""Files of these names, and what a process that was killed has left of them."""
SAMPLE = 2**26
"""Numbers of a table, in evenly spread rows, that are looked at where all rows of a class are asked for."""
BELOW_ONE = 1 - 2**-11
"""The highest number of half precision below 1."""
COPIED = 2**24
"""Bytes that are copied at a time from one file to another."""
MIB = 2**20


class Mapped:
    """Tables in files of a run's folder; labels in half precision."""

    def __init__(self, folder: RunFolder) -> None:
        """Name the folder; its processes share the tables."""
        self.folder, self.ranks = folder, folder.ranks
        self._tables = self._scratches = 0
        self._named: dict[str, torch.Tensor] = {}
        self._written: dict[str, np.memmap[tuple[int, ...], np.dtype[np.float32]]] = {}

    def scratch(self, shape: Shape, unit: int = 1, left: Kept | None = None) -> torch.Tensor:
        """See :class:`Tables`; the space is taken now: a mapped file that finds none later ends the process."""
        self._scratches += 1
        if 0 in shape:
            return torch.zeros(shape)
        name = SCRATCH.format(self._scratches)
        file, row = self._of(name, self.ranks.rank), 4 * shape[1]
        own, need = self.ranks.share(shape[0], unit), shape[0] * row
        try:
            with file.open("wb" if left is None else "rb+") as handle:
                if left is None and len(own) and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(handle.fileno(), own.start * row, len(own) * row)
                handle.truncate(need)
        except FileNotFoundError as error:
            raise UserError(f"{file}: {GONE}") from error
        except OSError as error:
            file.unlink(missing_ok=True)
            raise cannot_be_written(file, error, len(own) * row) from error
        self._written[name] = np.memmap(file, np.float32, "r+", shape=shape)
        self._named[name] = torch.from_numpy(self._written[name])
        return self._named[name]

    def moved(self, table: torch.Tensor, device: torch.device) -> torch.Tensor:  # noqa: ARG002 - Tables
        """Leave it where it is."""
        return table

    def together(self, table: torch.Tensor, unit: int = 1) -> torch.Tensor:
        """See :class:`Tables`; what each process has written stays beside it: an interrupted pass goes on with it."""
        name = self.kept(table)
        if self.ranks.size == 1 or not isinstance(name, str):
            return table
        self.ranks.wait()
        row, count = table.shape[1] * table.itemsize, len(table)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as whole:
                for rank in range(self.ranks.size):
                    own = Ranks(rank, self.ranks.size).share(count, unit)
                    with self._of(name, rank).open("rb") as part:
                        part.seek(own.start * row)
                        _copy(part, whole, len(own) * row)

        self.folder.write(name, write, table.nbytes)
        self.ranks.wait()
        # Private to the process: nothing that it writes by mistake reaches the others.
        whole = np.memmap(self.folder.path / name, np.float32, "c", shape=tuple(table.shape))
        self._named[name] = torch.from_numpy(whole)
        return self._named[name]

    def gathered(self, width: int, device: torch.device, left: Kept | None = None, count: int = 0) -> Gathered:  # noqa: ARG002 - Tables
        """See :class:`Tables`."""
        self._scratches += 1
        file = self._of(SCRATCH.format(self._scratches), self.ranks.rank)
        if isinstance(left, str):  # the numbers of the process that was left have gone on from others
            file = file.with_name(Path(left).name)
            if not OWN.fullmatch(file.name):
                raise UserError(f"{file}: no file of a pass is called so")
        return MappedRows(file, f"labels/{file.name}", width, count)

    def made(self, shape: Shape, rows_of: Callable[[slice], torch.Tensor], unit: int = 1) -> torch.Tensor:
        """See :class:`Tables`."""
        self._tables += 1
        name, ranks = TABLE.format(self._tables), self.ranks
        own = ranks.share(shape[0], unit)

        def write_own(file: BinaryIO) -> None:
            for block in blocks(own, shape[1]):
                file.write(half(rows_of(block)).contiguous().numpy().data)

        def write_part(temporary: Path) -> None:
            with temporary.open("wb") as file:
                write_own(file)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                header = {"descr": "<f2", "fortran_order": False, "shape": tuple(shape)}
                np.lib.format.write_array_header_1_0(file, header)
                write_own(file)
                ranks.wait()
                for rank in range(1, ranks.size):
                    with self._of(name, rank).open("rb") as part:
                        _copy(part, file)
                    self._of(name, rank).unlink()

        if ranks.leads:
            self.folder.write(name, write, 2 * shape[0] * shape[1])
        else:
            part = self._of(name, ranks.rank).relative_to(self.folder.path)
            self.folder.write_own(str(part), write_part, 2 * len(own) * shape[1])
            ranks.wait()
        ranks.wait()
        return self.found(name)

    def sample(self, shape: Shape) -> torch.Tensor:
        """See :class:`Tables`: all rows, or evenly spread ones of a table of more than :data:`SAMPLE` numbers."""
        rows = min(shape[0], max(SAMPLE // max(shape[1], 1), 1))
        return torch.arange(rows) * shape[0] // max(rows, 1)

    def kept(self, table: torch.Tensor) -> Kept:
        """See :class:`Tables`; what was written to a scratch table is on the disk then."""
        for name, named in self._named.items():
            if named is table:
                if name in self._written:
                    self._written[name].flush()
                return name
        return table.cpu()

    def found(self, kept: Kept) -> torch.Tensor:
        """See :class:`Tables`.

        Raises:
            UserError: the file is gone or damaged.
        """
        if isinstance(kept, torch.Tensor):
            return kept
        file = self.folder.path / kept
        try:
            number = int(file.stem.rpartition("-")[2])
            if TABLE.format(number) != kept:
                raise ValueError("no label table is called so")
            # Private to the process: nothing that it writes by mistake reaches the file.
            table: NDArray[np.float16] = np.load(file, mmap_mode="c")
            if table.dtype != np.float16 or table.ndim != 2:
                raise ValueError(f"an array of {table.dtype}, {table.shape}")
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{file}: not the label table that the checkpoint of the run names: {reason}") from error
        self._tables = max(self._tables, number)
        self._named[kept] = torch.from_numpy(table)
        return self._named[kept]

    def sweep(self, kept: Iterable[Kept]) -> None:
        """See :class:`Tables`; what a killed run has left goes too."""
        stays = {name for name in kept if isinstance(name, str)}
        self._named = {name: table for name, table in self._named.items() if name in stays}
        self._written = {}
        self.ranks.wait()
        if self.ranks.leads:
            for file in (self.folder.path / "labels").iterdir():
                if OWN.fullmatch(file.name) and f"labels/{file.name}" not in stays:
                    file.unlink(missing_ok=True)
        self.ranks.wait()  # until then nobody begins another one

    def _of(self, name: str, rank: int) -> Path:
        """Name a process's own file of a table."""
        file = self.folder.path / name
        if self.ranks.size == 1:
            return file
        return file.with_name(f".{file.name.lstrip('.')}.{rank}-of-{self.ranks.size}")


def open_tables(
    where: Literal["memory", "mapped"],
    folder: RunFolder,
    shape: Shape,
    told: bool,
    say: Callable[[str], None],
    drawn: bool = False,
) -> Tables:
    """Open what makes a run's tables, and say where they live if that is not in memory.

    Args:
        where: the knob ``labels.table``.
        folder: of the run.
        shape: N, C.
        told: whether entries are known, so that a table is kept beside that of the labels.
        say: shows a line.
        drawn: whether labels are drawn together, from a table that is kept beside.

    Raises:
        UserError: the disk has not the room.
    """
    if where == "memory":
        return InMemory(folder.ranks)
    numbers, several = shape[0] * shape[1], folder.ranks.size > 1
    # the first ones, the last ones and the next ones, each beside what it was made of; and their parts
    labels = 3 + 2 * told + (2 + told) * drawn + several
    need = numbers * (2 * labels + (8 if several else 4))
    in_words = f"{shape[0]:,} photographs x {shape[1]:,} classes"
    refuse_no_room(folder.path, need, f"the mapped tables of {in_words}")
    say(
        f"label tables: mapped from {folder.path / 'labels'}, {2 * numbers / MIB:,.1f} MiB each ({in_words}); "
        f"all of them up to {need / MIB:,.1f} MiB at a time, beside the scores of an update's crops"
    )
    return Mapped(folder)


def half(labels: torch.Tensor) -> torch.Tensor:
    """Round labels to half precision; one that is not 1 does not become 1, which counts as sure."""
    return torch.where(labels < 1, labels.clamp(max=BELOW_ONE), labels).half()


def _copy(source: BinaryIO, target: BinaryIO, count: int = -1) -> None:
    """Copy so many bytes, or all that there are; a file that ends before is a damaged one."""
    while count and (content := source.read(COPIED if count < 0 else min(COPIED, count))):
        target.write(content)
        count -= len(content) if count > 0 else 0
    if count > 0:
        raise OSError(f"a part of it lacks {count} bytes")
