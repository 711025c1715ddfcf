"""Views by NVIDIA DALI's dynamic API."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as dali
import torch
import torch.utils.dlpack
from numpy.typing import NDArray
from nvidia.dali import types

from ccd_fast.views.backend import Interpolation, Photographs, read_bytes

FILTERS = {"bilinear": types.DALIInterpType.INTERP_TRIANGULAR, "bicubic": types.DALIInterpType.INTERP_CUBIC}


class DaliViews:
    """The fast backend: host decoding, resizing and cropping on all threads."""

    name = "dali"

    def __init__(self, threads: int) -> None:
        """Open DALI's thread pool with ``threads`` threads."""
        dali.set_num_threads(threads)

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Decode files; see :class:`ViewBackend`."""
        unreadable: dict[int, str] = {}
        encoded: list[NDArray[np.uint8]] = []
        kept: list[int] = []
        for file, row in zip(files, rows.tolist(), strict=True):
            content = read_bytes(file)
            if isinstance(content, str):
                unreadable[row] = content
            else:
                encoded.append(content)
                kept.append(row)
        pictures = _decode_all(encoded)
        if pictures is None:  # one bad sample fails its whole batch: find it, keep the others
            singles = [_decode_all([content]) for content in encoded]
            unreadable |= {row: "cannot be decoded" for row, s in zip(kept, singles, strict=True) if s is None}
            good = [k for k, single in enumerate(singles) if single is not None]
            kept = [kept[k] for k in good]
            pictures = _decode_all([encoded[k] for k in good])
        shapes = pictures.shape if kept and pictures is not None else []
        sizes = np.array([shape[:2] for shape in shapes], dtype=np.int64).reshape(-1, 2)
        return Photographs(np.array(kept, dtype=np.int64), sizes, pictures, unreadable)

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize whole photographs; see :class:`ViewBackend`."""
        if not len(photographs):
            return torch.empty((0, size, size, 3), dtype=torch.uint8)
        return _resize(photographs.pixels, size, interpolation)

    def crop(
        self,
        photographs: Photographs,
        owner: NDArray[np.int64],
        boxes: NDArray[np.int64],
        size: int,
        interpolation: Interpolation,
    ) -> torch.Tensor:
        """Crop and resize; see :class:`ViewBackend`."""
        if not len(owner):
            return torch.empty((0, size, size, 3), dtype=torch.uint8)
        tensors = photographs.pixels.tensors  # references: a photograph is decoded once, whatever its crops
        sources = dali.as_batch([tensors[k] for k in owner.tolist()])
        corners = boxes.astype(np.int32)
        start = dali.as_batch(list(np.ascontiguousarray(corners[:, 1::-1])))
        end = dali.as_batch(list(np.ascontiguousarray(corners[:, :1:-1])))
        return _resize(dali.slice(sources, start=start, end=end, axes=[0, 1]), size, interpolation)

    def jitter(self, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
        """Jitter colours; see :class:`ViewBackend`."""
        brightness, contrast, saturation, hue = (dali.as_batch(list(column)) for column in factors.T)
        pictures = dali.as_batch(pixels.contiguous(), layout="HWC")
        twisted = dali.color_twist(pictures, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
        return _to_torch(twisted)


def _decode_all(encoded: list[NDArray[np.uint8]]) -> Any | None:
    """Decode a batch, or give None if any sample cannot be decoded."""
    if not encoded:
        return []
    try:
        return dali.decoders.image(dali.as_batch(encoded), device="cpu", output_type=types.RGB).evaluate()
    except RuntimeError:  # DALI has no narrower class for a sample it cannot decode
        return None


def _resize(pictures: Any, size: int, interpolation: Interpolation) -> torch.Tensor:
    resized = dali.resize(pictures, size=[size, size], interp_type=FILTERS[interpolation], antialias=True)
    return _to_torch(resized)


def _to_torch(pictures: Any) -> torch.Tensor:
    """Hand a batch of equal shapes to torch without a copy."""
    pixels: torch.Tensor = torch.utils.dlpack.from_dlpack(dali.as_tensor(pictures.evaluate()))
    return pixels
