"""The teacher that looks once: a map of a photograph, and from it the scores of any box."""

import importlib.metadata
from typing import Any

import torch

from ccd_fast import engines
from ccd_fast.engines import EngineSettings, Store
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.box_runtime import BOXES, open_boxes
from ccd_fast.engines.map_towers import map_tower
from ccd_fast.teacher.clip import Clip


class MapTeacher:
    """Looks at whole views, and scores boxes of them.

    Attributes:
        image_size: side of the view that maps are of, in pixels.
        interpolation: filter of its resize.
        numbers: in a map.
        classes: t, (C, D) float32, on the device.
    """

    def __init__(
        self,
        clip: Clip,
        view_size: int,
        settings: EngineSettings,
        store: Store,
        classes: torch.Tensor,
        temperature: float = 1.0,
        anchors: torch.Tensor | None = None,
    ) -> None:
        """Split the tower and open both halves.

        Args:
            clip: the teacher's CLIP.
            view_size: in pixels.
            settings: of the engine; the runtime is named.
            store: where engines are kept.
            classes: (C, D) float32, rows of length 1.
            temperature: that similarities are divided by.
            anchors: (A, D) float32, of what stands beside the classes; None where nothing does.

        Raises:
            UserError: the tower has no map.
        """
        tower = map_tower(clip.tower, view_size)
        self.image_size, self.interpolation, self.numbers = view_size, clip.tower.interpolation, tower.numbers
        self.classes, self.scale = classes.to(settings.device), clip.scale / temperature
        names = classes if anchors is None else torch.cat([classes, anchors])
        self._names = names.to(settings.device)
        self._engine = engines.open_engine(tower.looks, settings, store)
        self._boxes = open_boxes(tower, settings, store)
        self._settings = settings

    def identity(self) -> dict[str, Any]:
        """Give everything that a map depends on but the photograph."""
        own, runtime = self._settings, self._engine.runtime.split("-")[0]
        version = torch.__version__ if runtime == "torch" else importlib.metadata.version("onnxruntime")
        facts = {"engine": self._engine.key, "runtime": f"{self._engine.runtime} {version}", "device": own.device}
        return {**facts, "threads": own.threads, "batch_size": own.batch_size, "precision": own.precision}

    def look(self, views: torch.Tensor) -> torch.Tensor:
        """Look at whole views, (B, S, S, 3) uint8: their maps, (B, numbers) float16, on the host."""
        return self._engine.embed(views).to(torch.float16).cpu()

    def scores(self, maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Score boxes, all in one call; a row does not depend on its neighbours.

        Args:
            maps: (B, numbers) float16, on the host.
            boxes: (M, 5) float32: position of the map, then x0, y0, x1, y1 in shares of the view.

        Returns:
            p, (M, C) float32.
        """
        if not len(boxes):
            return self.classes.new_zeros((0, len(self.classes)))
        device = self.classes.device
        embeddings = self._boxes.embed(maps.to(device).float(), boxes.to(device))
        found = in_fixed_batches(embeddings, BOXES, lambda batch: self.scale * (batch @ self._names.T)).softmax(dim=1)
        return found[:, : len(self.classes)]
