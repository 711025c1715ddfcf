"""Engines: the teacher's image tower, compiled for the machine that it runs on.

Every runtime keeps one contract: uint8 RGB pixels in, unit embeddings out. The cast, the normalisation and the
L2 norm are inside the graph.
"""

from collections.abc import Callable
from pathlib import Path

from ccd_fast.engines import onnx_export, onnx_runtime, torch_eager
from ccd_fast.engines.store import Store
from ccd_fast.engines.tower import ImageEngine, ImageTower
from ccd_fast.errors import UserError, nearest

__all__ = ["RUNTIMES", "ImageEngine", "ImageTower", "Store", "build", "open_engine", "resolve_runtime"]

Opener = Callable[[ImageTower, int, int, Store], ImageEngine]

RUNTIMES: dict[str, Opener] = {"onnxruntime": onnx_runtime.open_engine, "torch": torch_eager.open_engine}


def resolve_runtime(name: str) -> str:
    """Give the runtime that ``"auto"`` stands for here, or ``name`` itself once it is known to be installed.

    Raises:
        UserError: the runtime is unknown or not installed.
    """
    if name == "auto":
        return "onnxruntime" if onnx_runtime.installed() else "torch"
    if name not in RUNTIMES:
        raise UserError(f"unknown runtime {name!r}: auto, {', '.join(RUNTIMES)}" + nearest(name, RUNTIMES))
    if name == "onnxruntime" and not onnx_runtime.installed():
        raise UserError("runtime onnxruntime is not installed: pip install 'ccd_fast[cpu]' (or [cuda])")
    return name


def open_engine(tower: ImageTower, runtime: str, batch_size: int, threads: int, store: Store) -> ImageEngine:
    """Open a tower's engine, building it first if the store has none that fits.

    Args:
        tower: the image tower of a CLIP.
        runtime: a name of :data:`RUNTIMES`, or ``"auto"``.
        batch_size: views in one call; the last call of an uneven number is padded to it.
        threads: threads of a runtime that runs on the CPU.
        store: where engines are kept.

    Raises:
        UserError: the runtime is unknown or not installed.
    """
    return RUNTIMES[resolve_runtime(runtime)](tower, batch_size, threads, store)


def build(tower: ImageTower, store: Store, force: bool = False) -> tuple[Path, bool]:
    """Export a tower into the store, unless it is there.

    Args:
        tower: the image tower of a CLIP.
        store: where engines are kept.
        force: build it anew.

    Returns:
        The engine's folder, and whether it was built now.
    """
    key = onnx_export.key(tower)
    if force:
        store.remove(key)
    fresh = not store.has(key)
    onnx_export.build(tower, store)
    return store.path(key), fresh
