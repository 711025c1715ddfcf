"""Export to ONNX by ``torch.export``; of an image tower, uint8 pixels to unit embeddings in one graph."""

import contextlib
import io
import warnings
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ccd_fast.engines.precision import Precision
from ccd_fast.engines.store import Store, key_of
from ccd_fast.engines.tower import EmbedPixels, ImageTower

FILE = "tower.onnx"
VIEWS = "views"
"""Name of the batch dimension."""
OPSET = 20
"""The newest opset that TensorRT 10 and 11 and ONNX Runtime 1.20 all read."""


def identity(tower: ImageTower, precision: Precision = "fp32") -> dict[str, Any]:
    """Give everything that the exported file depends on."""
    return {**tower.identity(), "format": "onnx", "precision": precision, "opset": OPSET, "exporter": versions()}


def versions() -> dict[str, str]:
    """Give the versions of all that has a hand in an export."""
    return {"torch": torch.__version__, **{name: version_of(name) for name in ("onnx", "onnxscript")}}


def version_of(name: str) -> str:
    """Give the version of a library, without loading it where its package says it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return str(import_module(name).__version__)


def key(tower: ImageTower, precision: Precision = "fp32") -> str:
    """Give the key of the exported file in the store."""
    return key_of(identity(tower, precision))


def build(tower: ImageTower, precision: Precision, store: Store) -> Path:
    """Export the tower into the store, unless it is there; give the path of the ONNX file."""
    facts = identity(tower, precision)

    def write(folder: Path) -> None:
        export(EmbedPixels(tower, precision), tower.image_size, ["embeddings"], folder / FILE)

    def need() -> int:
        return sum(tensor.nbytes for tensor in tower.module.state_dict().values())

    return store.get(facts, write, need) / FILE


def export(module: nn.Module, image_size: int, outputs: Sequence[str], file: Path, keep_weights: bool = False) -> None:
    """Write a module that reads square uint8 pixels as ONNX: any number of pictures, height and width fixed.

    Above 2 GB the weights go into a file of their own beside it, ``<file>.data``.

    Args:
        module: maps (M, S, S, 3) uint8 to ``outputs``; exported in evaluation mode.
        image_size: S, in pixels.
        outputs: names of what it gives.
        file: to write.
        keep_weights: leave every parameter an initializer under its own name, so that a runtime can be given others.
    """
    pixels = torch.zeros((2, image_size, image_size, 3), dtype=torch.uint8)
    program = _exported(module, {"pixels": pixels}, {"pixels": VIEWS}, outputs, optimize=not keep_weights)
    if keep_weights:
        _fold_all_but_weights(program.model)
    program.save(str(file))


def export_boxes(module: nn.Module, numbers: int, file: Path) -> None:
    """Write the second half of a tower that looks once: (B, numbers) maps and (M, 5) boxes to (M, E) embeddings."""
    inputs = {"maps": torch.zeros((2, numbers)), "boxes": torch.tensor([[0, 0, 0, 1, 1], [1, 0, 0, 1, 1.0]])}
    _exported(module, inputs, {"maps": VIEWS, "boxes": "boxes"}, ["embeddings"], optimize=True).save(str(file))


def _exported(
    module: nn.Module, inputs: dict[str, torch.Tensor], rows: dict[str, str], outputs: Sequence[str], optimize: bool
) -> Any:
    """Export a module; ``rows`` names the first dimension of each input, which can be any number."""
    # The exporter prints its progress and its own deprecations; neither is for the user.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes={name: {0: torch.export.Dim(dim, min=1, max=65536)} for name, dim in rows.items()},
            opset_version=OPSET,
            optimize=optimize,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the export to ONNX gave nothing")
    return program


def _fold_all_but_weights(model: Any) -> None:
    """Compute what depends on no weight, such as the zeros for a convolution's bias, so that a runtime can fuse layers.

    The exporter may give a node's value the name of a weight (``mean``); the value is renamed.
    """
    from onnxscript import optimizer

    weights = set(model.graph.initializers)
    for node in model.graph:
        for value in node.outputs:
            if value.name in weights:
                value.name = f"{value.name}_of_{node.name}"

    def may_fold(node: Any) -> bool | None:
        reads_weights = any(value is not None and value.name in weights for value in node.inputs)
        return False if reads_weights and node.op_type != "Shape" else None

    optimizer.fold_constants(model, should_fold=may_fold)
    optimizer.remove_unused_nodes(model)
