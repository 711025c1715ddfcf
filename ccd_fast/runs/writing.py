"""Files that commands write: whole or not there, and nothing that somebody else wrote is lost."""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ccd_fast.errors import RunError, UserError

if sys.platform != "win32":
    import fcntl


def refuse_existing(option: str, files: Iterable[Path], overwrite: bool) -> None:
    """Refuse to write over files, those beside the one that was asked for included.

    Args:
        option: that names the first file, for the message.
        files: that will be written.
        overwrite: whether they may be replaced.

    Raises:
        UserError: one is there, is a folder, or its folder is not there or cannot be written to.
    """
    for file in files:
        if file.is_dir():
            raise UserError(f"{option} {file}: a folder, where a file is to be written")
        if file.exists() and not overwrite:
            raise UserError(f"{option} {file}: already exists; replace it with --overwrite")
        if not file.parent.is_dir():
            raise UserError(f"{option} {file}: no such folder {file.parent}")
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise UserError(f"{option} {file}: {file.parent} cannot be written to: permission denied")


def refuse_foreign_folder(option: str, folder: Path, overwrite: bool) -> None:
    """Refuse to write into a folder in which something is already, as files of the same names would be lost.

    Raises:
        UserError: something is in it, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{option} {folder}: a file, where a folder is to be made")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(f"{option} {folder}: already holds something; name another folder, or say --overwrite")


def write_whole(file: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a temporary name, to the disk, and then to its own.

    Two that write the same file do so one after the other.

    Raises:
        RunError: the disk is full, or the place cannot be written to; what was there before is kept.
    """
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with alone(temporary) as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
            if sys.platform == "win32":
                handle.close()  # which renames no open file
            temporary.replace(file)
    except OSError as error:
        need = f" ({len(content) / 2**20:.3g} MiB are needed)" if error.errno == errno.ENOSPC else ""
        reason = f"{error.strerror or error}{need}"
        raise RunError(f"{file}: cannot be written: {reason}; what was there before is kept") from error


@contextmanager
def alone(file: Path) -> Iterator[IO[bytes]]:
    """Open an empty file for writing, once nobody else writes to it under this name; removed where that fails.

    A lock on it says that its process lives; :func:`sweep` removes those that nobody holds.
    """
    while True:
        with file.open("ab") as handle:
            if sys.platform != "win32":
                with suppress(OSError):  # a disk without locks
                    fcntl.flock(handle, fcntl.LOCK_EX)
                if not file.exists() or not os.path.samestat(os.fstat(handle.fileno()), file.stat()):
                    continue  # the one before has given it its own name
            handle.truncate(0)
            try:
                yield handle
            except OSError:
                with suppress(OSError):
                    file.unlink(missing_ok=True)
                raise
            return


def sweep(folder: Path) -> None:
    """Remove what killed processes have left half written below a folder; where files cannot be locked, nothing."""
    for file in folder.rglob(".*.tmp") if sys.platform != "win32" else ():
        with suppress(OSError), file.open("r+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()
