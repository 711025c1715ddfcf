"""The runtimes by name, and which of them runs a teacher here.

Every runtime keeps one contract: uint8 RGB pixels in, unit embeddings out. The cast, the normalisation and the
L2 norm are inside the graph.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch

from ccd_fast.engines import onnx_export, onnx_runtime, tensorrt_runtime, torch_runtime
from ccd_fast.engines.precision import Precision
from ccd_fast.engines.store import Store, StoreFullError, StoreRefusedError, key_of
from ccd_fast.engines.tower import EngineSettings, ImageEngine, ImageTower
from ccd_fast.errors import RunError, UserError, nearest
from ccd_fast.machine import say_on_stderr


@dataclass(frozen=True)
class Runtime:
    """A way to run a tower.

    Attributes:
        problem: device and precision to why it cannot run there, or nothing.
        open: opens a tower's engine, building it first where the store lacks it.
        build: builds what it needs into the store and gives the file; None where nothing is kept.
    """

    problem: Callable[[str, str], str]
    open: Callable[[ImageTower, EngineSettings, Store], ImageEngine]
    build: Callable[[ImageTower, EngineSettings, Store], Path] | None


def _export(tower: ImageTower, settings: EngineSettings, store: Store) -> Path:
    return onnx_export.build(tower, settings.precision, store)


RUNTIMES: dict[str, Runtime] = {
    "tensorrt": Runtime(tensorrt_runtime.problem, tensorrt_runtime.open_engine, tensorrt_runtime.build),
    "onnxruntime": Runtime(onnx_runtime.problem, onnx_runtime.open_engine, _export),
    "torch-compiled": Runtime(torch_runtime.compiled_problem, torch_runtime.open_compiled, None),
    "torch": Runtime(torch_runtime.problem, torch_runtime.open_eager, None),
}
"""By name."""

ON_A_CPU, ON_A_GPU, LARGE_VIEW = 16, 256, 256
"""Views in a call that fill a CPU's cores, or a GPU; and the side, in pixels, above which a quarter of them does."""

AUTO = {"cpu": ("onnxruntime", "torch"), "cuda": ("tensorrt", "torch-compiled", "onnxruntime", "torch")}
"""What ``"auto"`` tries on each kind of device. Compiling for a CPU costs minutes and gains little. On a GPU the order
is not measured yet: compiled PyTorch has flash attention, to which ONNX Runtime fuses what it recognises of a graph."""


def batch_size(wanted: int | Literal["auto"], runtime: str, device: str, image_size: int) -> int:
    """Settle the views in a call of the engine: for ``"auto"`` as many as fill the device, the same on all of a kind.

    Args:
        wanted: a number, which stands, or ``"auto"``.
        runtime: of the engine; a plan of TensorRT is for a GPU wherever it is built.
        device: where the engine runs.
        image_size: side of the teacher's views, in pixels.
    """
    if wanted != "auto":
        return wanted
    if not device.startswith("cuda") and runtime != "tensorrt":
        return ON_A_CPU
    return ON_A_GPU if image_size <= LARGE_VIEW else ON_A_GPU // 4


def settings(runtime: str, precision: Precision | Literal["auto"], batch_size: int, device: str) -> EngineSettings:
    """Put settings together: torch's number of threads, and the device's own precision for ``"auto"``.

    That is fp32 on a CPU and fp16 on a GPU, as for a plan that is built for one.
    """
    if precision == "auto":
        precision = "fp16" if device.startswith("cuda") or runtime == "tensorrt" else "fp32"
    return EngineSettings(runtime, precision, batch_size, device, torch.get_num_threads())


def resolve(wanted: EngineSettings) -> EngineSettings:
    """Put the runtime in place that ``"auto"`` stands for here, and see that the one that was named can run.

    Raises:
        UserError: the runtime is unknown, or cannot run here; the line says why.
    """
    name, device = wanted.runtime, wanted.device
    if name == "auto":
        choices = AUTO[device.split(":")[0]]
        works = next((c for c in choices if not RUNTIMES[c].problem(device, wanted.precision)), choices[-1])
        return resolve(dataclasses.replace(wanted, runtime=works))
    if name not in RUNTIMES:
        raise UserError(f"unknown runtime {name!r}: auto, {', '.join(RUNTIMES)}" + nearest(name, RUNTIMES))
    if why := RUNTIMES[name].problem(device, wanted.precision):
        raise UserError(f"runtime {name}, {wanted.precision} on {device}: {why}")
    return wanted


def open_engine(tower: ImageTower, wanted: EngineSettings, store: Store) -> ImageEngine:
    """Open a tower's engine, building it first if the store has none that fits.

    With the runtime ``"auto"`` one that fails here, whatever it raises, is passed over for the next, in words on
    stderr. ``runtime`` of the engine says which it became. What the store refuses is no runtime's fault: that is told.

    Args:
        tower: the image tower of a CLIP.
        wanted: how it is to run.
        store: where engines are kept.

    Raises:
        UserError: the runtime is unknown or cannot run here, or the store is not the user's own, or holds something
            that is not what it says.
        RunError: the disk of the store is full.
    """
    resolved = resolve(wanted)
    if wanted.runtime != "auto":
        return RUNTIMES[resolved.runtime].open(tower, resolved, store)
    choices = AUTO[wanted.device.split(":")[0]]
    problems = {choice: RUNTIMES[choice].problem(wanted.device, wanted.precision) for choice in choices}
    works = [choice for choice, why in problems.items() if not why] or [resolved.runtime]
    for choice, after in pairwise(works):
        try:
            return RUNTIMES[choice].open(tower, dataclasses.replace(wanted, runtime=choice), store)
        except Exception as refused:  # noqa: PERF203 - libraries have errors of their own; a few runtimes
            if isinstance(refused, (StoreFullError, StoreRefusedError)):
                raise
            say_on_stderr(f"{choice} does not run here, so {after} is taken: {_in_a_line(refused)}")
    if wanted.device.startswith("cuda") and works == ["torch"]:
        reasons = "; ".join(f"{choice}: {why}" for choice, why in problems.items() if why)
        say_on_stderr(f"the teacher runs on {wanted.device} the slow way, by torch: {reasons}")
    return RUNTIMES[works[-1]].open(tower, dataclasses.replace(wanted, runtime=works[-1]), store)


def _in_a_line(error: Exception) -> str:
    """Give an error's first line; of one that is not ours, with its type."""
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[0] if isinstance(error, (RunError, UserError)) else f"{type(error).__name__}: {lines[0]}"


def build(tower: ImageTower, wanted: EngineSettings, store: Store, force: bool = False) -> tuple[Path, bool]:
    """Build a runtime's engine into the store, unless it is there.

    Args:
        tower: the image tower of a CLIP.
        wanted: the runtime must be named; ``tensorrt_rtx`` can build where no GPU is.
        store: where engines are kept.
        force: build it anew.

    Returns:
        The engine's file, and whether it was built now.

    Raises:
        UserError: the runtime keeps nothing, or cannot be built here.
    """
    make = RUNTIMES[wanted.runtime].build
    if make is None:
        raise UserError(f"runtime {wanted.runtime} keeps no engine: there is nothing to build ahead of time")
    identity = _identity(tower, wanted)
    if force:
        store.remove(key_of(identity))
    fresh = not store.has(key_of(identity))
    return make(tower, wanted, store), fresh


def _identity(tower: ImageTower, settings: EngineSettings) -> dict[str, object]:
    if settings.runtime == "tensorrt" and not tensorrt_runtime.can_build(settings.device):
        return tensorrt_runtime.identity(tower, settings)
    return onnx_export.identity(tower, settings.precision)
