"""Photographs that were decoded before are not decoded again: what a table over many trainings of one process reads.

With a frozen backbone little is left of an epoch but the reading of its photographs; each training of the table reads
the same ones, whole, for the student and for the teacher. Crops are cut from the photograph itself, which is decoded
for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.errors import RunError
from ccd_fast.training.memory import Memory
from ccd_fast.views import Interpolation, Photographs, ViewBackend
from ccd_fast.views.backend import Indices


@dataclass
class _Batch:
    """The pixels of a batch: decoded, or to be decoded where somebody asks for them."""

    files: Sequence[Path]
    decoded: Photographs | None = None


class KeptViews:
    """A backend on the host that makes each whole view once; see :class:`ccd_fast.views.ViewBackend`.

    A photograph that changes on disk while the table is made is not seen again.
    """

    def __init__(self, backend: ViewBackend, memory: Memory, key: str) -> None:
        """Put a memory before a backend; ``key`` tells backends apart that do not make the same views."""
        self.name, self.device = backend.name, backend.device
        self._backend, self._memory, self._key = backend, memory, f"{backend.name} {key}"

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Give the photographs, without decoding them where all have been seen before."""
        facts = [self._memory.facts.get((self._key, file)) for file in files]
        whole = [place for place, fact in enumerate(facts) if isinstance(fact, list)]
        if not whole or any(fact is None for fact in facts):
            decoded = self._backend.decode(files, rows)
            of_row = dict(zip(rows.tolist(), files, strict=True))
            found = zip(decoded.rows.tolist(), decoded.sizes.tolist(), strict=True)
            for row, fact in [*found, *decoded.unreadable.items()]:
                self._memory.facts[self._key, of_row[row]] = fact
            readable = _Batch([of_row[row] for row in decoded.rows.tolist()], decoded)
            return Photographs(decoded.rows, decoded.sizes, readable, decoded.unreadable)
        sizes = np.array([facts[place] for place in whole], dtype=np.int64).reshape(-1, 2)
        unreadable = {int(row): fact for row, fact in zip(rows, facts, strict=True) if isinstance(fact, str)}
        return Photographs(rows[whole], sizes, _Batch([files[place] for place in whole]), unreadable)

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Give the whole views, made now or kept."""
        keys = [(self._key, file, size, interpolation) for file in photographs.pixels.files]
        kept = [self._memory.views.get(key) for key in keys]
        found = [view for view in kept if view is not None]
        if len(found) == len(keys) and found:
            return torch.stack(found)
        views = self._backend.whole(self._decoded(photographs), size, interpolation)
        for key, view, before in zip(keys, views, kept, strict=True):
            if before is None and self._memory.has_room_for(view):
                self._memory.views[key] = view.clone()
        return views

    def crop(
        self, photographs: Photographs, owner: Indices, boxes: Indices, size: int, interpolation: Interpolation
    ) -> torch.Tensor:
        """Cut boxes out of the photographs themselves."""
        return self._backend.crop(self._decoded(photographs), owner, boxes, size, interpolation)

    def jitter(self, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
        """Change the colours."""
        return self._backend.jitter(pixels, factors)

    def _decoded(self, photographs: Photographs) -> Photographs:
        """Decode the photographs of a batch, unless they are."""
        batch: _Batch = photographs.pixels
        if batch.decoded is None:
            batch.decoded = self._backend.decode(batch.files, photographs.rows)
            for row, why in batch.decoded.unreadable.items():
                file = batch.files[photographs.rows.tolist().index(row)]
                raise RunError(f"{file}: could be read before, and cannot be now: {why}; put it back and go on")
        return batch.decoded
