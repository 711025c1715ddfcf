"""What frozen networks gave for pixels that they have seen, kept over several trainings of one process.

A table over many trainings with a frozen backbone sees the same views again: each photograph plain and flipped, the
second views of an epoch in every row of a seed, crops whose box has not moved. Each is computed once. The pixels
themselves are the key, so that nothing has to know where a view comes from.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ccd_fast.engines import ImageEngine
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.student import Student

BATCH_SIZE = 4
"""Views in a call of the backbone: always as many, so that the features of a view do not depend on its neighbours; and
few, as of a batch of later epochs one or two views are new, and the call is filled up with nothing."""


def half_of_what_is_free() -> int:
    """Give half the bytes of main memory that can be had: what caches of files hold can be, where Linux tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")) // 2


class Memory:
    """Rows that were computed, by a digest of what they were computed from.

    Attributes:
        budget: most bytes that are kept; beyond them rows are computed again.
        used: bytes that are kept.
        asked: rows that were asked for.
        found: how many of them were there.
        refused: times that a row could not be kept, as the budget was used up.
        views: whole views, (S, S, 3) uint8, by backend, file, side and filter; see
            :class:`ccd_fast.training.kept_views.KeptViews`.
        facts: height and width of each photograph, by backend and file, or why it cannot be read.
    """

    def __init__(self, budget: int) -> None:
        """Start empty."""
        self.budget = budget
        self.used = self.asked = self.found = self.refused = 0
        self.views: dict[tuple[str, Path, int, str], torch.Tensor] = {}
        self.facts: dict[tuple[str, Path], list[int] | str] = {}
        self._rows: dict[bytes, torch.Tensor] = {}

    def attend(self, student: Student) -> None:
        """Remember the features of a student whose backbone is frozen; its weights are part of the key."""
        weights = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(student.backbone.state_dict().items()):
            weights.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        compute = student.backbone.forward_features

        def features(views: torch.Tensor) -> torch.Tensor:
            return self.rows(views, weights.digest(), lambda new: in_fixed_batches(new, BATCH_SIZE, compute))

        student.backbone.forward_features = features

    def engine(self, engine: ImageEngine) -> ImageEngine:
        """Give an engine that remembers its embeddings."""
        return RememberingEngine(engine, self)

    def rows(self, views: torch.Tensor, key: bytes, compute: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Give what ``compute`` gives for some rows, computing only those that are new.

        Args:
            views: (M, …).
            key: of the network.
            compute: maps (K, …) to (K, …).
        """
        digests = [_digest(view, key) for view in views.contiguous().cpu().numpy()]  # one copy a batch, on a GPU
        known = [self._rows.get(digest) for digest in digests]
        new = [place for place, row in enumerate(known) if row is None]
        self.asked += len(known)
        self.found += len(known) - len(new)
        if new:
            with torch.no_grad():
                computed = compute(views[new])
            for place, row in zip(new, computed, strict=True):
                known[place] = row
                self._keep(digests[place], row)
        return torch.stack([row for row in known if row is not None])

    def told(self) -> str:
        """Say how many rows had not to be computed, and whether there was room for all."""
        line = f"{self.found:,} of {self.asked:,} views had been seen before; {self.used / 2**30:.1f} GiB kept"
        full = f"; {self.refused:,} more did not fit into {self.budget / 2**30:.1f} GiB" if self.refused else ""
        return line + full

    def has_room_for(self, row: torch.Tensor) -> bool:
        """Tell whether a row may be kept, and count it as kept if so."""
        has_room = self.used + row.nbytes <= self.budget
        self.used += row.nbytes if has_room else 0
        self.refused += not has_room
        return has_room

    def _keep(self, digest: bytes, row: torch.Tensor) -> None:
        if digest not in self._rows and self.has_room_for(row):
            self._rows[digest] = row.clone()


class RememberingEngine:
    """An engine whose embeddings are remembered; see :class:`ccd_fast.engines.ImageEngine`."""

    def __init__(self, engine: ImageEngine, memory: Memory) -> None:
        """Put a memory before an engine."""
        self.runtime, self.key = engine.runtime, engine.key
        self.image_size, self.batch_size = engine.image_size, engine.batch_size
        self._engine, self._memory = engine, memory

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        if not len(pixels):
            return self._engine.embed(pixels)
        return self._memory.rows(pixels, self.key.encode(), self._engine.embed)


def _digest(view: NDArray[Any], key: bytes) -> bytes:
    return hashlib.blake2b(view.data, digest_size=16, key=key[:64]).digest()
