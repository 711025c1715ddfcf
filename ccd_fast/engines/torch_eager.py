"""Eager PyTorch: the reference that the other runtimes are checked against."""

import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.store import Store
from ccd_fast.engines.tower import EmbedPixels, ImageTower


def open_engine(tower: ImageTower, batch_size: int, threads: int, store: Store) -> "TorchEngine":
    """Wrap the tower; nothing is built, and torch's own number of threads counts."""
    return TorchEngine(tower, batch_size)


class TorchEngine:
    """Runs the tower as it is; see :class:`ccd_fast.engines.ImageEngine`."""

    runtime = "torch"

    def __init__(self, tower: ImageTower, batch_size: int) -> None:
        """Wrap the tower."""
        self.module = EmbedPixels(tower).eval()
        self.key = onnx_export.key(tower)
        self.image_size = tower.image_size
        self.batch_size = batch_size

    @torch.inference_mode()
    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        return in_fixed_batches(pixels, self.batch_size, self.module).clone()
