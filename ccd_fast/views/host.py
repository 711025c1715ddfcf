"""Views on the host by DALI: it decodes in a process apart, Pillow what is not plain, and torch resizes.

DALI's own resizing is slower: see :mod:`ccd_fast.views.resize`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.views.apart import Encoded, decoder_apart
from ccd_fast.views.backend import Indices, Interpolation, Photographs
from ccd_fast.views.files import Reader, read_bytes
from ccd_fast.views.header import DEFAULT_MAX_MEGAPIXELS
from ccd_fast.views.resize import HostResize
from ccd_fast.views.sorting import sorted_out

if TYPE_CHECKING:
    from ccd_fast.views.dali import Contexts


class HostViews:
    """The fast backend of the host.

    JPEG, PNG and WebP in their plainest forms are DALI's; the other pictures (CMYK, 16 bits a channel, alpha, GIF,
    TIFF, HEIC …) are decoded by Pillow, and so is what DALI refuses, before it is set aside.
    """

    name = "dali"

    def __init__(self, threads: int, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS, read: Reader = read_bytes) -> None:
        """Open the backend with ``threads`` threads; see :func:`ccd_fast.views.open_backend`."""
        self.device = torch.device("cpu")
        self._threads = threads
        self._max_megapixels = max_megapixels
        self._read = read
        self._resize = HostResize(threads)
        self._apart = decoder_apart(threads)
        self._opened: Contexts | None = None

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Decode files; see :class:`ViewBackend`."""
        read, unreadable = sorted_out(files, rows, self._read, self._max_megapixels)
        asked = {
            row: Encoded([content.data], "pillow", header) if parts is None else Encoded(parts, "dali", header)
            for row, (content, header, parts) in read.items()
        }
        found = dict(zip(asked, self._apart.decode(list(asked.values()), self._max_megapixels), strict=True))
        refused = [row for row, picture in found.items() if picture is None]
        again = self._apart.decode([asked[row]._replace(by="pillow") for row in refused], self._max_megapixels)
        found |= zip(refused, again, strict=True)
        pictures: list[NDArray[np.uint8]] = []
        kept: list[int] = []
        for row, picture in found.items():
            if isinstance(picture, np.ndarray):
                kept.append(row)
                pictures.append(picture)
            else:
                unreadable[row] = str(picture)
        sizes = np.array([picture.shape[:2] for picture in pictures], dtype=np.int64).reshape(-1, 2)
        return Photographs(np.array(kept, dtype=np.int64), sizes, pictures, unreadable)

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize whole photographs; see :class:`ViewBackend`."""
        return self._resize(photographs.pixels, size, interpolation)

    def crop(
        self, photographs: Photographs, owner: Indices, boxes: Indices, size: int, interpolation: Interpolation
    ) -> torch.Tensor:
        """Crop and resize; see :class:`ViewBackend`."""
        asked = zip(owner.tolist(), boxes.tolist(), strict=True)
        cuts = [photographs.pixels[k][y0:y1, x0:x1] for k, (x0, y0, x1, y1) in asked]
        return self._resize(cuts, size, interpolation)

    def jitter(self, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
        """Jitter colours; see :class:`ViewBackend`."""
        from ccd_fast.views.dali import jittered

        return jittered(self._contexts(), pixels, factors)

    def on_torch_stream(self) -> AbstractContextManager[None]:
        """Let DALI work in the calling thread, for whoever calls it beside this backend."""
        return self._contexts().entered()

    def _contexts(self) -> "Contexts":
        """Give DALI's contexts in this process, for pixels that are decoded already; it is not loaded before."""
        from ccd_fast.views.dali import Contexts

        if self._opened is None:
            self._opened = Contexts(self._threads, self.device)
        return self._opened
