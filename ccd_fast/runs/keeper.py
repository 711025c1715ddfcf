"""An interrupted pass goes on where it was: what it has done so far is kept on disk, now and then and at Ctrl-C.

A pass asks its stage what was kept (:meth:`Keeper.restored`), and offers its state after each batch
(:meth:`Keeper.keep`). The state holds all that the rest of the pass depends on, so that the end is the same, bit for
bit.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ccd_fast.machine import ALONE, Ranks
from ccd_fast.runs.folder import RunFolder

KEEP, STOP = 1, 2
SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO = 10.0 if "TORCHELASTIC_RUN_ID" in os.environ else 0.0
"""Seconds after Ctrl-C in which another one counts for nothing: torchrun hands on what the terminal gave already."""


class Stop:
    """Whether the user asked the run to stop: Ctrl-C, or SIGTERM. A second one stops at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Nobody has asked yet; ``say`` shows a line."""
        self.requested = False
        self._since = 0.0
        self._say = say

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals while the block runs; only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._asked) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's arguments
        now = time.monotonic()
        if self.requested and now - self._since >= ECHO:
            raise KeyboardInterrupt
        if self.requested:
            return
        self.requested, self._since = True, now
        self._say("finishing the step and keeping what was done; once more to stop at once")

    def now(self) -> None:
        """Stop here if somebody asked: what was done is kept.

        Raises:
            KeyboardInterrupt: somebody asked.
        """
        if self.requested:
            raise KeyboardInterrupt


class Keeper:
    """Keeps the state of one pass in the run's folder; see :class:`ccd_fast.runs.progress.Keeps`."""

    def __init__(
        self, folder: RunFolder, name: str, seconds: float, stop: Stop, ranks: Ranks = ALONE, in_step: bool = False
    ) -> None:
        """Keep under a name that no other pass of the run has, every so many seconds; 0 keeps at a stop only.

        Of several processes each keeps its own share. Where they go ``in_step``, one batch after the other, they keep
        and stop at the same batch, and go on only from one that all of them have kept.
        """
        self._together = ranks if in_step else ALONE
        self._folder = folder
        self._name = name
        self._seconds = seconds
        self._stop = stop
        self._last = time.monotonic()

    def restored(self) -> Mapping[str, Any] | None:
        """Give the state that this pass was left in; None where it begins."""
        state = self._folder.load_partial(self._name)
        done = int(state["done"]) if state else 0
        if self._together.highest(done) != -self._together.highest(-done):
            return None
        return state

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the state down if it is time to, or if the run is to stop.

        Raises:
            KeyboardInterrupt: the run is to stop; the state is on disk.
        """
        due = self._seconds > 0 and time.monotonic() - self._last >= self._seconds
        wanted = self._together.highest(STOP if self._stop.requested else KEEP if due else 0)
        if wanted:
            self._folder.save_partial(self._name, state())
            self._last = time.monotonic()
        if wanted == STOP:
            raise KeyboardInterrupt
