"""Folders in the making: gone when their work is done, and where it was killed, when the next one is made."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextmanager
def folder_in_the_making(place: Path, prefix: str) -> Iterator[Path]:
    """Give an empty folder while the block runs; those of killed processes, under the same prefix, are removed.

    The folder is locked, and the lock goes with its process: one that is not locked is nobody's. Where folders cannot
    be locked, those of others are left alone.

    Args:
        place: folder in which it is made.
        prefix: of its name, the same for all that do this work in this place.

    Raises:
        OSError: it cannot be made.
    """
    ours = re.compile(re.escape(prefix) + "[a-z0-9_]{8}")  # as mkdtemp names them, and nobody else
    for left in [each for each in place.iterdir() if ours.fullmatch(each.name)]:
        with suppress(OSError), _locked(left, wait=False) as is_nobodys:
            if is_nobodys:
                shutil.rmtree(left, ignore_errors=True)
    while True:
        folder = Path(tempfile.mkdtemp(dir=place, prefix=prefix))
        with _locked(folder, wait=True):
            if not folder.is_dir():
                continue  # another process has taken it for one that was left
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextmanager
def _locked(folder: Path, wait: bool) -> Iterator[bool]:
    """Hold a folder's lock while the block runs; says whether it does."""
    try:
        handle = os.open(folder, os.O_RDONLY) if sys.platform != "win32" else -1
    except FileNotFoundError:
        handle = -1
    if handle < 0:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
