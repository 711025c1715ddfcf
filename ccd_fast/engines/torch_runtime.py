"""PyTorch: eager, the reference that the other runtimes are checked against, and compiled."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.store import Store
from ccd_fast.engines.streams import FixedCall, replaying
from ccd_fast.engines.tower import EmbedPixels, EngineSettings, ImageTower
from ccd_fast.machine import WithinMemory

WARM_RUNS = 2
"""Of a compiled tower on a GPU: the first run compiles, and the second one is as all others will be."""


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
    """Runs the tower with PyTorch; see :class:`ccd_fast.engines.ImageEngine`.

    Attributes:
        compiled: the compiled form; None where the tower runs eagerly.
    """

    def __init__(self, tower: ImageTower, settings: EngineSettings, compiled: bool) -> None:
        """Wrap the tower."""
        self.runtime = "torch-compiled" if compiled else "torch"
        self.key = onnx_export.key(tower, settings.precision)
        self.image_size = tower.image_size
        self.batch_size = settings.batch_size
        device = torch.device(settings.device)
        module = EmbedPixels(tower, settings.precision).eval()
        if device.type != "cpu":  # a copy: what else is built from the tower wants it where it is
            module = deepcopy(module).to(device)
        if device.type == "cuda" or compiled:
            module = module.to(memory_format=torch.channels_last)  # what pixels are already
        eager = Eager(module, exact=device.type == "cuda" and settings.precision == "fp32")
        self.compiled = Compiled(eager, self.image_size, settings) if compiled else None
        self._run = WithinMemory(self.compiled or eager, f"the teacher on {self.runtime}", None)
        if compiled and device.type == "cuda":  # before a pass begins in which other threads work on the same GPU
            side = self.image_size
            self.embed(torch.zeros((self.batch_size, side, side, 3), dtype=torch.uint8, device=device))

    @torch.inference_mode()
    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        return in_fixed_batches(pixels, self.batch_size, self._run)


class Eager:
    """A tower as it is, run in inference mode."""

    def __init__(self, module: Callable[[torch.Tensor], torch.Tensor], exact: bool) -> None:
        """Wrap a module; ``exact`` keeps TF32 out of its convolutions."""
        self.module = module
        self.exact = exact

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed (B, S, S, 3) uint8 on the module's device."""
        with without_tf32(self.exact):
            return self.module(pixels)


class Compiled:
    """A tower that ``torch.compile`` has compiled for one shape, replayed as a CUDA graph where there are such.

    The graph is our own: torch's mode ``reduce-overhead`` keeps one for each thread, and copies into it. Nor is it
    ``max-autotune``, which chooses kernels by timing them: two processes of one run could choose different ones.

    Attributes:
        call: what runs; None until the first batch has come, whose number of rows is that of every call. Where memory
            runs out it is given up, and opened anew for the next batch, which is smaller.
    """

    def __init__(self, eager: Eager, image_size: int, settings: EngineSettings) -> None:
        """Take a tower; nothing is compiled yet."""
        self.call: FixedCall | None = None
        self._eager = eager
        self._compiled = Eager(torch.compile(eager.module, dynamic=False), eager.exact)
        self._image_size = image_size
        self._settings = settings

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed up to as many rows as the first call had."""
        try:
            if self.call is None:
                self.call = self._open(len(pixels))
            return self.call(pixels)
        except torch.OutOfMemoryError:
            self.call = None
            raise

    def _open(self, rows: int) -> FixedCall:
        on_gpu = torch.device(self._settings.device).type == "cuda"
        what = f"torch-compiled, {self._settings.precision}"
        return replaying(lambda graph: self._open_call(rows, graph), self._settings.cuda_graph and on_gpu, what)

    def _open_call(self, rows: int, cuda_graph: bool) -> FixedCall:
        """Compile for a number of rows, and capture."""
        side, device, compiled = self._image_size, self._settings.device, self._compiled
        width = self._eager(torch.zeros((1, side, side, 3), dtype=torch.uint8, device=device)).shape[1]
        call = FixedCall(rows, side, width, device)
        pixels, embeddings = call.pixels, call.embeddings
        call.launch = lambda: embeddings.copy_(compiled(pixels))
        if call.stream is not None:
            call.warm_up(WARM_RUNS)
        if cuda_graph:
            call.capture()
            call.warm_up(1)
        return call


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
