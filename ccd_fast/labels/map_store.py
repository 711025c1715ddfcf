"""The maps of all photographs of a data set, in a file that is mapped into memory and outlives the run.

The system keeps the file's pages in main memory as long as there is room, and processes of one machine share them. A
row is whole where its sum agrees; any other is computed again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.errors import UserError
from ccd_fast.views import read_bytes

GIB = 2**30
HEAD = 8
"""Bytes of a row before its map: height and width of the photograph, int32."""
MAPS, SUMS, FACTS = "maps.bin", "sums.bin", "maps.json"


def rows_within(images: int, numbers: int, gib: float) -> int:
    """Count the photographs, of so many, whose maps fit into a budget."""
    return min(images, int(gib * GIB) // (8 * _words(numbers)))


def beyond_budget(images: int, numbers: int, gib: float) -> str:
    """Say what is done about maps that do not fit into the budget; nothing where all do."""
    left_out = images - rows_within(images, numbers, gib)
    if not left_out:
        return ""
    size = images * 8 * _words(numbers) / GIB
    return (
        f"warning: the teacher's maps take {images} photographs x {numbers} numbers x 2 bytes = {size:.2g} GiB, more "
        f"than relabel.maps_gib = {gib:g}: those of {left_out} photographs are computed again at every update; raise "
        "it, lower relabel.maps_size, or use relabel.teacher = 'crops'"
    )


def _words(numbers: int) -> int:
    return -(-(HEAD + 2 * numbers) // 8)


class MapStore:
    """Maps by image row, float16, with the size of the photograph.

    Where the budget is too small for all, those that are kept are spread evenly over the photographs, so that each of
    several processes has its part of the work that is left; the others are never there.

    Attributes:
        folder: of this data set, engine and number of kept maps.
    """

    def __init__(self, cache: Path, identity: Mapping[str, Any], images: int, numbers: int, gib: float) -> None:
        """Open the store of a data set, or make room for it.

        Args:
            cache: folder of all stores; the oldest others are removed where the budget would be passed.
            identity: everything that the maps depend on: of the engine, and :func:`digest_of` the photographs.
            images: N.
            numbers: in a map.
            gib: most GiB of all stores.

        Raises:
            UserError: the disk has not the space that the budget allows.
        """
        kept, words = rows_within(images, numbers, gib), _words(numbers)
        self.numbers, self._images, self._kept = numbers, images, kept
        identity = {**identity, "kept": kept}
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]
        self.folder = cache / key
        drawn = np.random.default_rng(0).integers(0, 2**63, words, dtype=np.uint64)
        self._weights = drawn * np.uint64(2) + np.uint64(1)
        if not kept:
            self._rows: NDArray[np.uint64] = np.empty((0, words), np.uint64)
            self._sums: NDArray[np.uint64] = np.empty(0, np.uint64)
            return
        size = kept * words * 8
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / ".lock"):
            if not (self.folder / FACTS).is_file():
                _make_room(cache, self.folder, gib * GIB - size)
                self._create(size, kept, identity)
            (self.folder / FACTS).touch()
        self._rows = _mapped(self.folder / MAPS, (kept, words))
        self._sums = _mapped(self.folder / SUMS, (kept,))

    def _create(self, size: int, kept: int, identity: Mapping[str, Any]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # what a kill may have left: a folder without its facts
        self.folder.mkdir()
        try:
            for name, length in ((MAPS, size), (SUMS, kept * 8)):
                with (self.folder / name).open("wb") as file:
                    _reserve(file.fileno(), length)
                    file.truncate(length)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise UserError(
                f"the teacher's maps: {size / GIB:.2g} GiB cannot be had in {self.folder.parent}: {error.strerror}: "
                "free some, set CCD_CACHE to another disk, or lower relabel.maps_gib"
            ) from error
        (self.folder / FACTS).write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")

    def _places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Give the places of rows in the file, and which of them have one."""
        places = rows * self._kept // max(self._images, 1)
        return places, (rows + 1) * self._kept // max(self._images, 1) > places

    def _sum(self, rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Sum a row's words with odd weights, modulo 2^64, so that no word changes unseen; never 0, which is absent."""
        return np.asarray((rows * self._weights).sum(axis=1, dtype=np.uint64) | np.uint64(1))

    def read(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float16]]:
        """Read some rows.

        Args:
            rows: (B,) int64.

        Returns:
            Which of them are there, whole, (B,) bool; of those, (K, 2) int64 sizes and (K, numbers) float16 maps.
        """
        places, whole = self._places(rows)
        words = np.asarray(self._rows[places[whole]])
        sound = self._sums[places[whole]] == self._sum(words)
        whole[whole] = sound
        found = words[sound].view(np.uint8).reshape(int(sound.sum()), words.shape[1] * 8)
        sizes = np.ascontiguousarray(found[:, :HEAD]).view(np.int32).astype(np.int64)
        maps = np.ascontiguousarray(found[:, HEAD : HEAD + 2 * self.numbers]).view(np.float16)
        return whole, sizes, maps

    def write(self, rows: NDArray[np.int64], sizes: NDArray[np.int64], maps: NDArray[np.float16]) -> None:
        """Keep rows, (B,), with their sizes, (B, 2), and maps, (B, numbers), as far as the budget goes."""
        places, within = self._places(rows)
        rows, sizes, maps = places[within], sizes[within], maps[within]
        if not len(rows):
            return
        content = np.zeros((len(rows), self._rows.shape[1] * 8), dtype=np.uint8)
        content[:, :HEAD] = sizes.astype(np.int32).view(np.uint8).reshape(len(rows), HEAD)
        content[:, HEAD : HEAD + 2 * self.numbers] = np.ascontiguousarray(maps).view(np.uint8).reshape(len(rows), -1)
        words = content.view(np.uint64)
        self._rows[rows] = words
        self._sums[rows] = self._sum(words)

    def flush(self) -> None:
        """Bring what was written to the disk."""
        for mapped in (self._rows, self._sums):
            if isinstance(mapped, np.memmap):
                mapped.flush()

    @property
    def bytes(self) -> int:
        """Give the bytes on disk."""
        return int(self._rows.nbytes + self._sums.nbytes)


def digest_of(images: ImageSet) -> str:
    """Hash the content of all photographs, in their order; one that cannot be read counts as nothing."""
    digest = hashlib.blake2b(digest_size=16)
    for file in images.files_of_all():
        digest.update(hashlib.blake2b(_content(file), digest_size=16).digest())
    return digest.hexdigest()


def _content(file: Path) -> bytes:
    content = read_bytes(file)
    return b"" if isinstance(content, str) else content.tobytes()


def _reserve(file: int, length: int) -> None:
    """Take the space now: a mapped file that finds none later ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, length)


def _mapped(file: Path, shape: Sequence[int]) -> NDArray[np.uint64]:
    return np.memmap(file, dtype=np.uint64, mode="r+", shape=tuple(shape))


def _make_room(cache: Path, own: Path, left: float) -> None:
    """Remove the stores that were opened longest ago until the others take no more than ``left`` bytes."""
    others = [facts for facts in cache.glob(f"*/{FACTS}") if facts.parent != own]
    for facts in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        left -= sum(file.stat().st_size for file in facts.parent.iterdir())
        if left < 0:
            shutil.rmtree(facts.parent, ignore_errors=True)
