"""What a backend of views takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Interpolation = Literal["bilinear", "bicubic"]

Indices = NDArray[np.int64] | torch.Tensor
"""An int64 array of the host, or tensor of the backend's device."""


@dataclass(frozen=True)
class Photographs:
    """A batch of decoded photographs, upright, RGB.

    Attributes:
        rows: (B,) int64, the rows of the ImageSet that could be read.
        sizes: (B, 2) int64, height and width in pixels.
        pixels: the pictures, in a form of the backend's own.
        unreadable: the rows that could not be read, with the reason.
    """

    rows: NDArray[np.int64]
    sizes: NDArray[np.int64]
    pixels: Any
    unreadable: dict[int, str]

    def __len__(self) -> int:
        """Give B, the number of pictures that could be read."""
        return len(self.rows)


class ViewBackend(Protocol):
    """Decodes photographs and makes square views of them.

    Attributes:
        name: of the backend and, on a GPU, of what the pixels depend on besides; it stands in a run's record.
        device: where views are made.
    """

    name: str
    device: torch.device

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Decode files: upright as EXIF says, on white where they are transparent.

        A file that cannot be read is reported, never raised.
        """
        ...

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize each photograph to the square, antialiased: (B, size, size, 3) uint8."""
        ...

    def crop(
        self,
        photographs: Photographs,
        owner: Indices,
        boxes: Indices,
        size: int,
        interpolation: Interpolation,
    ) -> torch.Tensor:
        """Cut boxes out of the original pixels and resize them to the square, antialiased.

        Args:
            photographs: B decoded photographs.
            owner: (M,) int64, position in the batch of each box's photograph.
            boxes: (M, 4) int64, x0, y0, x1, y1 in the photograph's pixels, half-open.
            size: side of the square in pixels.
            interpolation: the filter.

        Returns:
            (M, size, size, 3) uint8.
        """
        ...

    def jitter(self, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
        """Change brightness, contrast, saturation and hue.

        Args:
            pixels: (B, S, S, 3) uint8.
            factors: (B, 4) float32, as :func:`ccd_fast.views.jitter_factors` gives them.

        Returns:
            (B, S, S, 3) uint8.
        """
        ...
