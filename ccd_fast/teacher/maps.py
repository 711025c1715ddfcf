"""The teacher that looks once: a map of a photograph, and from it the scores of any box."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import normalize

from ccd_fast import engines
from ccd_fast.engines import EmbedPixels, EngineSettings, Store, onnx_runtime
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.box_runtime import BOXES, open_boxes
from ccd_fast.engines.map_towers import MapTower, map_tower
from ccd_fast.teacher.checked_engines import noted_parity
from ccd_fast.teacher.clip import Clip
from ccd_fast.teacher.parity import Parity, compare
from ccd_fast.teacher.vocabulary import Vocabulary

CHECKED = 8
"""Views that both halves are compared on, with each of :data:`CHECKED_BOXES`; a large view takes eager PyTorch long."""
CHECKED_BOXES = ((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 0.5), (0.3, 0.1, 0.9, 0.4), (0.55, 0.25, 0.8, 1.0))
"""In shares of the view."""


class MapTeacher:
    """Looks at whole views, and scores boxes of them.

    Attributes:
        image_size: side of the view that maps are of, in pixels.
        interpolation: filter of its resize.
        numbers: in a map.
        classes: t, (C, D) float32, on the device.
        tower: in its two halves.
    """

    def __init__(
        self,
        clip: Clip,
        view_size: int,
        settings: EngineSettings,
        store: Store,
        vocabulary: Vocabulary,
        temperature: float = 1.0,
    ) -> None:
        """Split the tower and open both halves.

        Args:
            clip: the teacher's CLIP.
            view_size: in pixels.
            settings: of the engine; the runtime is named.
            store: where engines are kept.
            vocabulary: the texts.
            temperature: that similarities are divided by.

        Raises:
            UserError: the tower has no map.
        """
        self.tower = tower = map_tower(clip.tower, view_size)
        self.image_size, self.interpolation, self.numbers = view_size, clip.tower.interpolation, tower.numbers
        self._vocabulary = vocabulary.to(settings.device)
        self.classes, self.scale = self._vocabulary.classes, clip.scale / temperature
        self._engine = engines.open_engine(tower.looks, settings, store)
        self._boxes = open_boxes(tower, settings, store)
        self._settings = settings

    def identity(self) -> dict[str, Any]:
        """Give everything that a map depends on but the photograph."""
        own, runtime = self._settings, self._engine.runtime
        version = onnx_runtime.version() if runtime == "onnxruntime" else torch.__version__  # a plan's is in its key
        facts = {"engine": self._engine.key, "runtime": f"{runtime} {version}", "device": own.device}
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
        embeddings = self.embed(maps, boxes)
        found = in_fixed_batches(embeddings, BOXES, lambda batch: self._vocabulary.similarities(batch, self.scale))
        return found.softmax(dim=1)[:, : len(self.classes)]

    def embed(self, maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Embed boxes, at least one; arguments as of :meth:`scores`. Gives (M, D) float32 of length 1."""
        device = self.classes.device
        return self._boxes.embed(maps.to(device).float(), boxes.to(device))

    def parity(self, pixels: Callable[[int], torch.Tensor], store: Store) -> Parity | None:
        """Compare both halves, and what half precision does to maps, with eager PyTorch; see :func:`noted_parity`.

        Args:
            pixels: gives up to as many views as asked for, (M, S, S, 3) uint8.
            store: where the engines are kept.

        Returns:
            None for the reference itself, or where there is not a picture to compare.

        Raises:
            RunError: they are beyond the limits of their precision, and were removed from the store.
        """
        own = self._settings
        if own.runtime == "torch" and own.precision == "fp32":
            return None

        def measured() -> Parity | None:
            views = pixels(CHECKED).cpu()
            if not len(views):
                return None
            boxes = torch.tensor([[float(n), *box] for n in range(len(views)) for box in CHECKED_BOXES])
            ours = self.embed(self.look(views.to(self.classes.device)), boxes).cpu()
            return compare(ours, reference_embeddings(self.tower, views, boxes), self.classes.cpu(), self.scale)

        keys = [key for key in (self._engine.key, self._boxes.key) if key]
        return noted_parity(f"maps of {self.tower.looks.name}", own, store, keys, measured)


@torch.inference_mode()
def reference_embeddings(tower: MapTower, views: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Embed boxes by both halves in eager PyTorch and float32, one view after the other.

    Args:
        tower: on the host.
        views: (B, S, S, 3) uint8, likewise.
        boxes: (M, 5) float32, as of :meth:`MapTeacher.scores`.

    Returns:
        (M, D) float32 of length 1.
    """
    looks = EmbedPixels(tower.looks).eval()
    return normalize(tower.boxes(torch.cat([looks(view) for view in torch.split(views, 1)]), boxes), dim=-1)
