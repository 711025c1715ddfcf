"""Pictures for the documentation: the two effects as bars, and a sheet of scenes."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ccd_fast.demo.composing import draw_scene

_INK, _GRID, _PALE, _STRONG = "#222222", "#dddddd", "#9db8d2", "#c8553d"
_HEIGHT = 420
_TOP, _BOTTOM = 50, 370


def effects_chart(views: Sequence[tuple[str, tuple[float, float]]], biases: Sequence[tuple[str, float]]) -> Image.Image:
    """Draw both effects.

    Args:
        views: for each group of objects its label, and the mean score in the whole scene and in the own box.
        biases: for each class its label and its mean top-1 score.
    """
    picture = Image.new("RGB", (1000, _HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((10, 8), "Score of an object's class, by size of its box", _INK, ImageFont.load_default(15))
    draw.rectangle((10, 31, 20, 41), _PALE)
    draw.text((25, 29), "in the whole scene", _INK, _font())
    draw.rectangle((150, 31, 160, 41), _STRONG)
    draw.text((165, 29), "in its own box", _INK, _font())
    _axis(draw, 40, 440)
    step = 400 / max(len(views), 1)
    for index, (label, (whole, crop)) in enumerate(views):
        left = 40 + index * step
        _bar(draw, left + 0.15 * step, 0.33 * step, whole, _PALE)
        _bar(draw, left + 0.5 * step, 0.33 * step, crop, _STRONG)
        draw.text((left + step / 2, _BOTTOM + 6), label, _INK, _font(), anchor="ma")
    draw.text((500, 8), "Mean top-1 score by class (share of plain names)", _INK, ImageFont.load_default(15))
    _axis(draw, 530, 990)
    step = 460 / max(len(biases), 1)
    for index, (label, score) in enumerate(biases):
        _bar(draw, 530 + (index + 0.15) * step, 0.7 * step, score, _PALE)
        _upright(picture, label, (round(530 + (index + 0.5) * step), _BOTTOM - 6))
    return picture


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)


def _axis(draw: ImageDraw.ImageDraw, left: float, right: float) -> None:
    for tick in range(0, 11, 2):
        y = _BOTTOM - (_BOTTOM - _TOP) * tick / 10
        draw.line((left, y, right, y), _GRID)
        draw.text((left - 6, y), f"{tick / 10:.1f}", _INK, _font(), anchor="rm")


def _bar(draw: ImageDraw.ImageDraw, left: float, width: float, value: float, colour: str) -> None:
    if value == value:  # a class that is never on top has no score
        draw.rectangle((left, _BOTTOM - (_BOTTOM - _TOP) * value, left + width, _BOTTOM), colour)


def _upright(picture: Image.Image, text: str, foot: tuple[int, int]) -> None:
    """Write upwards from a point, over a bar."""
    mask = Image.new("L", (150, 16))
    ImageDraw.Draw(mask).text((0, 8), text, 255, _font(), anchor="lm")
    turned = mask.rotate(90, expand=True)
    picture.paste(_INK, (foot[0] - 8, foot[1] - turned.height), turned)


def contact_sheet(seed: int, columns: int = 8, rows: int = 4, cell: tuple[int, int] = (120, 90)) -> Image.Image:
    """Draw the first training scenes of a world side by side, small.

    Args:
        seed: of the world.
        columns: scenes in a row.
        rows: of scenes.
        cell: width and height in pixels that a scene may take.
    """
    gap = 4
    sheet = Image.new("RGB", (columns * (cell[0] + gap), rows * (cell[1] + gap)), "white")
    for index in range(columns * rows):
        small = Image.fromarray(draw_scene(seed, "train", index).pixels)
        small.thumbnail(cell, Image.Resampling.LANCZOS)
        x = (index % columns) * (cell[0] + gap) + (cell[0] + gap - small.width) // 2
        y = (index // columns) * (cell[1] + gap) + (cell[1] + gap - small.height) // 2
        sheet.paste(small, (x, y))
    return sheet
