"""Photographs that lie decoded in a GPU's memory, and the way of arrays there; squares are cut by a kernel of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import kernels
from ccd_fast.machine.copies import send
from ccd_fast.views.backend import Indices, Interpolation


def uploaded(arrays: Sequence[Indices], device: torch.device) -> list[torch.Tensor]:
    """Bring int64 arrays to a device in a single copy; tensors, which are there already, stay as they are."""
    there = [array for array in arrays if isinstance(array, torch.Tensor)]
    if len(there) == len(arrays):
        return there
    flat = [np.asarray(array).reshape(-1) for array in arrays]
    parts = torch.split(send(torch.from_numpy(np.concatenate(flat)), device), [len(part) for part in flat])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]


@dataclass(frozen=True)
class DevicePictures:
    """Decoded photographs in a GPU's memory.

    Attributes:
        tensors: DALI's, (height, width, 3) uint8 each; they own the memory.
        places: (B, 3) int64 on the GPU: address, height and width of each; None where no kernel cuts them.
        sizes: (B, 2) int64, height and width in pixels.
    """

    tensors: list[Any]
    places: torch.Tensor | None
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, tensors: list[Any], device: torch.device | None) -> "DevicePictures":
        """Look up where DALI's tensors lie, for the kernel on a device; for none, only how large they are."""
        sizes = np.array([tensor.shape[:2] for tensor in tensors], dtype=np.int64).reshape(-1, 2)
        places = None
        if device is not None:
            addresses = [tensor.__cuda_array_interface__["data"][0] for tensor in tensors]
            (places,) = uploaded([np.column_stack([np.array(addresses, dtype=np.int64), sizes])], device)
        return cls(tensors, places, sizes)

    def whole(self, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Resize each to a square, (B, size, size, 3) uint8, by the kernel."""
        boxes = np.column_stack([np.zeros_like(self.sizes), self.sizes[:, ::-1]])
        return self.crops(np.arange(len(boxes)), boxes, size, interpolation)

    def crops(self, owner: Indices, boxes: Indices, size: int, interpolation: Interpolation) -> torch.Tensor:
        """Cut boxes, as :class:`ViewBackend` says, and resize them, (M, size, size, 3) uint8, by the kernel.

        There is no work of Python for a single crop: arrays of the host go over in one copy, those of the device stay.
        """
        if self.places is None:
            raise ValueError("these pictures were not made for the kernel")
        owners, corners = uploaded([owner, boxes], self.places.device)
        return kernels.crop_resize(self.places, owners, corners, size, interpolation, int(self.sizes.max()))
