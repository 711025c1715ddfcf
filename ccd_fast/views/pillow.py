"""Views by Pillow: slower than DALI, on every platform, and the reference that DALI is tested against."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ccd_fast.views.backend import Interpolation, Photographs, read_bytes
from ccd_fast.views.training import color_twist_matrix

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class PillowViews:
    """The plain backend: one photograph after the other."""

    name = "pillow"

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Decode files; see :class:`ViewBackend`."""
        unreadable: dict[int, str] = {}
        pictures: list[Image.Image] = []
        kept: list[int] = []
        for file, row in zip(files, rows.tolist(), strict=True):
            content = read_bytes(file)
            picture = content if isinstance(content, str) else _decode(content)
            if isinstance(picture, str):
                unreadable[row] = picture
            else:
                pictures.append(picture)
                kept.append(row)
        sizes = np.array([(p.height, p.width) for p in pictures], dtype=np.int64).reshape(-1, 2)
        return Photographs(np.array(kept, dtype=np.int64), sizes, pictures, unreadable)

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize whole photographs; see :class:`ViewBackend`."""
        return _stack([p.resize((size, size), FILTERS[interpolation]) for p in photographs.pixels], size)

    def crop(
        self,
        photographs: Photographs,
        owner: NDArray[np.int64],
        boxes: NDArray[np.int64],
        size: int,
        interpolation: Interpolation,
    ) -> torch.Tensor:
        """Crop and resize; see :class:`ViewBackend`."""
        pairs = zip(owner.tolist(), boxes.tolist(), strict=True)
        crops = [photographs.pixels[k].crop(box).resize((size, size), FILTERS[interpolation]) for k, box in pairs]
        return _stack(crops, size)

    def jitter(self, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
        """Jitter colours; see :class:`ViewBackend`. Pillow has no hue, so this is the affine map itself."""
        matrix, offset = (torch.from_numpy(array) for array in color_twist_matrix(factors))
        rgb = torch.einsum("bij,bhwj->bhwi", matrix, pixels.float()) + offset.view(-1, 1, 1, 1)
        return rgb.round_().clamp_(0, 255).to(torch.uint8)


def _decode(content: NDArray[np.uint8]) -> Image.Image | str:
    """Decode one file, or say why it cannot be: Pillow raises many classes on rubbish."""
    try:
        picture = Image.open(io.BytesIO(content.tobytes()))
        return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "cannot be decoded"


def _stack(pictures: list[Image.Image], size: int) -> torch.Tensor:
    if not pictures:
        return torch.empty((0, size, size, 3), dtype=torch.uint8)
    return torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))
