"""The processes of one run, as torchrun starts them: which share of the work is whose, and how it is put together.

A process that is alone does all of the work, and nothing here costs it anything.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed

from ccd_fast.errors import RunError, UserError

Key = TypeVar("Key")
Value = TypeVar("Value")

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others before it gives up: long enough for the build of any engine."""

GPU_PATIENCE = timedelta(minutes=10)
"""How long NCCL waits, for gradients only: what takes longer, such as a build, is waited for on the host. NCCL does not
notice that another process is gone; it then ends its own."""

LOOKS = 2.0
"""Seconds in which a process that died is looked for, to name it."""

ANOTHER = "another process"

_places: list[tuple[str, int]] = []
"""Of each process, the name of its machine and its number there."""


class Ranks:
    """The processes of a run.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """Name this process; :func:`join` makes it meet the others."""
        self.rank = rank
        self.size = size

    @property
    def leads(self) -> bool:
        """Tell whether this is the process that writes the run's folder and speaks to the user."""
        return self.rank == 0

    def share(self, items: int, block: int = 1) -> range:
        """Give the items of this process: one contiguous range, which starts at a multiple of ``block``."""
        blocks = -(-items // block)
        start, stop = (min(items, block * (blocks * r // self.size)) for r in (self.rank, self.rank + 1))
        return range(start, stop)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the leader go through a block, then the others: what it builds is there when they come."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.total(torch.zeros(1))

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Add the tensors of all processes up, in place; exact for integers, and where all but one are 0."""
        if self.size > 1:
            with _together():
                distributed.all_reduce(values)
        return values

    def highest(self, value: int) -> int:
        """Give the highest of the processes' values."""
        if self.size == 1:
            return value
        found = torch.tensor([value])
        with _together():
            distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return int(found)

    def put_together(self, table: torch.Tensor, block: int = 1) -> None:
        """Give all processes the rows that each has of a table, by :meth:`share`, in place.

        Args:
            table: (N, …) on the host, contiguous; this process's rows are filled.
            block: as in :meth:`share`.
        """
        if self.size == 1:
            return
        bits = table.view(torch.uint8) if table.dtype == torch.bool else table
        for rank in range(self.size):
            own = Ranks(rank, self.size).share(len(table), block)
            if len(own):
                with _together():
                    distributed.broadcast(bits[own.start : own.stop], rank)

    def merged(self, own: dict[Key, Value]) -> dict[Key, Value]:
        """Give the entries of all processes' dictionaries; their keys differ."""
        if self.size == 1:
            return own
        every: list[dict[Key, Value]] = [{} for _ in range(self.size)]
        with _together():
            distributed.all_gather_object(every, own)
        return {key: value for each in every for key, value in each.items()}


ALONE = Ranks()


def join(device: str) -> tuple[Ranks, str]:
    """Meet the other processes that torchrun started, if it did; and share the cores of this machine with them.

    Tensors on the host go through gloo, gradients on a GPU through NCCL.

    Args:
        device: ``"cuda"`` becomes the GPU of this process's number on its machine.

    Returns:
        The ranks, and the device of this process.

    Raises:
        UserError: the processes cannot meet.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE, device
    beside, place = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        device = f"cuda:{place}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, cores // beside))  # torchrun itself leaves each process one
    try:
        if device == "cpu":
            distributed.init_process_group("gloo", timeout=PATIENCE)
        else:
            _init_with_nccl(torch.device(device))
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the {size} processes cannot meet: {_first_line(error)}") from error
    every: list[tuple[str, int]] = [("", 0)] * size
    with _together():
        distributed.all_gather_object(every, (platform.node(), os.getpid()))
    _places[:] = every
    return Ranks(distributed.get_rank(), size), device


def _init_with_nccl(gpu: torch.device) -> None:
    """Meet the others, and let NCCL connect now, on this process's own GPU, and be less patient than gloo."""
    torch.cuda.set_device(gpu)
    distributed.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE, device_id=gpu)
    group = distributed.group.WORLD
    if group is not None:
        group._get_backend(gpu)._set_default_timeout(GPU_PATIENCE)


def leave() -> None:
    """Part from the other processes; nothing where there are none."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def lost(error: RuntimeError) -> str:
    """Say that another process is gone, where that is what an error of torch is about; else nothing."""
    about = any(name in str(error).lower() for name in ("gloo", "nccl", "connection closed by peer"))
    return _tells_of_the_end(error) if about else ""


@contextmanager
def _together() -> Iterator[None]:
    """Say in one line that another process is gone, where work that needs all of them fails."""
    try:
        yield
    except RuntimeError as error:
        raise RunError(_tells_of_the_end(error)) from error


def _tells_of_the_end(error: RuntimeError) -> str:
    """Say which process has ended, and what to do; the library's words only where none can be named."""
    who = _who()
    why = f" ({_first_line(error)})" if who == ANOTHER else ""
    return f"{who} of this run has ended{why}; what was done is kept: go on with --resume"


def _who() -> str:
    """Name the processes that are gone, as far as this machine can tell."""
    until = time.monotonic() + LOOKS
    while True:
        gone = [str(n) for n, (node, pid) in enumerate(_places) if node == platform.node() and not _runs(pid)]
        if gone:
            return f"process {' and '.join(gone)}"
        if not _places or time.monotonic() > until:
            return ANOTHER
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Tell whether a process of this machine runs; one that nobody has taken leave of yet does not."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except (OSError, IndexError):  # another user's, or a system without /proc
        return True
    return state not in "ZX"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
