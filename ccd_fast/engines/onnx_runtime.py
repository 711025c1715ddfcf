"""The ONNX Runtime engine."""

import importlib.util
from pathlib import Path

import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.store import Store
from ccd_fast.engines.tower import ImageTower


def installed() -> bool:
    """Tell whether ONNX Runtime can be imported."""
    return importlib.util.find_spec("onnxruntime") is not None


def open_engine(tower: ImageTower, batch_size: int, threads: int, store: Store) -> "OnnxRuntimeEngine":
    """Open the tower's ONNX file, exporting it first if the store lacks it."""
    file = onnx_export.build(tower, store)
    return OnnxRuntimeEngine(file, tower.image_size, batch_size, threads)


class OnnxRuntimeEngine:
    """Runs an exported tower on the CPU; see :class:`ccd_fast.engines.ImageEngine`."""

    runtime = "onnxruntime"

    def __init__(self, file: Path, image_size: int, batch_size: int, threads: int) -> None:
        """Load the file."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.key = file.parent.name
        self.image_size = image_size
        self.batch_size = batch_size

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        return in_fixed_batches(pixels, self.batch_size, self._run)

    def _run(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(["embeddings"], {"pixels": pixels.numpy()})[0])
