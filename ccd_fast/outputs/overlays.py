"""Where a student looked: its class activation maps over the photographs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from ccd_fast.outputs.trained import Trained
from ccd_fast.student import STUDENT_FILTER
from ccd_fast.views import ViewBackend

LONGEST = 1024
"""Longest side of an overlay, in pixels."""
LONGEST_NAME = 100
"""Bytes of a photograph's name, and of a class's, in the name of an overlay."""
STRENGTH = 0.6
"""Share of the colour where a map is highest."""
COLD, WARM = np.array([40.0, 20.0, 90.0]), np.array([255.0, 190.0, 40.0])
"""Colours, RGB, where a map is lowest and highest."""
FLAT = 1e-5


@torch.inference_mode()
def draw(model: Trained, backend: ViewBackend, wanted: Mapping[Path, Sequence[str]], folder: Path) -> int:
    """Draw the maps of some classes of each photograph, a PNG each, ``NAME-CLASS.png``; numbered where names repeat.

    Args:
        model: a trained student.
        backend: of the views.
        wanted: photographs that can be read, each with the names of its classes.
        folder: where the pictures go.

    Returns:
        How many were drawn.
    """
    size, taken = model.recipe.student.image_size, set[str]()
    for file, names in wanted.items():
        photograph = backend.decode([file], np.arange(1))
        _, cam = model.student(backend.whole(photograph, size, STUDENT_FILTER))
        height, width = (int(side) for side in photograph.sizes[0])
        scale = min(1.0, LONGEST / max(height, width))
        shape = max(round(height * scale), 1), max(round(width * scale), 1)
        square = max(shape)
        whole = np.array([[0, 0, width, height]], dtype=np.int64)
        picture = backend.crop(photograph, np.zeros(1, dtype=np.int64), whole, square, "bilinear")[0].cpu().numpy()
        shown = np.asarray(Image.fromarray(picture).resize(shape[::-1], Image.Resampling.BILINEAR))
        for name in names:
            heat = interpolate(cam[:1, [model.class_names.index(name)]], shape, mode="bilinear")[0, 0]
            Image.fromarray(blended(shown, heat.cpu().numpy())).save(folder / f"{titled(file.stem, name, taken)}.png")
    return len(taken)


def titled(photograph: str, class_name: str, taken: set[str]) -> str:
    """Name an overlay, within what a file system takes; ``taken`` are the names so far, to which it is added."""
    name = f"{_cut(photograph, LONGEST_NAME)}-{''.join(c if c.isalnum() else '-' for c in class_name)}"
    number, title = 1, _cut(name, 2 * LONGEST_NAME)
    while title in taken:
        number += 1
        title = f"{_cut(name, 2 * LONGEST_NAME)}-{number}"
    taken.add(title)
    return title


def _cut(text: str, most: int) -> str:
    """Give the beginning of a text that is so many bytes at most, in whole letters."""
    return text.encode()[:most].decode(errors="ignore")


def blended(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour a picture by a map, the more the higher it is.

    Args:
        picture: (H, W, 3).
        heat: (H, W), any range; it is normalised as for the boxes (section 4).
    """
    share = ((heat - heat.min()) / (heat.max() - heat.min() + FLAT))[..., None]
    colour = COLD + share * (WARM - COLD)
    mixed = picture * (1 - STRENGTH * share) + colour * STRENGTH * share
    coloured: NDArray[np.uint8] = mixed.round().clip(0, 255).astype(np.uint8)
    return coloured
