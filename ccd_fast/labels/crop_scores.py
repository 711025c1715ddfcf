"""What the teacher says of the crops of a pass: scored in full batches, or known from the pass before (section 4)."""

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.labels.crop_cache import NOT_KEPT, CropCache
from ccd_fast.labels.full_batches import FullBatches
from ccd_fast.teacher import Teacher


class CropScorer:
    """Scores crops in full batches of the engine, whatever number comes from each batch of images."""

    def __init__(self, teacher: Teacher) -> None:
        """Start with no crop waiting."""
        self.teacher = teacher
        self._batches = FullBatches(teacher, lambda similarities: self._scores.append(teacher.scores(similarities)))
        self._scores: list[torch.Tensor] = []

    def add(self, crops: torch.Tensor) -> None:
        """Take crops, (M, S, S, 3) uint8, and score all full batches."""
        self._batches.add(crops)

    def finish(self) -> torch.Tensor:
        """Score what waits, and give the scores of all crops in the order they came, (M, C) float32."""
        self._batches.flush()
        return (
            torch.cat(self._scores) if self._scores else self.teacher.classes.new_zeros((0, len(self.teacher.classes)))
        )


class ScoredCrops:
    """The crops of a pass in order, some of them scored by the teacher and the others known from the pass before."""

    def __init__(self, teacher: Teacher, cache: CropCache, images: ImageSet) -> None:
        """Start with no crop; what the cache holds of other images is dropped."""
        cache.serve(images)
        self.cache = cache
        self.scorer = CropScorer(teacher)
        self.rows, self.boxes = [np.empty(0, dtype=np.int64)], [np.empty((0, 4), dtype=np.int64)]
        self.positions = [np.empty(0, dtype=np.int64)]
        self.before: dict[str, torch.Tensor] | None = None

    def expect(self, rows: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Take crops in, (M,) rows and (M, 4) boxes; tell which of them :meth:`add` must bring, (M,) bool."""
        positions = self.cache.find(rows, boxes)
        self.rows.append(rows)
        self.boxes.append(boxes)
        self.positions.append(positions)
        unknown: NDArray[np.bool_] = positions == NOT_KEPT
        return unknown

    def add(self, crops: torch.Tensor) -> None:
        """Score crops, (M, S, S, 3) uint8, in the order in which they were asked for."""
        self.scorer.add(crops)

    def go_on(self, state: dict[str, torch.Tensor]) -> None:
        """Take what :meth:`state` gave as the first crops of the pass."""
        self.before = state

    def state(self) -> dict[str, torch.Tensor]:
        """Give the rows, boxes and scores of all crops so far; those that wait are scored for it."""
        rows, boxes, scores = self._all()
        return {"rows": torch.from_numpy(rows), "boxes": torch.from_numpy(boxes), "scores": scores.cpu()}

    def finish(self) -> tuple[NDArray[np.int64], torch.Tensor]:
        """Give the rows, (M,), and scores, (M, C) float32, of all crops, and keep them for the next pass."""
        rows, boxes, scores = self._all()
        self.cache.replace(rows, boxes, scores)
        return rows, scores

    def _all(self) -> tuple[NDArray[np.int64], NDArray[np.int64], torch.Tensor]:
        rows, boxes, positions = (np.concatenate(parts) for parts in (self.rows, self.boxes, self.positions))
        scores = self.scorer.finish()
        known = positions != NOT_KEPT
        if known.any():
            asked = scores
            scores = asked.new_empty((len(rows), asked.shape[1]))
            scores[torch.from_numpy(known)] = self.cache.scores(positions[known]).to(asked.device)
            scores[torch.from_numpy(~known)] = asked
        if self.before is None:
            return rows, boxes, scores
        rows = np.concatenate([self.before["rows"].numpy(), rows])
        boxes = np.concatenate([self.before["boxes"].numpy(), boxes])
        return rows, boxes, torch.cat([self.before["scores"].to(scores.device), scores])
