"""The label update from maps: the teacher has looked at each photograph once, and boxes are pooled (section 4).

A photograph is decoded where its map is missing or the student is to look at it; nothing is cropped.
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.labels.crop_cache import distinct
from ccd_fast.labels.map_store import MapStore, digest_of
from ccd_fast.labels.table import PseudoLabels, Update, update_labels
from ccd_fast.labels.view_choice import ViewChoice
from ccd_fast.machine import on_stream_for
from ccd_fast.runs import Stage
from ccd_fast.student import STUDENT_FILTER, PixelClassifier, Reading
from ccd_fast.teacher.maps import MapTeacher
from ccd_fast.views import Photographs, prefetched


@dataclass
class Maps:
    """A teacher that looks once, and where its maps are.

    Attributes:
        teacher: looks, and scores boxes.
        folder: of the stores of maps.
        gib: most GiB of them.
    """

    teacher: MapTeacher
    folder: Path
    gib: float
    _images: ImageSet | None = None
    _store: MapStore | None = None

    def of(self, images: ImageSet) -> MapStore:
        """Open the store of a data set, once."""
        if self._store is None or self._images is not images:
            identity = {**self.teacher.identity(), "photographs": digest_of(images)}
            self._store = MapStore(self.folder, identity, len(images), self.teacher.numbers, self.gib)
            self._images = images
        return self._store


@dataclass(frozen=True)
class Batch:
    """Photographs of a batch whose maps are at hand.

    Attributes:
        photographs: rows and sizes; pixels of those that had to be decoded only.
        maps: (B, numbers) float16.
        views: the student's, (B, S, S, 3) uint8, where it looks.
        looked: photographs that the teacher looked at now.
    """

    photographs: Photographs
    maps: NDArray[np.float16]
    views: torch.Tensor | None
    looked: int


def relabel_from_maps(
    images: ImageSet,
    reading: Reading,
    maps: Maps,
    student: PixelClassifier | None,
    labels: PseudoLabels,
    looks: ViewChoice,
    update: Update,
    stage: Stage,
) -> dict[int, str]:
    """Update the pseudo-labels of all images from boxes of their maps; see :func:`ccd_fast.labels.relabel.relabel`."""
    if student is not None:
        student.eval()
    store, teacher = maps.of(images), maps.teacher
    rows = [np.empty(0, dtype=np.int64)]
    unreadable: dict[int, str] = {}
    left = stage.keeper.restored()
    if left:
        rows = [left["rows"].numpy()]
        unreadable |= left["unreadable"]
        stage.go_on(left["done"], len(rows[0]), left["seconds"])

    begun = None if left is None else left["scores"]
    scores = reading.tables.gathered(len(teacher.classes), teacher.classes.device, begun, len(rows[0]))

    def so_far() -> dict[str, Any]:
        store.flush()
        found = {"rows": torch.from_numpy(np.concatenate(rows)), "scores": scores.kept()}
        return {**found, "unreadable": unreadable, "done": stage.done, "seconds": stage.seconds}

    made = _batches(images, reading, store, teacher, looks.view_size if looks.asks_the_student else 0, stage)
    device = reading.backend.device
    with on_stream_for("pass", device), closing(prefetched(made, 1, device)) as batches:
        for batch in batches:
            photographs, seen, crops = batch.photographs, None, 0
            unreadable |= photographs.unreadable
            if batch.looked:
                stage.saw("maps", batch.looked)
            if len(photographs):
                if batch.views is not None and student is not None:
                    with stage.part("student"), torch.inference_mode():
                        seen = student(batch.views)
                    stage.saw("student", len(photographs))
                with stage.part("boxes"):
                    owner, boxes = looks.boxes(photographs, seen)
                    crops = len(owner)
                    owner, boxes = distinct(owner, boxes)
                    shares = boxes / np.tile(photographs.sizes[owner][:, ::-1], 2)
                with stage.part("teacher"):
                    asked = torch.from_numpy(np.column_stack([owner, shares]).astype(np.float32))
                    scores.add(teacher.scores(torch.from_numpy(batch.maps), asked))
                    rows.append(photographs.rows[owner])
                stage.advance(len(photographs) + len(photographs.unreadable), crops, crops - len(owner))
            else:
                stage.advance(len(photographs.unreadable))
            stage.keeper.keep(so_far)
        store.flush()
        with stage.part("update"):
            found = torch.from_numpy(np.concatenate(rows))
            update_labels(labels, found, scores.whole(), update, reading.tables, reading.batch_size)
    stage.advance(len(images) - len(reading.share(len(images))))
    return reading.ranks.merged(unreadable)


def _batches(
    images: ImageSet, reading: Reading, store: MapStore, teacher: MapTeacher, view_size: int, stage: Stage
) -> Generator[Batch, None, None]:
    """Read maps, and decode what has none, or all where the student looks; a side of 0 is no look."""
    share = np.arange(len(images))[reading.share(len(images))][stage.done :]
    for first in range(0, len(share), reading.batch_size):
        rows = share[first : first + reading.batch_size]
        with stage.part("maps"):
            whole, sizes, maps = store.read(rows)
        asked = rows if view_size else rows[~whole]
        with stage.part("decode"):
            decoded = _decode(images, reading, asked)
        with stage.part("views"):
            views = reading.backend.whole(decoded, view_size, STUDENT_FILTER) if view_size and len(decoded) else None
        with stage.part("maps"):
            new = ~np.isin(decoded.rows, rows[whole])
            looked = _look(reading, teacher, decoded, new)
            store.write(decoded.rows[new], decoded.sizes[new], looked)
        known = ~np.isin(rows[whole], list(decoded.unreadable))  # a photograph that has gone keeps its labels
        every = np.concatenate([rows[whole][known], decoded.rows[new]])
        order = np.argsort(every)
        together = Photographs(
            every[order],
            np.concatenate([sizes[known], decoded.sizes[new]])[order],
            None,
            decoded.unreadable,
        )
        yield Batch(together, np.concatenate([maps[known], looked])[order], views, int(new.sum()))


def _decode(images: ImageSet, reading: Reading, rows: NDArray[np.int64]) -> Photographs:
    if not len(rows):
        return Photographs(rows, np.empty((0, 2), dtype=np.int64), None, {})
    return reading.backend.decode(images.files(rows), rows)


def _look(reading: Reading, teacher: MapTeacher, decoded: Photographs, new: NDArray[np.bool_]) -> NDArray[np.float16]:
    """Let the teacher look at those of a batch that have no map yet."""
    if not new.any():
        return np.empty((0, teacher.numbers), dtype=np.float16)
    views = reading.backend.whole(decoded, teacher.image_size, teacher.interpolation)
    picked = views if new.all() else views[torch.from_numpy(np.flatnonzero(new)).to(views.device)]
    found: NDArray[np.float16] = teacher.look(picked).numpy()
    return found
