"""The cache on disk: where it is, and what is done where it cannot be written to."""

import atexit
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

from ccd_fast.machine import say_on_stderr

_told: list[Path] = []


def default_folder() -> Path:
    """Give ``$CCD_CACHE``, or else ``ccd_fast`` in the user's cache folder."""
    if cache := os.environ.get("CCD_CACHE"):
        return Path(cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ccd_fast"


def writable(folder: Path) -> Path:
    """Give a folder to write to: one of the cache, or where that cannot be, one that goes with this process.

    A cache that cannot be written to is worked without, which is said once.

    Args:
        folder: of the cache; made where it is not there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        tell(folder, error)
        instead = _in_place_of(folder)
        instead.mkdir(exist_ok=True)
        return instead


def instead_of(folder: Path) -> Path | None:
    """Give what :func:`writable` gave in place of a folder of the cache, if it did."""
    if not _instead.cache_info().currsize:
        return None
    found = _in_place_of(folder)
    return found if found.is_dir() else None


def tell(folder: Path, error: OSError) -> None:
    """Say once in a process that the cache cannot be written to, and what to set."""
    if not _told:
        why = error.strerror or str(error)
        say_on_stderr(
            f"{folder}: the cache cannot be written to: {why}; nothing is kept for the next time: set CCD_CACHE to a "
            "folder of yours"
        )
        _told.append(folder)


@contextmanager
def held(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock of the cache while the block runs; who waits for another process says for which.

    The system gives the lock up when its process dies, however that is.

    Args:
        lock: a file, in a folder that can be written to.
        what: is made under it, for the message.
    """
    own, holder = FileLock(lock), lock.with_name(f"{lock.name}.who")
    try:
        own.acquire(timeout=0)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        say_on_stderr(f"{what}: {who} is making it: waiting for its end")
        own.acquire()
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        own.release()


def _in_place_of(folder: Path) -> Path:
    return _instead() / f"{folder.name}-{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:8]}"


@lru_cache
def _instead() -> Path:
    folder, own = Path(tempfile.mkdtemp(prefix="ccd-fast-")), os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == own else None)
    return folder
