"""A run's photographs, opened again for its page, and small copies of them."""

import base64
import io
from collections.abc import Iterator, Sequence
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
from ccd_fast.training.passes import evaluation_conditions
from ccd_fast.views import ViewBackend

AT_ONCE = 16
"""Photographs that are decoded together."""


@dataclass(frozen=True)
class Album:
    """What the page looks at again.

    Attributes:
        model: the trained student, with its recipe and class names.
        images: the N training images.
        backend: decodes and cuts them.
        before: (N, C) float32, the first labels.
        after: the last labels, of the same form.
        updated: whether labels were updated at all.
    """

    model: Trained
    images: ImageSet
    backend: ViewBackend
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    updated: bool

    def truth(self, row: int, class_index: int) -> bool | None:
        """Tell whether a photograph has a class; None where that is not known."""
        if self.images.truth is None or not self.images.known[row]:
            return None
        return bool(self.images.truth[row, class_index])

    def copies(self, rows: Sequence[int], side: int) -> Iterator[tuple[int, str]]:
        """Give the photographs that can be read, as data URLs.

        Args:
            rows: which.
            side: the longer side of the copy, in pixels.
        """
        for start in range(0, len(rows), AT_ONCE):
            chunk = np.array(rows[start : start + AT_ONCE], dtype=np.int64)
            photographs = self.backend.decode(self.images.files(chunk), chunk)
            height, width = photographs.sizes.T
            corners = np.zeros(len(photographs), dtype=np.int64)
            whole = np.stack([corners, corners, width, height], axis=1).astype(np.int64)
            squares = self.backend.crop(photographs, np.arange(len(photographs)), whole, side, "bilinear")
            for row, square, size in zip(photographs.rows.tolist(), squares, photographs.sizes.tolist(), strict=True):
                yield row, url(square, within(side, size[1], size[0]))


def open_again(run: Path, class_names: Sequence[str]) -> Album:
    """Open the photographs of a run that has ended.

    Args:
        run: its folder.
        class_names: C names.

    Raises:
        UserError: they are not where they were; it says why, to stand behind a colon.
    """
    tables = on_disk.files(run)
    try:
        model = trained.load(run)
        images = model.source.load("train")
    except UserError as error:
        raise UserError(f"the photographs could not be looked up: {error}") from error
    before, after = (on_disk.of_classes(file, len(class_names)) for file in (tables[0], tables[-1]))
    if len(after) != len(images):
        raise UserError("the data set is not the one of the run any more")
    backend, _ = evaluation_conditions(model.recipe)
    return Album(model, images, backend, before, after, updated=len(tables) > 1)


def within(side: int, width: int, height: int) -> tuple[int, int]:
    """Give width and height of a copy whose longer side is given, in pixels."""
    scale = side / max(width, height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def url(pixels: torch.Tensor, size: tuple[int, int]) -> str:
    """Give a square picture, (S, S, 3) uint8, resized to width and height, as a data URL."""
    file = io.BytesIO()
    Image.fromarray(pixels.cpu().numpy()).resize(size, Image.Resampling.BILINEAR).save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
