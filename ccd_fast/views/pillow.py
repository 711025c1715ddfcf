"""Views by Pillow: slower than DALI, on every platform, and the reference that DALI is tested against.

DALI's backend, too, has its pictures decoded here where their format is not one that it decodes alike.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ccd_fast.machine.copies import send
from ccd_fast.views.backend import Indices, Interpolation, Photographs
from ccd_fast.views.decode_one import decode_one
from ccd_fast.views.files import Reader, read_bytes
from ccd_fast.views.header import DEFAULT_MAX_MEGAPIXELS, inspect
from ccd_fast.views.plain import plain_parts
from ccd_fast.views.training import color_twist_matrix

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

T = TypeVar("T")


class PillowViews:
    """The plain backend: photographs are decoded, cut and resized on the host, several at a time, each in one thread.

    Pillow lets other threads work meanwhile. Views are then moved to the device, behind what it has to do already.
    """

    name = "pillow"

    def __init__(
        self,
        device: str = "cpu",
        max_megapixels: float = DEFAULT_MAX_MEGAPIXELS,
        read: Reader = read_bytes,
        threads: int = 1,
    ) -> None:
        """Open the backend; see :func:`ccd_fast.views.open_backend`. One thread is the caller's own."""
        self.device = torch.device(device)
        self._max_megapixels = max_megapixels
        self._read = read
        self._each = map if threads == 1 else ThreadPoolExecutor(threads, thread_name_prefix="pillow").map

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Decode files; see :class:`ViewBackend`."""
        found = list(self._each(self._decoded, files))
        pictures = [picture for picture in found if not isinstance(picture, str)]
        given = zip(rows.tolist(), found, strict=True)
        unreadable = {row: reason for row, reason in given if isinstance(reason, str)}
        kept = [row for row in rows.tolist() if row not in unreadable]
        sizes = np.array([(p.height, p.width) for p in pictures], dtype=np.int64).reshape(-1, 2)
        return Photographs(np.array(kept, dtype=np.int64), sizes, pictures, unreadable)

    def _decoded(self, file: Path) -> Image.Image | str:
        """Read and decode one file, or say why it cannot be."""
        content = self._read(file)
        header = content if isinstance(content, str) else inspect(content, self._max_megapixels)
        if isinstance(content, str) or isinstance(header, str):
            return str(header)
        parts = plain_parts(content, header)
        plain = content if parts is None else np.frombuffer(b"".join(parts), dtype=np.uint8)
        return decode_one(plain, header, self._max_megapixels)

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize whole photographs; see :class:`ViewBackend`."""
        resize = FILTERS[interpolation]
        return self._squares(lambda picture: picture.resize((size, size), resize), photographs.pixels, size)

    def crop(
        self, photographs: Photographs, owner: Indices, boxes: Indices, size: int, interpolation: Interpolation
    ) -> torch.Tensor:
        """Crop and resize; see :class:`ViewBackend`."""

        def cut(asked: tuple[int, list[int]]) -> Image.Image:
            picture, (x0, y0, x1, y1) = photographs.pixels[asked[0]], asked[1]
            square: Image.Image = picture.crop((x0, y0, x1, y1)).resize((size, size), FILTERS[interpolation])
            return square

        return self._squares(cut, list(zip(owner.tolist(), boxes.tolist(), strict=True)), size)

    def jitter(self, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
        """Jitter colours; see :class:`ViewBackend`. Pillow has no hue, so this is the affine map itself."""
        matrix, offset = (torch.from_numpy(array).to(pixels.device) for array in color_twist_matrix(factors))
        rgb = torch.einsum("bij,bhwj->bhwi", matrix, pixels.float()) + offset.view(-1, 1, 1, 1)
        return rgb.round_().clamp_(0, 255).to(torch.uint8)

    def _squares(self, make: Callable[[T], Image.Image], sources: Sequence[T], size: int) -> torch.Tensor:
        """Make a square of each source, in order, and send them to the device: (M, size, size, 3) uint8.

        For a GPU they are made in pinned memory, which torch keeps for the next ones when the copy is done.
        """
        pinned = self.device.type == "cuda"
        squares = torch.empty((len(sources), size, size, 3), dtype=torch.uint8, pin_memory=pinned)
        filled = squares.numpy()

        def put(place: int) -> None:
            filled[place] = np.asarray(make(sources[place]))

        list(self._each(put, range(len(sources))))
        return send(squares, self.device)
