"""An engine of a trained student that a run keeps, so that a few photographs need not wait for timm to be loaded."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from ccd_fast.engines import Store, onnx_export
from ccd_fast.engines.store import key_of
from ccd_fast.errors import UserError
from ccd_fast.student import engine as engines
from ccd_fast.student.engine import StudentEngine
from ccd_fast.student.network import Student

NAME = "checkpoints/engine.json"


def keep(
    student: Student, run: Path, checkpoint: str, image_size: int, store: Store, write: Callable[..., Any]
) -> None:
    """Export a student, where the store lacks its graph, compare it with eager PyTorch, and note that this was done.

    Args:
        student: as its checkpoint has it.
        run: folder of the run.
        checkpoint: ``"best"`` or ``"last"``.
        image_size: side of its pictures, in pixels.
        store: where the graph is kept.
        write: writes a name of the run's folder as JSON.

    Raises:
        UserError: it cannot be exported.
        RunError: the engine does not give what the student gives.
    """
    StudentEngine(student, image_size, store)
    of = {"weights": _digest(_weights(run, checkpoint)), "onnxruntime": onnx_export.version_of("onnxruntime")}
    write(NAME, {checkpoint: {**of, "classes": student.classes, "graph": engines.identity(student, image_size)}})


def open_kept(run: Path, checkpoint: str, store: Store) -> StudentEngine | None:
    """Open the engine of a checkpoint; None where none was kept of these very weights, or its graph is gone."""
    kept = _noted(run).get(checkpoint)
    try:
        if kept is None or kept["onnxruntime"] != onnx_export.version_of("onnxruntime"):
            return None
        graph, file = kept["graph"], _weights(run, checkpoint)
        if kept["weights"] != _digest(file) or not store.has(key_of(graph)):
            return None
        store.check(graph)
        weights = safetensors.torch.load_file(file)
        model = engines.with_weights(store.path(key_of(graph)) / engines.FILE, weights)
        return StudentEngine.compared_before(model, int(kept["classes"]))
    except (ImportError, KeyError, TypeError, UserError):
        return None


def _noted(run: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((run / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _weights(run: Path, checkpoint: str) -> Path:
    return run / "checkpoints" / f"{checkpoint}.safetensors"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
