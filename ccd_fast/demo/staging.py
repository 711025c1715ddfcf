"""How a picture is put together: objects and clutter are placed from far to near, none hidden too far."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from ccd_fast.demo.clutter import CLUTTER
from ccd_fast.demo.objects import CLASS_NAMES, OBJECT_KINDS
from ccd_fast.demo.painting import Light, Mark, lay, sprite
from ccd_fast.demo.shapes import ellipse
from ccd_fast.demo.themes import Theme

# At least this share of an object must be in sight when all is drawn, else it is placed elsewhere or left out.
VISIBLE_SHARE = 0.35
_INSIDE_SHARE = 0.62
_TRIES = 10
SHINING = tuple(CLASS_NAMES.index(name) for name in ("sun", "moon"))
_GRAIN = np.random.default_rng(99).normal(0, 1, (700, 700, 1)).astype(np.float32)


@dataclass(frozen=True)
class Piece:
    """Something to be placed: an object of a class, or clutter (class None).

    Attributes:
        picture: RGBA sprite.
        class_index: Which class, None for clutter.
        x: Where its middle should be, as a share of the width.
        base: Where its lower edge should be, as a share of the height.
        grounded: Whether it throws a shadow on the ground.
    """

    picture: Image.Image
    class_index: int | None
    x: float
    base: float
    grounded: bool


@dataclass
class Stage:
    """A picture under way.

    Attributes:
        canvas: RGB picture so far.
        light: Unit vector to the light.
        owner: (H, W) which piece is seen at each pixel, -1 for the background.
        areas: Pixels of each placed piece, hidden or out of the picture ones included.
        seen: Pixels of each placed piece still in sight.
        classes: Class of each placed piece, None for clutter.
    """

    canvas: Image.Image
    light: Light
    owner: npt.NDArray[np.int8]
    areas: list[int] = field(default_factory=list)
    seen: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    classes: list[int | None] = field(default_factory=list)

    def release(self) -> None:
        """Turns all that stands there into background: it may be hidden, and is not reported."""
        self.areas, self.seen, self.classes = [], self.seen[:0], []
        self.owner[:] = -1


def set_stage(rng: np.random.Generator, theme: Theme, width: int, height: int) -> tuple[Stage, float]:
    """Draws the background; returns the stage, and the height of the ground's edge as a share of the picture's."""
    angle = rng.uniform(np.radians(200), np.radians(340))
    light = float(np.cos(angle)), float(np.sin(angle))
    canvas = Image.new("RGB", (width, height))
    backdrop, horizon = theme.backdrop(rng, width / height)
    lay(canvas, backdrop, height, light)
    return Stage(canvas, light, np.full((height, width), -1, np.int8)), horizon


def draw_piece(
    rng: np.random.Generator, stage: Stage, theme: Theme, horizon: float, class_index: int, size: float, ink: float
) -> Piece:
    """Draws an object of a class and says where in the theme it should stand.

    Args:
        rng: Source of all its chances.
        stage: The picture it is for.
        theme: The theme of that picture.
        horizon: Upper edge of the ground as a share of the height.
        class_index: Which class.
        size: Longer side in pixels.
        ink: Width of outlines in pixels, 0 for none.
    """
    kind = OBJECT_KINDS[class_index]
    tilt = kind.tilt * (2.2 if theme.loose else 1.0)
    picture = sprite(kind.draw(rng), size, stage.light, rng.normal(0, tilt), kind.mirror and rng.random() < 0.5, ink)
    if class_index not in SHINING:
        picture = _lit(picture, theme)
    tall = picture.height / stage.canvas.height
    x, far = rng.uniform(0.08, 0.92), rng.random()
    aloft = theme.loose or (kind.place == "sky" and (kind.name != "bird" or rng.random() < 0.7))
    if aloft:
        room = 1.0 if theme.loose else max(horizon, 0.3)
        base = rng.uniform(0.02, max(room - tall, 0.04)) + tall
    else:
        # The nearer, the lower in the picture; what is large is near.
        near = 0.35 * far + 0.65 * min(1.0, size / (0.6 * min(stage.canvas.size)))
        base = max(horizon + 0.05 + (0.97 - horizon) * near * rng.uniform(0.75, 1.0), min(tall * 0.9, 1.0))
    return Piece(picture, class_index, x, base, not aloft and kind.place != "water")


def draw_clutter(
    rng: np.random.Generator, stage: Stage, theme: Theme, horizon: float, size: float, ink: float
) -> Piece:
    """Draws something of no class that suits the theme, and says where it should lie."""
    name = theme.clutter[int(rng.integers(len(theme.clutter)))]
    turn = rng.normal(0, 40.0 if theme.loose else 5.0)
    if name == "cloud":
        ink = 0.0
    picture = _lit(sprite(CLUTTER[name](rng), size, stage.light, turn, rng.random() < 0.5, ink), theme)
    tall = picture.height / stage.canvas.height
    if name == "cloud" or theme.loose:
        base = rng.uniform(0.0, 1.0 if theme.loose else horizon * 0.7) + tall / 2
    else:
        base = rng.uniform(horizon + 0.06, 1.04)
    return Piece(picture, None, rng.uniform(0, 1), base, name != "cloud" and not theme.loose)


def _lit(picture: Image.Image, theme: Theme) -> Image.Image:
    """Returns the sprite in the light of the theme."""
    if theme.light == (1.0, 1.0, 1.0):
        return picture
    return picture.point([round(v * factor) for factor in (*theme.light, 1.0) for v in range(256)])


def place(rng: np.random.Generator, stage: Stage, piece: Piece) -> bool:
    """Puts a piece in front of all that stands on the stage, where it hides none of it too far.

    Tries a few places near the one wished for; returns whether one would do.
    """
    height, width = stage.owner.shape
    solid = np.asarray(piece.picture.getchannel("A")) > 127
    area = int(solid.sum())
    tall, wide = solid.shape
    for attempt in range(_TRIES):
        x = piece.x if not attempt else rng.uniform(0.02, 0.98)
        left, top = round(x * width - wide / 2), round(piece.base * height - tall)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, width), min(top + tall, height)
        if x0 >= x1 or y0 >= y1:
            continue
        inside = solid[y0 - top : y1 - top, x0 - left : x1 - left]
        if inside.sum() < _INSIDE_SHARE * area:
            continue
        below = stage.owner[y0:y1, x0:x1]
        left_over = stage.seen - np.bincount(below[inside] + 1, minlength=len(stage.areas) + 1)[1:]
        if (left_over < VISIBLE_SHARE * np.asarray(stage.areas)).any():
            continue
        below[inside] = len(stage.areas)
        stage.areas.append(area)
        stage.seen = np.append(left_over, int(inside.sum()))
        stage.classes.append(piece.class_index)
        if piece.grounded:
            _throw_shadow(stage, left, top, wide, tall)
        stage.canvas.paste(piece.picture, (left, top), piece.picture)
        return True
    return False


def _throw_shadow(stage: Stage, left: int, top: int, wide: int, tall: int) -> None:
    """Darkens the ground where a piece of this place and size stands."""
    middle = left + wide / 2 - stage.light[0] * wide * 0.08
    patch = ellipse(middle, top + tall - 0.015 * tall, wide * 0.46, max(2.0, wide * 0.07))
    lay(stage.canvas, [Mark(patch, (34, 24, 48), "flat", opacity=0.5, blur=max(1.0, wide * 0.035))], 1.0, stage.light)


def boxes(stage: Stage) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Returns the class and the box (x0, y0, x1, y1; half-open pixels) of what is seen of each object."""
    found = []
    for index, class_index in enumerate(stage.classes):
        if class_index is None:
            continue
        mine = stage.owner == index
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        found.append((class_index, box))
    return found


def developed(rng: np.random.Generator, canvas: Image.Image) -> npt.NDArray[np.uint8]:
    """Returns the picture as a camera would give it: exposure, colour cast, at times grain; (H, W, 3)."""
    exposure, contrast, cast = rng.uniform(-10, 12), rng.uniform(0.88, 1.08), rng.normal(1, 0.025, 3)
    levels = np.arange(256)
    table = np.clip((128 + (levels - 128) * contrast + exposure) * cast[:, None], 0, 255).round()
    pixels = np.asarray(canvas.point(table.astype(int).ravel().tolist()))
    if rng.random() < 0.3:
        row, column = rng.integers(0, 60, 2).tolist()
        patch = _GRAIN[row : row + pixels.shape[0], column : column + pixels.shape[1]]
        pixels = np.clip(pixels + patch * rng.uniform(2, 7), 0, 255).astype(np.uint8)
    return pixels
