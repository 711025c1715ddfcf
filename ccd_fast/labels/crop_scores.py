"""What the teacher says of the crops of a pass: scored in full batches, or known from the pass before (section 4)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.labels.crop_cache import NOT_KEPT, CropCache
from ccd_fast.labels.full_batches import FullBatches
from ccd_fast.machine.copies import send
from ccd_fast.runs.tables import IN_MEMORY, Tables
from ccd_fast.teacher import Teacher


class ScoredCrops:
    """The crops of a pass in order, some of them scored by the teacher and the others known from the pass before.

    The teacher gets them in full batches of its engine, whatever number comes from each batch of images; scores are put
    down, in the order of the crops, as far as it has come.
    """

    def __init__(
        self,
        teacher: Teacher,
        cache: CropCache,
        images: ImageSet,
        tables: Tables = IN_MEMORY,
        left: Mapping[str, Any] | None = None,
    ) -> None:
        """Start with no crop, or with what :meth:`state` gave of a pass that was left.

        What the cache holds of other images is dropped.
        """
        cache.serve(images)
        self.teacher, self.cache = teacher, cache
        self._batches = FullBatches(teacher, self._take)
        self._rows, self._boxes = [np.empty(0, dtype=np.int64)], [np.empty((0, 4), dtype=np.int64)]
        if left is not None:
            self._rows, self._boxes = [left["rows"].numpy()], [left["boxes"].numpy()]
        begun = (None if left is None else left["scores"], len(self._rows[0]))
        self._scores = tables.gathered(len(teacher.classes), teacher.classes.device, *begun)
        self._waiting = np.empty(0, dtype=np.int64)
        """Of each crop whose scores are not put down yet, its place in the cache."""

    def expect(self, rows: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Take crops in, (M,) rows and (M, 4) boxes; tell which of them :meth:`add` must bring, (M,) bool."""
        places = self.cache.find(rows, boxes)
        self._rows.append(rows)
        self._boxes.append(boxes)
        self._waiting = np.concatenate([self._waiting, places])
        unknown: NDArray[np.bool_] = places == NOT_KEPT
        return unknown

    def add(self, crops: torch.Tensor) -> None:
        """Score crops, (M, S, S, 3) uint8, in the order in which they were asked for."""
        self._batches.add(crops)

    def _take(self, similarities: torch.Tensor) -> None:
        scores = self.teacher.scores(similarities)
        asked = np.flatnonzero(self._waiting == NOT_KEPT)
        self._put_down(int(asked[len(scores) - 1]) + 1, scores)

    def _put_down(self, count: int, scores: torch.Tensor) -> None:
        """Put the scores of so many crops down: those that the teacher gave, and those in the cache between them."""
        places, self._waiting = np.split(self._waiting, [count])
        known = places != NOT_KEPT
        if known.any():
            asked, scores = scores, scores.new_empty((count, scores.shape[1]))
            for of, values in ((~known, asked), (known, self.cache.scores(places[known]))):
                scores[send(torch.from_numpy(np.flatnonzero(of)), scores.device)] = send(values, scores.device)
        self._scores.add(scores)

    def state(self) -> dict[str, Any]:
        """Give the rows, boxes and scores of all crops so far; those that wait are scored for it."""
        rows, boxes = self._settled()
        return {"rows": torch.from_numpy(rows), "boxes": torch.from_numpy(boxes), "scores": self._scores.kept()}

    def finish(self) -> tuple[NDArray[np.int64], torch.Tensor]:
        """Give the rows, (M,), and scores, (M, C) float32, of all crops, and keep them for the next pass."""
        rows, boxes = self._settled()
        scores = self._scores.whole()
        self.cache.replace(rows, boxes, scores)
        return rows, scores

    def _settled(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        self._batches.flush()
        if len(self._waiting):
            self._put_down(len(self._waiting), self.teacher.classes.new_empty((0, len(self.teacher.classes))))
        return np.concatenate(self._rows), np.concatenate(self._boxes)
