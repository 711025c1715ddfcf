"""One at a time: a folder under work is locked, by a lock that goes with its process, also on a network's disk."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from ccd_fast.errors import UserError

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder, which may not be there yet, while the block runs.

    The lock is on a hidden file beside it, ``.NAME.lock``, which says who holds it, and is removed at the end. The
    system gives the lock up when the process dies, however that is; the file may stay then, and holds nobody up.

    Args:
        folder: that is worked on.
        what: it is, for the message.

    Raises:
        UserError: another process holds it; the line names that one.
    """
    if sys.platform == "win32":
        yield
        return
    file = folder.absolute().with_name(f".{folder.absolute().name}.lock")
    made = [place for place in file.parents if not place.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = _held(file, what)
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()
        os.close(handle)
        for place in made:
            with suppress(OSError):  # something is in it now
                place.rmdir()


def _held(file: Path, what: str) -> int:
    """Open and lock the file; one that its holder has just removed is no lock of anybody's."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            who = os.read(handle, 500).decode(errors="replace").strip() or "another process"
            os.close(handle)
            if not isinstance(error, BlockingIOError | PermissionError):
                raise UserError(f"{what}: {file}: cannot be locked: {error.strerror}") from error
            raise UserError(f"{what}: {who} is at work on it: wait for its end, or take another") from None
        try:
            is_still_there = os.fstat(handle).st_ino == file.stat().st_ino
        except FileNotFoundError:
            is_still_there = False
        if is_still_there:
            break
        os.close(handle)
    os.ftruncate(handle, 0)
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}, since {now}".encode())
    return handle
