"""Decoding in a process apart: a file that ends its decoder is named, and the run goes on."""

import atexit
import ctypes
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccd_fast.errors import RunError
from ccd_fast.views.decoding_worker import READY, Answer, Batch, Done, Task
from ccd_fast.views.header import Header
from ccd_fast.views.plain import Parts

Picture = NDArray[np.uint8]

SLABS = 8
"""Files in memory for pixels, one for each batch that is in use; where more are, pixels are copied out."""
MOST_KEPT = 2**28
"""Bytes of a slab that stay with it once its batch is no longer in use; more are given back to the system."""
SECONDS_TO_END = 2.0
LOOKS = 2.0
"""Seconds between two looks at a process that has not answered."""
IDLE_LOOKS = 10
"""As many looks at which it has done nothing since the one before: it hangs. Memory that is damaged can lock, too."""

_PROGRAM = "import sys; sys.path[:] = {path!r}; from ccd_fast.views.decoding_worker import main; main({arguments})"


class Encoded(NamedTuple):
    """A file that is to be decoded.

    Attributes:
        parts: its bytes.
        by: who is to decode it.
        header: what is known of it.
    """

    parts: Parts
    by: Literal["dali", "pillow"]
    header: Header


class Apart:
    """A process that decodes, and starts anew when it has died. Safe to use from several threads, one after another.

    Attributes:
        process: the one that is at work now.
        threads: of the process, settled before the first batch.
    """

    def __init__(self, threads: int = 1) -> None:
        """Start the process; it is not waited for before it is needed."""
        self.threads = threads
        self._lock = threading.Lock()
        self._encoded = os.memfd_create("encoded", os.MFD_CLOEXEC)
        self._slabs = [os.memfd_create("pixels", os.MFD_CLOEXEC) for _ in range(SLABS)]
        self._maps: dict[int, mmap.mmap] = {}
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()  # what a finaliser may put into, in any thread
        for slab in range(SLABS):
            self._free.put(slab)
        self._start()

    def decode(self, files: Sequence[Encoded], max_megapixels: float) -> list[Picture | str | None]:
        """Decode a batch.

        Should the process die, the files are decoded again one by one, and the one that it dies of is told.

        Args:
            files: M files.
            max_megapixels: more pixels, in 10^6, are refused.

        Returns:
            M pictures, (height, width, 3) uint8; a reason for what cannot be decoded; None for what DALI refuses.

        Raises:
            RunError: the process cannot be started, or has no memory for the pixels.
        """
        if not files:
            return []
        with self._lock:
            found = self._asked(files, max_megapixels)
            if not isinstance(found, str):
                return found
            each: list[Picture | str | None] = []
            for file in files:
                alone = self._asked([file], max_megapixels)
                each += [f"ends the decoder ({alone})"] if isinstance(alone, str) else alone
            return each

    def close(self) -> None:
        """End the process."""
        if not self._is_ready:  # it loads its libraries, and would not hear before it has
            self.process.kill()
        self._connection.close()
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._said.close()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = [theirs.fileno(), self._encoded, *self._slabs]
            arguments = f"{descriptors[0]}, {descriptors[1]}, {descriptors[2:]}"
            self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM.format(path=sys.path, arguments=arguments)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,  # libraries' own lines are for nobody's screen
                start_new_session=True,  # Ctrl-C is for the one that asks
            )
        self._connection: Connection[Any, Any] = Connection(ours.detach())
        self._is_ready = self._hangs = False

    def _asked(self, files: Sequence[Encoded], max_megapixels: float) -> list[Picture | str | None] | str:
        """Decode a batch; say how the process died where it did, when another one has been started."""
        try:
            if not self._is_ready:
                self._connection.send(self.threads)
                self._is_ready = self._connection.recv() == READY
            tasks, size = self._written(files)
            slab = self._free.get_nowait() if self._free.qsize() > 1 else -1
            place = self._free.get() if slab < 0 else slab
            try:
                self._connection.send(Batch(tasks, size, place, max_megapixels))
                answers: list[Answer] | OSError = self._answer()
            except BaseException:
                self._free.put(place)
                raise
        except (EOFError, ConnectionError):
            return self._buried()
        except BaseException:  # interrupted: an answer that comes later is nobody's
            self.process.kill()
            self._connection.close()
            self.process.wait()
            self._start()
            raise
        if isinstance(answers, OSError):
            self._given_back(place)
            raise RunError(f"decoding: no memory for the pixels of {len(files)} photographs: {answers.strerror}")
        return self._read(answers, place, copy=slab < 0)

    def _answer(self) -> Any:
        """Wait for the process as long as it works.

        Raises:
            EOFError: it has died, or hangs and has been ended.
        """
        spent, idle = _spent(self.process.pid), 0
        while not self._connection.poll(LOOKS):
            now = _spent(self.process.pid)
            spent, idle = now, idle + 1 if now == spent else 0
            if idle == IDLE_LOOKS:
                self._hangs = True
                self.process.kill()
        return self._connection.recv()

    def _written(self, files: Sequence[Encoded]) -> tuple[list[Task], int]:
        """Hand the bytes of a batch over."""
        tasks, offset = [], 0
        for file in files:
            size = written = 0
            for part in file.parts:
                size += len(part)
                while written < size:
                    written += os.pwrite(self._encoded, part[written - size :], offset + written)
            tasks.append(Task(offset, size, file.by, file.header))
            offset += size
        return tasks, offset

    def _read(self, answers: list[Answer], slab: int, copy: bool) -> list[Picture | str | None]:
        """Look at the pixels where they are; the slab is free again when no picture of it is left."""
        done = [answer for answer in answers if isinstance(answer, Done)]
        if not done:
            self._free.put(slab)
            return [None if isinstance(answer, Done) else answer for answer in answers]
        size = os.fstat(self._slabs[slab]).st_size
        if slab not in self._maps or len(self._maps[slab]) < size:
            self._maps[slab] = mmap.mmap(self._slabs[slab], size)
        window = (ctypes.c_ubyte * size).from_buffer(self._maps[slab])
        weakref.finalize(window, self._given_back, slab).atexit = False
        pixels: Picture = np.frombuffer(memoryview(window), dtype=np.uint8)
        del window

        def of(answer: Answer) -> Picture | str | None:
            if not isinstance(answer, Done):
                return answer
            shape = answer.height, answer.width, 3
            picture = pixels[answer.offset : answer.offset + 3 * answer.height * answer.width].reshape(shape)
            return picture.copy() if copy else picture

        return [of(answer) for answer in answers]

    def _given_back(self, slab: int) -> None:
        """Take a slab back whose pixels nobody uses any more."""
        if os.fstat(self._slabs[slab]).st_size > MOST_KEPT:
            self._maps.pop(slab, None)
            os.ftruncate(self._slabs[slab], 0)
        self._free.put(slab)

    def _buried(self) -> str:
        """Start another process in place of one that has died, and say how that one ended."""
        self._connection.close()
        code = self.process.wait()
        if not self._is_ready:
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else _named(code)
            raise RunError(f"DALI does not start in a process of its own: {reason}; use views.backend=pillow")
        self._said.close()
        how = "it hangs" if self._hangs else _named(code)
        self._start()
        return how


def _spent(process: int) -> tuple[str, ...]:
    """Give what changes while a process works, or waits for a disk: first of all its time on processors."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ()
    waits_for_disk = (str(time.monotonic()),) if fields[0] == "D" else ()
    return (*fields[11:13], *waits_for_disk)


def _named(code: int) -> str:
    """Name how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


EARLY = 0
"""In place of the number of threads, as long as nobody has said it."""
_at_work: dict[tuple[int, int], Apart] = {}
_opening = threading.Lock()


def decoder_apart(threads: int) -> Apart:
    """Give the process that decodes with so many threads; all backends of a process share it."""
    key, early = (os.getpid(), threads), (os.getpid(), EARLY)  # a fork has its parent's connection: not to be used
    with _opening:
        if key not in _at_work:
            _at_work[key] = _at_work.pop(early) if early in _at_work else Apart()
            _at_work[key].threads = threads
        return _at_work[key]


def start_early() -> None:
    """Start the process while the other one loads what it needs itself: it is the first that is asked for."""
    key = os.getpid(), EARLY
    with _opening:
        if key not in _at_work:
            _at_work[key] = Apart()


@atexit.register
def _end_all() -> None:
    for (process, _), apart in _at_work.items():
        if process == os.getpid():
            apart.close()
