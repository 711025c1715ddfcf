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
from ccd_fast.errors import RunError, UserError
from ccd_fast.views import read_bytes

GIB = 2**30
HEAD = 8
"""Bytes of a row before its map: height and width of the photograph, int32."""
MAPS, SUMS, FACTS = "maps.bin", "sums.bin", "maps.json"


class MapStore:
    """Maps by image row, float16, with the size of the photograph.

    Attributes:
        folder: of this data set and engine.
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
            UserError: the maps do not fit into the budget.
            RunError: they do not fit onto the disk.
        """
        words = -(-(HEAD + 2 * numbers) // 8)
        size = images * words * 8
        if size > gib * GIB:
            raise UserError(
                f"the teacher's maps take {images} photographs x {numbers} numbers x 2 bytes = {size / GIB:.2g} GiB, "
                f"more than relabel.maps_gib = {gib:g}: raise it, lower relabel.maps_size, "
                "or use relabel.teacher = 'crops'"
            )
        self.numbers = numbers
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]
        self.folder = cache / key
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / ".lock"):
            if not (self.folder / FACTS).is_file():
                _make_room(cache, self.folder, gib * GIB - size)
                self._create(size, images, identity)
            (self.folder / FACTS).touch()
        self._rows = _mapped(self.folder / MAPS, (images, words))
        self._sums = _mapped(self.folder / SUMS, (images,))
        drawn = np.random.default_rng(0).integers(0, 2**63, words, dtype=np.uint64)
        self._weights = drawn * np.uint64(2) + np.uint64(1)

    def _create(self, size: int, images: int, identity: Mapping[str, Any]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # what a kill may have left: a folder without its facts
        self.folder.mkdir()
        try:
            _reserve(self.folder / MAPS, size)
            _reserve(self.folder / SUMS, images * 8)
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            free = shutil.disk_usage(self.folder.parent).free
            raise RunError(
                f"{self.folder}: cannot be made: {error.strerror or error}: the maps need {size / GIB:.2g} GiB, and "
                f"{free / GIB:.2g} are free; make room, set CCD_CACHE to a folder where there is some, or use "
                "relabel.teacher = 'crops'"
            ) from error
        (self.folder / FACTS).write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")

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
        words = np.asarray(self._rows[rows])
        whole = self._sums[rows] == self._sum(words)
        found = words[whole].view(np.uint8).reshape(int(whole.sum()), words.shape[1] * 8)
        sizes = np.ascontiguousarray(found[:, :HEAD]).view(np.int32).astype(np.int64)
        maps = np.ascontiguousarray(found[:, HEAD : HEAD + 2 * self.numbers]).view(np.float16)
        return whole, sizes, maps

    def write(self, rows: NDArray[np.int64], sizes: NDArray[np.int64], maps: NDArray[np.float16]) -> None:
        """Keep rows, (B,), with their sizes, (B, 2), and maps, (B, numbers)."""
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
        self._rows.flush()
        self._sums.flush()


def digest_of(images: ImageSet) -> str:
    """Hash the content of all photographs, in their order; one that cannot be read counts as nothing."""
    digest = hashlib.blake2b(digest_size=16)
    for file in images.files_of_all():
        digest.update(hashlib.blake2b(_content(file), digest_size=16).digest())
    return digest.hexdigest()


def _content(file: Path) -> bytes:
    content = read_bytes(file)
    return b"" if isinstance(content, str) else content.tobytes()


def _reserve(file: Path, length: int) -> None:
    """Make a file of zeros whose room on the disk is its own: what is mapped into memory cannot say that it is full."""
    with file.open("wb") as handle:
        handle.truncate(length)
        if length and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), 0, length)


def _mapped(file: Path, shape: Sequence[int]) -> "np.memmap[Any, np.dtype[np.uint64]]":
    return np.memmap(file, dtype=np.uint64, mode="r+", shape=tuple(shape))


def _make_room(cache: Path, own: Path, left: float) -> None:
    """Remove the stores that were opened longest ago until the others take no more than ``left`` bytes."""
    others = [facts for facts in cache.glob(f"*/{FACTS}") if facts.parent != own]
    for facts in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        left -= sum(file.stat().st_size for file in facts.parent.iterdir())
        if left < 0:
            shutil.rmtree(facts.parent, ignore_errors=True)
