"""CUDA streams of a pass: work that may run side by side is queued on streams of its own, never on the default one.

On a CPU there are no streams, and everything here does nothing.

A block of memory goes back to the stream that it came from as soon as nobody refers to it, whether or not another
stream has read it by then. So whoever reads on one stream what another one made keeps it until its reading is over:
:class:`Lane` and :class:`Lent` do that, and bound how far the host may run ahead of the GPU by the way.
"""

import functools
import os
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

IN_FLIGHT = 2
"""Pieces of work that may be queued on the GPU and not be done: one runs, and the next one waits behind it."""

PRIORITIES = {} if os.environ.get("CCD_STREAM_PRIORITY") == "0" else {"ahead": -1, "pass": -1}
"""Streams whose kernels go first where several have some: those that make what the others wait for.

``CCD_STREAM_PRIORITY=0`` puts all streams on a level, to measure what that is worth.
"""


def stream_for(work: str, device: torch.device) -> torch.cuda.Stream:
    """Give the stream for a kind of work on a GPU: the same one at every call, and never the default one.

    Torch hands out 32 streams of a priority in turn: where many engines were opened in a process, each with a stream
    of its own, two of all these may be one. That costs their overlap, and nothing else.

    Args:
        work: its name: ``"ahead"`` (pictures of the next batch), ``"pass"`` (the loop of a pass), ``"teacher"``.
        device: a GPU.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    return _stream(work, index)


@functools.cache
def _stream(work: str, index: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(torch.device("cuda", index), priority=PRIORITIES.get(work, 0))  # type: ignore[no-untyped-call]


@contextmanager
def on_stream_for(work: str, device: torch.device) -> Iterator[None]:
    """Queue a block's work on a stream of its own, behind what the current stream has; that one goes on behind it."""
    if device.type != "cuda":
        yield
        return
    own, callers = stream_for(work, device), torch.cuda.current_stream(device)
    own.wait_stream(callers)
    try:
        with torch.cuda.stream(own):
            yield
    finally:  # an error may be mended, and the caller go on: behind what was queued until then
        callers.wait_stream(own)


class Lent:
    """What was handed to work on the current stream, kept until that work is done."""

    def __init__(self, device: torch.device) -> None:
        """Start with nothing lent."""
        self._device = device
        self._kept: deque[tuple[Any, torch.cuda.Event]] = deque()

    def keep(self, item: Any) -> None:
        """Keep an item until what the current stream has queued by now is done; wait where too much is queued."""
        if self._device.type != "cuda":
            return
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self._device))
        self._kept.append((item, done))
        while len(self._kept) > IN_FLIGHT:
            self._return_one()

    def settle(self) -> None:
        """Wait for all of it."""
        while self._kept:
            self._return_one()

    def _return_one(self) -> None:
        self._kept[0][1].synchronize()
        self._kept.popleft()


class Lane:
    """A stream that works beside the current one, one piece after the other."""

    def __init__(self, work: str, device: torch.device) -> None:
        """Open the lane for a kind of work; see :func:`stream_for`."""
        self._device = device
        self._stream = stream_for(work, device) if device.type == "cuda" else None
        self._lent = Lent(device)

    def working_on(self, item: Any) -> AbstractContextManager[None]:
        """Queue a block's work on the lane, once the current stream has made ``item``; keep it until that is done."""
        return nullcontext() if self._stream is None else self._working(item, self._stream)

    @contextmanager
    def _working(self, item: Any, stream: torch.cuda.Stream) -> Iterator[None]:
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            try:
                yield
            finally:  # what was queued before an error reads the item too
                self._lent.keep(item)

    def join(self) -> None:
        """Let the current stream go on behind all that the lane has queued, and wait until nothing is lent."""
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)
            self._lent.settle()
