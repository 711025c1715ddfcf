"""A folder on a disk or in an object store, by its address: what is written into it is there whole, or not at all."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ccd_fast.errors import RunError, UserError
from ccd_fast.runs.writing import alone, sweep

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?=/?)")
_SHORTENED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")


def address(path: Path | str) -> str:
    """Give what the user named; an address of which ``Path`` has made ``s3:/bucket`` gets its slash back."""
    return _SHORTENED.sub(r"\1://", str(path), count=1) if _REMOTE.match(str(path)) else str(path)


@dataclass(frozen=True)
class Place:
    """A folder, with forward slashes in the names below it. It can be sent to another machine.

    Attributes:
        at: path on a disk that all machines see, or an address that fsspec knows: ``s3://bucket/labels``.
    """

    at: str

    @property
    def folder(self) -> Path | None:
        """Give the folder where it is on a disk; None elsewhere."""
        found = self.at.removeprefix("file://")
        return None if _REMOTE.match(found) else Path(found)

    def exists(self, name: str) -> bool:
        """Tell whether there is a file or folder of a name."""
        system, path = self._found(name)
        return bool(system.exists(path))

    def names(self, below: str = "") -> list[str]:
        """List the files below a folder, sorted, relative to it; none where it is not there. Hidden ones do not count.

        Raises:
            RunError: the store does not answer.
        """
        system, path = self._found(below)
        try:
            found = [str(file)[len(path.rstrip("/")) + 1 :] for file in system.find(path)]
        except OSError as error:
            raise RunError(f"{self.at}: cannot be listed: {_reason(error)}") from error
        return sorted(name for name in found if name and not any(part.startswith(".") for part in name.split("/")))

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file for reading.

        Raises:
            FileNotFoundError: it is not there.
            RunError: it cannot be read.
        """
        system, path = self._found(name)
        try:
            with system.open(path, "rb") as file:
                yield file
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RunError(f"{self.at}/{name}: cannot be read: {_reason(error)}") from error

    def read(self, name: str) -> bytes:
        """Read a file; see :meth:`opened`."""
        with self.opened(name) as file:
            return file.read()

    def fetch(self, name: str, to: Path) -> None:
        """Copy a file to this machine's disk.

        Raises:
            FileNotFoundError: it is not there.
            RunError: it cannot be read, or the disk is full.
        """
        system, path = self._found(name)
        try:
            system.get_file(path, str(to))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise RunError(f"{self.at}/{name}: cannot be fetched to {to.parent}: {_reason(error)}") from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all: to a name of its own, then renamed. Two writers do not meet.

        Raises:
            RunError: it cannot be written; what was there before is kept.
        """
        system, path = self._found(name)
        above, _, last = path.rpartition("/")
        temporary = f"{above}/.{last}.{secrets.token_hex(4)}.tmp"
        try:
            system.makedirs(above, exist_ok=True)
            if self.folder is None:
                system.pipe_file(temporary, content)
                system.mv(temporary, path)
            else:
                with alone(Path(temporary)) as handle:
                    handle.write(content)
                    handle.flush()
                    os.fsync(handle.fileno())
                    Path(temporary).replace(path)
        except OSError as error:
            with suppress(OSError):
                system.rm_file(temporary)
            raise RunError(f"{self.at}/{name}: cannot be written: {_reason(error)}") from error

    def sweep(self) -> None:
        """Remove what killed writers have left half written, where it is on a disk."""
        if self.folder is not None:
            sweep(self.folder)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder and all that is in it; nothing where there is none.

        Raises:
            RunError: it cannot be removed.
        """
        system, path = self._found(name)
        try:
            if system.exists(path):
                system.rm(path, recursive=True)
        except OSError as error:
            raise RunError(f"{self.at}/{name}: cannot be removed: {_reason(error)}") from error

    def _found(self, name: str) -> tuple[Any, str]:
        import fsspec

        try:
            system, root = fsspec.core.url_to_fs(self.at if self.folder is None else str(self.folder.absolute()))
        except ImportError as error:
            raise UserError(f"{self.at}: {error}") from error
        except ValueError as error:
            raise UserError(f"{self.at}: not an address that fsspec knows: {error}") from error
        return system, f"{root.rstrip('/')}/{name}" if name else root


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
