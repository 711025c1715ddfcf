"""Where the (N, C) tables of a run live (``labels.table``): what a run asks of that, and tables in memory.

:mod:`ccd_fast.runs.mapped_tables` has those that live in mapped files.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch

from ccd_fast.machine import ALONE, Ranks
from ccd_fast.machine.blocks import blocks
from ccd_fast.runs.gathered import Gathered, InMemoryRows, Kept

Shape = tuple[int, int]


class Tables(Protocol):
    """What makes (N, C) tables, gives them to all processes, and names them for a checkpoint.

    A table does not change once all have it.
    """

    @property
    def ranks(self) -> Ranks:
        """Give the processes that share the tables."""
        ...

    def scratch(self, shape: Shape, unit: int = 1, left: Kept | None = None) -> torch.Tensor:
        """Begin a table that a pass fills row by row and no checkpoint of the run holds.

        Args:
            shape: N, C.
            unit: a process's rows are those of :meth:`ccd_fast.machine.Ranks.share` with this block.
            left: what :meth:`kept` gave of the table when the pass was left.

        Returns:
            (N, C) float32, 0 but for what was left; this process writes to its own rows.
        """
        ...

    def moved(self, table: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Give a scratch table where it can be written to best while a device works."""
        ...

    def together(self, table: torch.Tensor, unit: int = 1) -> torch.Tensor:
        """Give all processes a scratch table of which each has filled its own rows."""
        ...

    def gathered(self, width: int, device: torch.device, left: Kept | None = None, count: int = 0) -> Gathered:
        """Begin what gathers rows of C numbers for this process alone, on a device, or on the host where it is mapped.

        Args:
            width: C.
            device: where rows come from.
            left: what was kept of the rows when the pass was left.
            count: how many those are.
        """
        ...

    def made(self, shape: Shape, rows_of: Callable[[slice], torch.Tensor], unit: int = 1) -> torch.Tensor:
        """Make a label table: each process the rows of its own, block by block, and all get it whole.

        Args:
            shape: N, C.
            rows_of: gives the labels of a block of rows, (B, C) float32 in [0, 1].
            unit: as for :meth:`scratch`.

        Returns:
            (N, C) float32, or float16 where it is mapped; 0 and 1 are exact, and nothing else becomes 1.

        Raises:
            RunError: the disk is full.
        """
        ...

    def sample(self, shape: Shape) -> torch.Tensor:
        """Give the rows that are looked at where all rows of a class are asked for, (S,) int64, ascending."""
        ...

    def kept(self, table: torch.Tensor) -> Kept:
        """Give a table, or any other tensor, as a checkpoint holds it, on the host."""
        ...

    def found(self, kept: Kept) -> torch.Tensor:
        """Give back what :meth:`kept` gave of a label table or another tensor."""
        ...

    def sweep(self, kept: Iterable[Kept]) -> None:
        """Remove what the checkpoint that was just written does not hold; no process needs it any more."""
        ...


class InMemory:
    """Tables in the memory of each process."""

    def __init__(self, ranks: Ranks = ALONE) -> None:
        """Name the processes."""
        self.ranks = ranks

    def scratch(self, shape: Shape, unit: int = 1, left: Kept | None = None) -> torch.Tensor:  # noqa: ARG002 - Tables
        """See :class:`Tables`."""
        return torch.zeros(shape) if left is None else self.found(left)

    def moved(self, table: torch.Tensor, device: torch.device) -> torch.Tensor:
        """See :class:`Tables`."""
        return table.to(device)

    def together(self, table: torch.Tensor, unit: int = 1) -> torch.Tensor:
        """See :class:`Tables`."""
        self.ranks.put_together(table, unit)
        return table

    def gathered(self, width: int, device: torch.device, left: Kept | None = None, count: int = 0) -> Gathered:  # noqa: ARG002 - Tables
        """See :class:`Tables`."""
        return InMemoryRows(torch.zeros((0, width), device=device) if left is None else self.found(left).to(device))

    def made(self, shape: Shape, rows_of: Callable[[slice], torch.Tensor], unit: int = 1) -> torch.Tensor:
        """See :class:`Tables`."""
        table = torch.empty(shape)
        for block in blocks(self.ranks.share(shape[0], unit), shape[1]):
            table[block] = rows_of(block)
        return self.together(table, unit)

    def sample(self, shape: Shape) -> torch.Tensor:
        """Give all rows."""
        return torch.arange(shape[0])

    def kept(self, table: torch.Tensor) -> Kept:
        """See :class:`Tables`."""
        return table.cpu()

    def found(self, kept: Kept) -> torch.Tensor:
        """See :class:`Tables`."""
        assert isinstance(kept, torch.Tensor), "what was kept of a table in memory is the table"
        return kept

    def sweep(self, kept: Iterable[Kept]) -> None:
        """Do nothing: memory is given back by itself."""


IN_MEMORY = InMemory()
