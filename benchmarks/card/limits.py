"""Limits of time inside one process: what runs too long is stopped, and the process goes on."""

import faulthandler
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN = 5.0
"""Seconds after which what swallowed the first stop is stopped again."""
GRACE = 15.0
"""Seconds beyond its limit after which what hangs outside Python takes its process with it."""


class OutOfTime(BaseException):
    """A limit is over. Not an Exception, so that what catches those does not swallow it."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop a block that runs longer, by SIGALRM: in the main thread, at the next step of Python.

    What hangs elsewhere (a device that never answers) sees no signal: ``GRACE`` seconds later a traceback of all
    threads goes to stderr and the process ends, with 1. Whoever started it goes on with another one.

    Raises:
        OutOfTime: the limit is over.
        RuntimeError: it is not the main thread that asks.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a limit is kept by a signal, which only the main thread gets")

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise OutOfTime(f"it was stopped after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=sys.__stderr__)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


class Clock:
    """The time that there is for everything."""

    def __init__(self, seconds: float) -> None:
        """Start it."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Give the seconds that are left."""
        return self._end - time.monotonic()
