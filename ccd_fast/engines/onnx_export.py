"""Export of an image tower to ONNX, uint8 pixels to unit embeddings in one graph."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import onnx
import onnxscript
import torch

from ccd_fast.engines.store import Store, key_of
from ccd_fast.engines.tower import EmbedPixels, ImageTower

FILE = "tower.onnx"
OPSET = 20
"""The newest opset that TensorRT 10 and 11 and ONNX Runtime 1.20 all read."""


def identity(tower: ImageTower) -> dict[str, Any]:
    """Give everything that the exported file depends on."""
    versions = {"torch": torch.__version__, "onnx": onnx.__version__, "onnxscript": onnxscript.__version__}
    return {**tower.identity(), "format": "onnx", "precision": "fp32", "opset": OPSET, "exporter": versions}


def key(tower: ImageTower) -> str:
    """Give the key of the exported file in the store."""
    return key_of(identity(tower))


def build(tower: ImageTower, store: Store) -> Path:
    """Export the tower into the store, unless it is there; give the path of the ONNX file."""
    name = key(tower)
    if not store.has(name):
        store.add(name, identity(tower), lambda folder: _export(tower, folder / FILE))
    return store.path(name) / FILE


def _export(tower: ImageTower, file: Path) -> None:
    """Write the ONNX file: any number of pictures, height and width fixed."""
    pixels = torch.zeros((2, tower.image_size, tower.image_size, 3), dtype=torch.uint8)
    # The exporter prints its progress and its own deprecations; neither is for the user.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            EmbedPixels(tower).eval(),
            (pixels,),
            dynamo=True,
            input_names=["pixels"],
            output_names=["embeddings"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("views", min=1, max=65536)}},
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError(f"the export of {tower.name} to ONNX gave nothing")
    program.save(str(file))
