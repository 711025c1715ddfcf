"""Tar shards, read in place: a member is a path below its shard's own, ``shards/photos-000.tar/cat.jpg``.

Nothing is unpacked. A shard's headers are read once; after that a member costs a seek and a read, in any order. So
only plain tar files are read: a compressed one has no places to seek to.
"""

import io
import os
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ccd_fast.errors import UserError

ENDING = ".tar"
MAX_HEADER = 2**16
"""Most bytes of one header; the long names and comments that it may hold are read into memory whole."""
MAX_BEHIND = 2**20
"""Most bytes behind the end mark; programs fill their last record up with zeros, ten kilobytes as a rule."""
BLOCK = 512
"""Bytes of a block of a tar file."""

Stamp = tuple[int, int, int]


class Place(NamedTuple):
    """Where a member's bytes are.

    Attributes:
        shard: the tar file.
        offset: of the first byte in it.
        size: in bytes.
    """

    shard: Path
    offset: int
    size: int


class _Headers:
    """A tar file of which headers are read and nothing larger, whatever the headers themselves say of their size."""

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError("a header is larger than any real one")
        return self.file.read(size)


_known: dict[Path, tuple[Stamp, dict[str, Place]]] = {}
_lock = threading.Lock()


def is_shard(name: str) -> bool:
    """Tell whether a file is called as a shard is, in whatever case."""
    return name.lower().endswith(ENDING)


def members(shard: Path) -> Mapping[str, Place]:
    """List the files of a shard by name; its headers are read when it is new, or has changed.

    Raises:
        UserError: it cannot be read, is damaged or cut short, or holds what no shard holds: links, devices, sparse
            files, a name twice.
    """
    try:
        with io.FileIO(shard) as file:
            stamp = _stamp(file)
            with _lock:
                kept = _known.get(shard)
            if kept is not None and kept[0] == stamp:
                return kept[1]
            found = dict(_listed(shard, file, stamp[0]))
    except OSError as error:
        raise UserError(f"{shard}: cannot be read: {error.strerror or error}") from error
    with _lock:
        _known[shard] = (stamp, found)
    return found


def place(path: Path) -> Place | None:
    """Find the member that a path names; None if no file above it is a shard, or the shard has no such member.

    Raises:
        UserError: as :func:`members`.
    """
    for above in path.parents:
        if is_shard(above.name) and above.is_file():
            return members(above).get(path.relative_to(above).as_posix())
    return None


def size(path: Path) -> int | None:
    """Give the bytes of a file or of a member of a shard; None if there is neither.

    Raises:
        UserError: as :func:`members`.
    """
    if path.is_file():
        return path.stat().st_size
    found = place(path)
    return None if found is None else found.size


def read(places: Iterable[Place], most: int) -> Iterator[bytes]:
    """Read members, in order; neighbours of one shard without opening it again.

    Args:
        places: the members.
        most: bytes that one may have.

    Raises:
        UserError: one is larger, or a shard is gone.
    """
    file, opened = None, Path()
    try:
        for member in places:
            if member.size > most:
                raise UserError(f"{member.shard}: a member of {member.size} bytes, where {most} are the most")
            if file is None or opened != member.shard:
                if file is not None:
                    file.close()
                file, opened = member.shard.open("rb"), member.shard
            file.seek(member.offset)
            yield file.read(member.size)
    except OSError as error:
        raise UserError(f"{opened}: cannot be read: {error.strerror or error}") from error
    finally:
        if file is not None:
            file.close()


def _stamp(file: io.FileIO) -> Stamp:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ino


def _listed(shard: Path, file: io.FileIO, size: int) -> Iterator[tuple[str, Place]]:
    """Walk over the headers; each header's own claims are checked before anything relies on them."""
    seen: set[str] = set()
    try:
        with tarfile.open(fileobj=_Headers(file), mode="r:", encoding="utf-8", errors="strict") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                archive.members.clear()  # the archive would keep them all
                if member.size < 0:
                    raise UserError(f"{shard}: {member.name!r} claims {member.size} bytes")  # the walk would go back
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise UserError(f"{shard}: {member.name!r} is a link, a device or the like, not a plain file")
                if member.offset_data + member.size > size:
                    raise UserError(f"{shard}: ends in the middle of {member.name!r}: written or copied in part")
                name = member.name.removeprefix("./")
                if name in seen:
                    raise UserError(f"{shard}: {name!r} stands in it twice")
                seen.add(name)
                yield name, Place(shard, member.offset_data, member.size)
            end = archive.offset
    except UnicodeDecodeError as error:
        raise UserError(f"{shard}: a name is not UTF-8: {error.object[:80]!r}") from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{shard}: not a plain tar file, or damaged: {reason}") from error
    file.seek(end)
    if any(file.read(BLOCK)):  # tarfile takes rubbish, but in the first header, for the end
        raise UserError(f"{shard}: damaged: no header where one should be, at byte {end}")
    if size - end > MAX_BEHIND:
        raise UserError(f"{shard}: {size - end} bytes behind its end: shards that were joined are not read")
