"""The photographs whose labels changed most, with the boxes that the teacher looked into."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ccd_fast.datasets import ImageSet
from ccd_fast.errors import UserError
from ccd_fast.labels import on_disk
from ccd_fast.outputs import Trained, trained
from ccd_fast.report.facts import Facts
from ccd_fast.student import STUDENT_FILTER
from ccd_fast.student.cam import boxes_of_active_classes
from ccd_fast.training.passes import evaluation_conditions
from ccd_fast.views import ViewBackend, to_image_boxes

SIDE, CROP_SIDE = 320, 96
"""Longest side of a photograph, and side of a crop, in pixels."""
BOXES = 4
"""Boxes that are shown of a photograph, those of the classes that the student is surest of."""
NEAR = np.array([0.3, 0.07])
"""Shares of a photograph's width and height within which two names overlap."""
TOLD = 4
"""Labels that are told of a photograph."""


@dataclass(frozen=True)
class Box:
    """A place that the teacher looks at.

    Attributes:
        name: the class whose CAM it is at.
        probability: what the student gives the class.
        style: its position in shares of the photograph, as CSS.
        crop: as a data URL.
        place: its number among those of the photograph; boxes and crops of one number have one colour.
        below: how many names already stand in its upper left corner, so that its own stands below them.
    """

    name: str
    probability: float
    style: str
    crop: str
    place: int = 0
    below: int = 0


@dataclass(frozen=True)
class Label:
    """A class of a photograph.

    Attributes:
        name: of the class.
        before: the first label.
        after: the last label.
        truth: whether the class is there; None where that is not known.
    """

    name: str
    before: float
    after: float
    truth: bool | None

    @property
    def change(self) -> str:
        """Give ``"better"`` or ``"worse"``; nothing where no truth is known."""
        if self.truth is None:
            return ""
        return "better" if (self.after > self.before) == self.truth else "worse"


@dataclass(frozen=True)
class Corrected:
    """A photograph whose labels changed.

    Attributes:
        path: relative to the data set's root.
        picture: as a data URL.
        boxes: where the teacher looks.
        labels: the classes that changed most, and the highest.
    """

    path: str
    picture: str
    boxes: list[Box]
    labels: list[Label]


def corrections(run: Path, facts: Facts, count: int) -> tuple[list[Corrected], str]:
    """Find the photographs whose labels changed most, and look at them again with the trained student.

    Args:
        run: folder of the run.
        facts: of it.
        count: photographs at most.

    Returns:
        The photographs, the largest change first; and why there are none, where there are none.
    """
    tables = on_disk.files(run)
    if len(tables) < 2:
        return [], "the labels were never updated"
    try:
        model = trained.load(run)
        images = model.source.load("train")
    except UserError as error:
        return [], f"the photographs could not be looked up: {error}"
    backend, _ = evaluation_conditions(model.recipe)
    before, after = (_table(file, facts.run["class_names"]) for file in (tables[0], tables[-1]))
    if len(before) != len(images):
        return [], "the data set is not the one of the run any more"
    order = np.argsort(-np.abs(after - before).max(axis=1), kind="stable")[:count]
    tau = float(facts.summary.get("tau") or model.recipe.relabel.min_tau)
    found = list(_looked_up(model, images, backend, order, (before, after), tau))
    return found, "" if found else "none of the photographs can be read any more"


def unseen(facts: Facts) -> str:
    """Say why there may be no gallery although nothing went wrong."""
    return "" if facts.summary["stages"].get("relabel") else "the labels were never updated"


def _table(file: Path, names: list[str]) -> NDArray[np.float32]:
    table = on_disk.read(file, names)
    return np.stack([table.column(name).to_numpy() for name in names], axis=1).astype(np.float32)


@torch.inference_mode()
def _looked_up(
    model: Trained,
    images: ImageSet,
    backend: ViewBackend,
    rows: NDArray[np.int64],
    tables: tuple[NDArray[np.float32], NDArray[np.float32]],
    tau: float,
) -> Iterator[Corrected]:
    size, knobs = model.recipe.student.relabel_size, model.recipe.relabel
    for row in rows.tolist():
        photograph = backend.decode(images.files(np.array([row])), np.array([row]))
        if not len(photograph):
            continue
        height, width = (int(side) for side in photograph.sizes[0])
        logits, cam = model.student(backend.whole(photograph, size, STUDENT_FILTER))
        found = boxes_of_active_classes(logits, cam, tau, size, knobs.cam_threshold, knobs.margin)
        probabilities = torch.sigmoid(logits[0]).tolist()
        best = sorted(range(len(found.classes)), key=lambda k: -probabilities[found.classes[k]])[:BOXES]
        inside = to_image_boxes(found.boxes[best] / size, np.repeat(photograph.sizes, len(best), axis=0), 1)
        whole = np.array([[0, 0, width, height]], dtype=np.int64)
        square = backend.crop(photograph, np.array([0]), whole, SIDE, "bilinear")[0]
        crops = backend.crop(photograph, np.zeros(len(best), dtype=np.int64), inside, CROP_SIDE, "bilinear")
        scale = SIDE / max(width, height)
        yield Corrected(
            path=images.paths[row],
            picture=_url(square, (max(round(width * scale), 1), max(round(height * scale), 1))),
            boxes=[
                Box(
                    model.class_names[found.classes[k]],
                    probabilities[found.classes[k]],
                    _style(box, width, height),
                    _url(crop, (CROP_SIDE, CROP_SIDE)),
                    place,
                    below,
                )
                for place, (k, box, crop, below) in enumerate(
                    zip(best, inside, crops, names_above(inside / [width, height, width, height]), strict=True)
                )
            ],
            labels=_labels(images, row, model.class_names, tables[0][row], tables[1][row]),
        )


def _labels(
    images: ImageSet, row: int, names: tuple[str, ...], before: NDArray[np.float32], after: NDArray[np.float32]
) -> list[Label]:
    """Tell of the classes that changed most, in the order of their last label."""
    changed = np.argsort(-np.maximum(np.abs(after - before), 0.5 * after), kind="stable")[:TOLD]
    known = images.truth is not None and bool(images.known[row])
    truth = images.truth[row] if images.truth is not None and known else None
    return [
        Label(names[c], float(before[c]), float(after[c]), None if truth is None else bool(truth[c]))
        for c in sorted(changed.tolist(), key=lambda c: -after[c])
    ]


def names_above(boxes: NDArray[np.float64]) -> list[int]:
    """Count, for each box, the earlier ones whose names would hide its own.

    Args:
        boxes: (M, 4), in shares of the photograph.
    """
    near: NDArray[np.bool_] = np.all(np.abs(boxes[:, None, :2] - boxes[None, :, :2]) < NEAR, axis=2)
    return [int(near[place, :place].sum()) for place in range(len(near))]


def _style(box: NDArray[np.int64], width: int, height: int) -> str:
    """Give a box as CSS, in percent of the picture."""
    x0, y0, x1, y1 = (int(side) for side in box)
    edges = {"left": x0 / width, "top": y0 / height, "width": (x1 - x0) / width, "height": (y1 - y0) / height}
    return ";".join(f"{edge}:{100 * share:.2f}%" for edge, share in edges.items())


def _url(pixels: torch.Tensor, size: tuple[int, int]) -> str:
    """Give a square picture, (S, S, 3) uint8, resized to width and height, as a data URL."""
    file = io.BytesIO()
    Image.fromarray(pixels.cpu().numpy()).resize(size, Image.Resampling.BILINEAR).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
