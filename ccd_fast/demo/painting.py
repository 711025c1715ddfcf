"""Marks and how they are laid on a canvas: a drawing is a list of marks, from back to front.

A mark is an outline with a colour, a way of shading it, and perhaps a texture. Drawings carry no pixels, so
that one drawing can be laid at any size, turned, mirrored, and lit from any side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, floor
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from ccd_fast.demo.palette import Colour
from ccd_fast.demo.shapes import Points

Shade = Literal["flat", "side", "ball", "down"]
Light = tuple[float, float]

_LIT_AND_SHADOW = np.array([[255.0, 250.0, 222.0], [40.0, 24.0, 70.0]], np.float32)
_GRID = 12

# Lines thinner than this, in pixels, are left out; marks smaller than that are not shaded. Neither would show.
_FINEST = 0.3
_TINY = 10
_NOISE = np.random.default_rng(20240).normal(0, 1, (192, 192)).astype(np.float32)


@dataclass(frozen=True)
class Mark:
    """One painted outline.

    Attributes:
        points: (N, 2) outline, or the line to follow where `width` is not 0; or (K, N, 2) for K of them
            painted at once.
        colour: RGB, 0 to 255.
        shade: flat; lit from one side; lit like a ball; or running from `colour` down to `into`.
        depth: How strong the light and the shadow are, 0 to 1.
        into: The colour at the bottom of a "down" mark.
        grain: Strength of a rough texture, 0 to about 0.3.
        opacity: 0 to 1.
        width: Line width in the unit of the points; 0 fills the outline.
        blur: Softness of the edge in the unit of the points; such a mark does not count for the size.
        clip: An outline outside which the mark is not painted.
    """

    points: Points
    colour: Colour
    shade: Shade = "side"
    depth: float = 0.28
    into: Colour | None = None
    grain: float = 0.0
    opacity: float = 1.0
    width: float = 0.0
    blur: float = 0.0
    clip: Points | None = None

    def moved(self, x: float, y: float, scale: float = 1.0, turn: float = 0.0, mirror: bool = False) -> Mark:
        """Returns the mark mirrored, turned (degrees), scaled and then shifted."""
        c, s = scale * np.cos(np.radians(turn)), scale * np.sin(np.radians(turn))
        flip = -1.0 if mirror else 1.0
        matrix = np.array([[flip * c, flip * s], [-s, c]])
        return Mark(
            self.points @ matrix + (x, y), self.colour, self.shade, self.depth, self.into, self.grain, self.opacity,
            self.width * scale, self.blur * scale, None if self.clip is None else self.clip @ matrix + (x, y),
        )  # fmt: skip


Drawing = list[Mark]


def line(points: Points, width: float, colour: Colour, opacity: float = 1.0, clip: Points | None = None) -> Mark:
    """Returns a flat line of the given width."""
    return Mark(points, colour, "flat", width=width, opacity=opacity, clip=clip)


def moved(
    drawing: Iterable[Mark], x: float, y: float, scale: float = 1.0, turn: float = 0.0, mirror: bool = False
) -> Drawing:
    """Returns all marks of a drawing mirrored, turned, scaled and shifted together."""
    return [mark.moved(x, y, scale, turn, mirror) for mark in drawing]


def clipped(drawing: Iterable[Mark], clip: Points) -> Drawing:
    """Returns the drawing with every mark kept inside the outline."""
    return [replace(mark, clip=clip) for mark in drawing]


def _mask(points: Points, width: float, size: tuple[int, int], fine: int, level: int = 255) -> Image.Image:
    """Returns the coverage, L mode, of outlines given in pixels; `fine` squared samples a pixel."""
    mask = Image.new("L", (size[0] * fine, size[1] * fine), 0)
    pen = ImageDraw.Draw(mask)
    # Pillow's lines have whole coordinates at the middle of a pixel, its polygons (measured) at the corner.
    at = points * fine - (0.5 if width else 0.0)
    for outline in at if at.ndim == 3 else (at,):
        corners = outline.ravel().tolist()
        if not width:
            pen.polygon(corners, fill=level)
            continue
        thick = max(width * fine, 1.0)
        pen.line(corners, fill=level, width=max(1, round(thick)))
        if thick > 4 and len(outline) > 2:
            for x, y in outline[_bends(outline)].tolist():
                pen.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=level)
    return mask.reduce(fine) if fine > 1 else mask


def _soft_mask(points: Points, blur: float, size: tuple[int, int], level: int) -> Image.Image:
    """Returns the coverage of a blurred outline, worked out small since no fine detail survives the blur."""
    coarse = max(1, int(blur / 3))
    small = size[0] // coarse + 1, size[1] // coarse + 1
    mask = _mask(points / coarse, 0.0, small, 1, level).filter(ImageFilter.GaussianBlur(blur / coarse))
    return mask.resize((small[0] * coarse, small[1] * coarse), Image.Resampling.BILINEAR).crop((0, 0, *size))


def _bends(outline: Points) -> npt.NDArray[np.bool_]:
    """Returns which points need a round dot: the ends, and where a thick line turns sharply."""
    step = np.diff(outline, axis=0)
    heading = np.arctan2(step[:, 1], step[:, 0])
    turn = np.abs((np.diff(heading) + np.pi) % (2 * np.pi) - np.pi)
    return np.concatenate([[True], turn > 0.08, [True]])


@lru_cache(maxsize=256)
def _tones(shade: Shade, light: Light, count: int) -> npt.NDArray[np.float32]:
    """Returns (count * count, 2): how lit and how shadowed each spot of a coarse grid is; for "down", how low."""
    steps = np.linspace(-1, 1, count, dtype=np.float32)
    v, u = steps[:, None], steps[None, :]
    if shade == "down":
        low = np.broadcast_to((v + 1) / 2, (count, count)).astype(np.float32)
        return np.stack([low, np.zeros_like(low)], axis=-1).reshape(-1, 2)
    if shade == "ball":
        tone = 0.9 - 1.1 * ((u - 0.42 * light[0]) ** 2 + (v - 0.42 * light[1]) ** 2)
    else:
        tone = u * light[0] + v * light[1]
    tone = np.clip(tone, -1.3, 1.0).astype(np.float32)
    return np.stack([np.maximum(tone, 0), np.maximum(-tone, 0)], axis=-1).reshape(-1, 2)


def _pixels(mark: Mark, light: Light, size: tuple[int, int]) -> Image.Image:
    """Returns the shaded colours of a mark: worked out on a coarse grid, then stretched to the size."""
    count = _GRID if not mark.grain else min(max(max(size) // 3, 8), 72)
    base = np.array(mark.colour, np.float32)
    if mark.shade == "down" and mark.into is not None:
        pull = np.array([mark.into, mark.into], np.float32) - base
    elif mark.shade == "flat":
        pull = np.zeros((2, 3), np.float32)
    else:
        pull = mark.depth * (_LIT_AND_SHADOW - base)
    colours = _tones(mark.shade, light, count) @ pull + base
    if mark.grain:
        # A place in the noise that depends on the colour: stable, yet not the same for every mark.
        top, left = int(sum(mark.colour)) % 96, int(mark.colour[0] * 7 + mark.colour[2]) % 96
        colours *= 1 + mark.grain * _NOISE[top : top + count, left : left + count].reshape(-1, 1)
        np.clip(colours, 0, 255, out=colours)
    tile = Image.frombytes("RGB", (count, count), colours.astype(np.uint8).tobytes())
    if mark.shade == "down" and not mark.grain:
        # All columns are alike: interpolating one and repeating it is several times faster.
        column = tile.crop((0, 0, 1, count)).resize((1, size[1]), Image.Resampling.BILINEAR)
        return column.resize(size, Image.Resampling.NEAREST)
    return tile.resize(size, Image.Resampling.BICUBIC if mark.shade == "ball" else Image.Resampling.BILINEAR)


def _bounds(outline: Points, reach: float) -> tuple[int, int, int, int]:
    """Returns the pixels x0, y0, x1, y1 that outlines widened by `reach` lie within."""
    flat = outline.reshape(-1, 2)
    (left, top), (right, bottom) = flat.min(0).tolist(), flat.max(0).tolist()
    return floor(left - reach), floor(top - reach), ceil(right + reach), ceil(bottom + reach)


def _lay_mark(
    canvas: Image.Image, mark: Mark, outline: Points, clip: Points | None, scale: float, light: Light
) -> None:
    """Paints one mark whose outline and clip have been turned into pixels already."""
    width, blur = mark.width * scale, mark.blur * scale
    if mark.width and width < _FINEST:
        return
    reach = width / 2 + 2.5 * blur + 1
    x0, y0, x1, y1 = _bounds(outline, reach)
    if clip is not None:
        left, top, right, bottom = _bounds(clip, 1)
        x0, y0, x1, y1 = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, canvas.width), min(y1, canvas.height)
    if x0 >= x1 or y0 >= y1:
        return
    low = (x0, y0)
    size = x1 - x0, y1 - y0
    fine = 3 if max(size) < 90 else 2
    level = round(255 * mark.opacity)
    at = outline - low
    mask = _soft_mask(at, blur, size, level) if blur else _mask(at, width, size, fine, level)
    if clip is not None:
        mask = ImageChops.multiply(mask, _mask(clip - low, 0.0, size, fine))
    if (mark.shade == "flat" and not mark.grain) or max(size) < _TINY:
        r, g, b = (round(c) for c in mark.colour)
        canvas.paste((r, g, b, 255) if canvas.mode == "RGBX" else (r, g, b), (x0, y0, x1, y1), mask)
    else:
        canvas.paste(_pixels(mark, light, size), (x0, y0), mask)


def lay(
    canvas: Image.Image,
    drawing: Drawing,
    scale: float,
    light: Light,
    ink: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Paints a drawing on a canvas.

    Args:
        canvas: RGB, or RGBX whose X is read as alpha, premultiplied: laying opaque paint through a soft mask is
            then exactly the "over" rule, on transparent ground too. (Not RGBA: Pillow treats that otherwise,
            filling transparent pixels with the colour in full, which would leave bright fringes.)
        drawing: Marks from back to front; their unit times `scale` gives pixels.
        scale: Pixels to a unit.
        light: Unit vector that points to where the light comes from, y downwards.
        ink: Width in pixels of a dark line round each filled mark; 0 for none.
        shift: Where in pixels the origin of the drawing comes to lie.
    """
    for mark in drawing:
        outline = mark.points * scale + shift
        clip = None if mark.clip is None else mark.clip * scale + shift
        _lay_mark(canvas, mark, outline, clip, scale, light)
        if ink and not (mark.width or mark.blur) and mark.opacity == 1 and clip is None and outline.ndim == 2:
            r, g, b = mark.colour
            edge = np.concatenate([outline, outline[:2]])
            pencil = line(edge, ink, (r * 0.32 + 8, g * 0.28 + 6, b * 0.32 + 14))
            _lay_mark(canvas, pencil, edge, None, 1.0, light)


def sprite(
    drawing: Drawing, size: float, light: Light, turn: float = 0.0, mirror: bool = False, ink: float = 0.0
) -> Image.Image:
    """Returns the drawing as an RGBA picture (straight alpha) just large enough to hold it.

    Args:
        drawing: Marks in any unit.
        size: Longer side of all that has a firm edge, in pixels.
        light: Unit vector towards the light.
        turn: Degrees clockwise.
        mirror: Whether left and right are swapped (before the turn).
        ink: Width of the dark outlines in pixels; 0 for none.
    """
    turned = moved(drawing, 0, 0, 1.0, turn, mirror)
    low, high = _extent([mark for mark in turned if not mark.blur and mark.clip is None] or turned)
    scale = size / float((high - low).max())
    glows = [mark for mark in turned if mark.blur and mark.clip is None]
    if glows:
        glow_low, glow_high = _extent(glows)
        low, high = np.minimum(low, glow_low), np.maximum(high, glow_high)
    margin = ink / 2 + 1
    width, height = np.ceil((high - low) * scale + 2 * margin - 1e-6).astype(int).tolist()
    canvas = Image.new("RGBX", (width, height), (0, 0, 0, 0))
    x, y = (margin - low * scale).tolist()
    lay(canvas, turned, scale, light, ink, (x, y))
    return Image.frombytes("RGBa", canvas.size, canvas.tobytes()).convert("RGBA")


def _extent(drawing: Drawing) -> tuple[Points, Points]:
    """Returns the lowest and the highest x, y that the marks reach."""
    reach = np.array([[mark.width / 2 + 2.5 * mark.blur] for mark in drawing])
    low = np.array([mark.points.reshape(-1, 2).min(0) for mark in drawing]) - reach
    high = np.array([mark.points.reshape(-1, 2).max(0) for mark in drawing]) + reach
    return low.min(0), high.max(0)
