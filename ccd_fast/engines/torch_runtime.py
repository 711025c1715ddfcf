"""PyTorch: eager, the reference that the other runtimes are checked against, and compiled."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.store import Store
from ccd_fast.engines.tower import EmbedPixels, EngineSettings, ImageTower
from ccd_fast.machine import WithinMemory

WARM_RUNS = 3
"""Of a compiled tower: the first run compiles, the second one captures a CUDA graph, the third one replays it."""


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
    if device_type == "cuda" and importlib.util.find_spec("triton") is None:
        return "torch.compile needs triton on a GPU: pip install triton"
    if device_type == "cuda" and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        return "torch.compile needs a C compiler on a GPU, too, for triton"
    return ""


def open_eager(tower: ImageTower, settings: EngineSettings, store: Store) -> "TorchEngine":  # noqa: ARG001
    """Wrap the tower; nothing is built, and torch's own number of threads counts."""
    return TorchEngine(tower, settings, compiled=False)


def open_compiled(tower: ImageTower, settings: EngineSettings, store: Store) -> "TorchEngine":  # noqa: ARG001
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
        module = EmbedPixels(tower, settings.precision).eval()
        if self.device.type != "cpu":  # a copy: what else is built from the tower wants it where it is
            module = deepcopy(module).to(self.device)
        if self.device.type == "cuda" or compiled:
            module = module.to(memory_format=torch.channels_last)  # what pixels are already
        self.replays = compiled and settings.cuda_graph and self.device.type == "cuda"
        mode = "reduce-overhead" if self.replays else None
        run = torch.compile(module, mode=mode, dynamic=False) if compiled else module
        self._exact = self.device.type == "cuda" and settings.precision == "fp32"
        self._run = WithinMemory(lambda batch: run(batch).clone(), f"the teacher on {self.runtime}", None)
        if compiled and self.device.type == "cuda":
            self._warm_up()

    @torch.inference_mode()
    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        with without_tf32(self._exact):
            return in_fixed_batches(pixels, self.batch_size, self._run)

    def _warm_up(self) -> None:
        """Compile, and capture, before a pass begins in which other threads work on the same GPU."""
        side = self.image_size
        pixels = torch.zeros((self.batch_size, side, side, 3), dtype=torch.uint8, device=self.device)
        for _ in range(WARM_RUNS):
            self.embed(pixels)
        torch.cuda.synchronize(self.device)


@contextmanager
def without_tf32(wanted: bool) -> Iterator[None]:
    """Let cuDNN's convolutions multiply in fp32, where that is wanted, and not in TF32, torch's default on a GPU."""
    if not wanted:
        yield
        return
    flags = torch.backends.cudnn
    before, flags.allow_tf32 = flags.allow_tf32, False
    try:
        yield
    finally:
        flags.allow_tf32 = before
