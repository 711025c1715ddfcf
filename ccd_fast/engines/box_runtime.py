"""What runs the second half of a tower that looks once: boxes of maps to unit embeddings, in calls of one size.

On a CPU it is exported and run by ONNX Runtime where the first half is; elsewhere PyTorch runs it, on the device: it is
a pooling and a last layer.
"""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.map_towers import MapTower
from ccd_fast.engines.onnx_runtime import open_session
from ccd_fast.engines.store import Store
from ccd_fast.engines.torch_runtime import without_tf32
from ccd_fast.engines.tower import EngineSettings

BOXES = 64
"""In a call: a row never depends on how many there are."""

FILE = "boxes.onnx"

Run = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class BoxRuntime:
    """Embeds boxes of maps.

    Attributes:
        runtime: ``"onnxruntime"`` or ``"torch"``.
        key: of its file in the engine store; empty where it has none.
    """

    def __init__(self, runtime: str, run: Run, key: str = "") -> None:
        """Take what maps (B, numbers) and (BOXES, 5) float32 to (BOXES, E)."""
        self.runtime, self.key = runtime, key
        self._run = run

    @torch.inference_mode()
    def embed(self, maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Embed any number of boxes; see :class:`ccd_fast.engines.map_towers.BoxEmbeddings`.

        Args:
            maps: (B, numbers) float32, at least one.
            boxes: (M, 5) float32: position of the map, then the box in shares of the view.

        Returns:
            (M, E) float32 of length 1.
        """
        return in_fixed_batches(boxes, BOXES, lambda batch: self._run(maps, batch))


def open_boxes(tower: MapTower, settings: EngineSettings, store: Store) -> BoxRuntime:
    """Open the second half of a tower for the runtime that its first half is on."""
    if settings.runtime == "onnxruntime" and settings.device == "cpu":
        file = build(tower, store)
        session = open_session(file, "cpu", settings.threads)

        def run(maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
            inputs = {"maps": maps.numpy(), "boxes": boxes.numpy()}
            return torch.from_numpy(session.run(["embeddings"], inputs)[0])

        return BoxRuntime("onnxruntime", run, file.parent.name)
    module = tower.boxes if settings.device == "cpu" else deepcopy(tower.boxes).to(settings.device)

    def exactly(maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        with without_tf32(settings.device != "cpu"):
            return module(maps, boxes)  # type: ignore[no-any-return]

    return BoxRuntime("torch", exactly)


def build(tower: MapTower, store: Store) -> Path:
    """Export the second half into the store, unless it is there; give the path of the ONNX file."""
    facts = {**onnx_export.identity(tower.looks), "gives": "embeddings of boxes", "bins": tower.boxes.bins}
    return store.get(facts, lambda folder: onnx_export.export_boxes(tower.boxes, tower.numbers, folder / FILE)) / FILE
