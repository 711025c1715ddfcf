"""Views of pictures that lie decoded on the device: a pass without a decoder, where none can be brought.

It shows how student and teacher share a card, and nothing of decoding; its figures say so.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import roi_align

from ccd_fast.views import Interpolation, Photographs

HEIGHT, WIDTH = 480, 640
PICTURES = 64
"""Different ones; a row is shown one of them."""
BLOCKS = (6, 24, 96)
"""Sides of the blocks of random colour that a picture is made of: the student's maps must have somewhere to point."""


class DrawnViews:
    """Makes views of drawn pictures; see :class:`ccd_fast.views.ViewBackend`. Files are not read."""

    name = "drawn"

    def __init__(self, device: str) -> None:
        """Draw the pictures."""
        self.device = torch.device(device)
        generator = torch.Generator().manual_seed(0)
        planes = torch.zeros(PICTURES, 3, HEIGHT, WIDTH)
        for side in BLOCKS:
            blocks = torch.rand((PICTURES, 3, side, side), generator=generator)
            planes += torch.nn.functional.interpolate(blocks, (HEIGHT, WIDTH)) * (255 / len(BLOCKS))
        self._planes = planes.to(self.device, torch.float16 if self.device.type == "cuda" else torch.float32)

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:  # noqa: ARG002
        """Give the pictures of some rows."""
        sizes = np.tile(np.array([[HEIGHT, WIDTH]], dtype=np.int64), (len(rows), 1))
        return Photographs(rows, sizes, rows % PICTURES, {})

    def whole(self, photographs: Photographs, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize whole pictures."""
        boxes = np.tile(np.array([[0, 0, WIDTH, HEIGHT]], dtype=np.int64), (len(photographs), 1))
        return self.crop(photographs, np.arange(len(photographs)), boxes, size, interpolation)

    def crop(
        self,
        photographs: Photographs,
        owner: NDArray[np.int64] | torch.Tensor,
        boxes: NDArray[np.int64] | torch.Tensor,
        size: int,
        interpolation: Interpolation,  # noqa: ARG002 - the mean over each pixel's part of the box, whatever is asked
    ) -> torch.Tensor:
        """Cut boxes out and resize them."""
        pictures = torch.from_numpy(photographs.pixels).to(self.device)[torch.as_tensor(owner, device=self.device)]
        places = torch.cat([pictures[:, None], torch.as_tensor(boxes, device=self.device)], dim=1)
        where = places.to(self._planes.dtype)
        cut = roi_align(self._planes, where, size, aligned=True)
        return cut.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def jitter(self, pixels: torch.Tensor, factors: NDArray[np.float32]) -> torch.Tensor:
        """Refuse: a relabel pass jitters nothing."""
        raise NotImplementedError("drawn views are for relabel passes")
