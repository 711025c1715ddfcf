"""PyTorch: eager, the reference that the other runtimes are checked against, and compiled."""

import shutil

import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.store import Store
from ccd_fast.engines.tower import EmbedPixels, EngineSettings, ImageTower
from ccd_fast.within_memory import WithinMemory


def problem(device: str, precision: str) -> str:
    """Say why this runtime cannot run here, or nothing."""
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        return "torch sees no NVIDIA GPU"
    return "" if precision in ("fp32", "fp16", "bf16") else f"it has no {precision}"


def compiled_problem(device: str, precision: str) -> str:
    """Say why the compiled form cannot run here, or nothing."""
    return compiler_problem(torch.device(device).type) or problem(device, precision)


def compiler_problem(device_type: str) -> str:
    """Say why ``torch.compile`` cannot run here, or nothing."""
    if device_type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "torch.compile needs a C++ compiler on a CPU"
    return ""


def open_eager(tower: ImageTower, settings: EngineSettings, store: Store) -> "TorchEngine":
    """Wrap the tower; nothing is built, and torch's own number of threads counts."""
    return TorchEngine(tower, settings, compiled=False)


def open_compiled(tower: ImageTower, settings: EngineSettings, store: Store) -> "TorchEngine":
    """Compile the tower with ``torch.compile``, at its first batch; torch keeps its own cache."""
    return TorchEngine(tower, settings, compiled=True)


class TorchEngine:
    """Runs the tower with PyTorch; see :class:`ccd_fast.engines.ImageEngine`."""

    def __init__(self, tower: ImageTower, settings: EngineSettings, compiled: bool) -> None:
        """Wrap the tower."""
        self.runtime = "torch-compiled" if compiled else "torch"
        self.key = onnx_export.key(tower, settings.precision)
        self.image_size = tower.image_size
        self.batch_size = settings.batch_size
        self.device = torch.device(settings.device)
        module = EmbedPixels(tower, settings.precision).eval().to(self.device)
        if self.device.type == "cuda" or compiled:
            module = module.to(memory_format=torch.channels_last)  # what pixels are already
        graphs = compiled and settings.cuda_graph and self.device.type == "cuda"
        mode = "reduce-overhead" if graphs else None
        run = torch.compile(module, mode=mode, dynamic=False) if compiled else module
        self._run = WithinMemory(lambda batch: run(batch).clone(), f"the teacher on {self.runtime}", None)

    @torch.inference_mode()
    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        return in_fixed_batches(pixels, self.batch_size, self._run)
