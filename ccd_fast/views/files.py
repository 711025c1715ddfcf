"""Encoded photographs: read from disk, or kept in memory between epochs."""

import io
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccd_fast.errors import UserError
from ccd_fast.views import shards

Encoded = NDArray[np.uint8]
Reader = Callable[[Path], "Encoded | str"]
"""Gives the bytes of a file, (n,) uint8, or says in a few words why it cannot."""

MAX_ENCODED_BYTES = 2**30
"""A larger file is no photograph: 178 megapixels of 16-bit RGB, not compressed, are 1.07e9 bytes."""

_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)
"""Opening a pipe must not wait for somebody to write into it."""


def read_bytes(file: Path) -> Encoded | str:
    """Read a file whole, or a member of a tar shard; or say in a few words why it cannot be."""
    try:
        with io.FileIO(file, opener=_open) as handle:
            status = os.fstat(handle.fileno())
            if not stat.S_ISREG(status.st_mode):
                return "is not a file"
            if status.st_size > MAX_ENCODED_BYTES:
                return f"{status.st_size} bytes are more than a photograph has ({MAX_ENCODED_BYTES})"
            encoded = np.empty(status.st_size, dtype=np.uint8)
            filled = handle.readinto(encoded.data)
            while filled < len(encoded) and (more := handle.readinto(encoded[filled:].data)):
                filled += more
    except (FileNotFoundError, NotADirectoryError):
        return _member(file)
    except IsADirectoryError:
        return "is a folder"
    except PermissionError:
        return "is a folder" if file.is_dir() else "permission denied"
    except (OSError, ValueError) as error:  # a ValueError: a null in the name
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return encoded[:filled] if filled else "empty file"


def _member(path: Path) -> Encoded | str:
    try:
        found = shards.place(path)
        if found is None:
            return "no such file"
        if found.size > MAX_ENCODED_BYTES:
            return f"{found.size} bytes are more than a photograph has ({MAX_ENCODED_BYTES})"
        (content,) = shards.read([found], MAX_ENCODED_BYTES)
    except UserError as error:
        return str(error)
    return np.frombuffer(content, dtype=np.uint8).copy() if content else "empty file"


def _open(name: str, flags: int) -> int:
    return os.open(name, flags | _WITHOUT_WAITING)


class EncodedCache:
    """Keeps encoded files in memory, up to a budget, so that later epochs do not read them again.

    What came first stays: an epoch reads every file once, and to drop one for another would only move the misses.
    A file that changes on disk after it was kept is not seen again. Safe to use from several threads.

    Attributes:
        budget: most bytes that are kept.
        used: bytes that are kept.
        hits: reads that were answered from memory.
        misses: reads that went to the disk.
    """

    def __init__(self, budget: int, read: Reader = read_bytes) -> None:
        """Start empty.

        Args:
            budget: in bytes.
            read: reads what is not kept.
        """
        self.budget = budget
        self.used = self.hits = self.misses = 0
        self._read = read
        self._kept: dict[Path, Encoded] = {}
        self._lock = threading.Lock()

    def read(self, file: Path) -> Encoded | str:
        """Give the bytes of a file, or say why they cannot be had; a failure is never kept."""
        with self._lock:
            kept = self._kept.get(file)
            if kept is not None:
                self.hits += 1
                return kept
            self.misses += 1
        content = self._read(file)
        if not isinstance(content, str):
            with self._lock:
                if file not in self._kept and self.used + content.nbytes <= self.budget:
                    self._kept[file] = content
                    self.used += content.nbytes
        return content
