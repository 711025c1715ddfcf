"""Patterns that lie on a surface: stripes, dots, bricks, faces. Each is kept inside an outline."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line
from ccd_fast.demo.palette import INK, PINK, WHITE, Colour
from ccd_fast.demo.shapes import Points, arc, ellipse, points, rectangle, spun

_DOT = arc(0, 0, 1, 1, 0, 330, 12)


def stripes(clip: Points, colour: Colour, count: int, turn: float = 0.0, opacity: float = 1.0) -> Drawing:
    """Returns `count` bands across the outline, upright before the turn (degrees)."""
    low, high = clip.min(0), clip.max(0)
    middle, reach = (low + high) / 2, float(np.hypot(*(high - low))) / 2
    pitch = reach / count
    bands = [rectangle(-reach + 2 * i * pitch, -reach, -reach + (2 * i + 1) * pitch, reach) for i in range(count)]
    return [Mark(spun(np.stack(bands), turn) + middle, colour, opacity=opacity, clip=clip)]


def dots(rng: np.random.Generator, clip: Points, colour: Colour, radius: float, opacity: float = 1.0) -> Drawing:
    """Returns staggered dots over the outline."""
    low, high = clip.min(0), clip.max(0)
    pitch = radius * rng.uniform(3.0, 4.2)
    places = [
        (x, y)
        for row, y in enumerate(np.arange(low[1] + pitch * 0.4, high[1], pitch).tolist())
        for x in np.arange(low[0] + pitch * (0.25 + 0.5 * (row % 2)), high[0], pitch).tolist()
    ]
    if not places:
        return []
    return [Mark(_DOT * radius + np.array(places)[:, None], colour, "flat", opacity=opacity, clip=clip)]


def speckles(
    rng: np.random.Generator, clip: Points, colour: Colour, count: int, radius: float, opacity: float = 0.5
) -> Drawing:
    """Returns small round spots strewn over the outline."""
    places = rng.uniform(clip.min(0), clip.max(0), (count, 1, 2))
    sizes = rng.uniform(0.4, 1.0, (count, 1, 1)) * radius
    return [Mark(places + _DOT * sizes, colour, "flat", opacity=opacity, clip=clip)]


def courses(clip: Points, colour: Colour, height: float, joints: bool, opacity: float = 0.35) -> Drawing:
    """Returns the thin lines of planks, or of bricks where `joints` is true."""
    (left, top), (right, low) = clip.min(0).tolist(), clip.max(0).tolist()
    lines = []
    for row, y in enumerate(np.arange(top + height, low + height, height).tolist()):
        lines.append(points((left, y), (right, y)))
        if joints:
            offsets = np.arange(left + height * (0.6 + (row % 2)), right, 2 * height).tolist()
            lines += [points((x, y - height), (x, y)) for x in offsets]
    return [line(np.stack(lines), 0.014, colour, opacity, clip)]


def shine(outline: Points, opacity: float = 0.45) -> Mark:
    """Returns a soft white glint along the given outline."""
    return Mark(outline, (255, 255, 250), "flat", opacity=opacity)


def face(x: float, y: float, scale: float, smile: bool = True) -> Drawing:
    """Returns a small friendly face: two eyes, rosy cheeks, a mouth."""
    marks: Drawing = []
    for side in (-1, 1):
        marks.append(Mark(ellipse(x + side * 0.62 * scale, y + 0.2 * scale, 0.2 * scale), PINK, "flat", opacity=0.6))
        marks.append(Mark(ellipse(x + side * 0.4 * scale, y - 0.18 * scale, 0.11 * scale, 0.15 * scale), INK, "flat"))
        marks.append(
            Mark(ellipse(x + side * 0.4 * scale + 0.04 * scale, y - 0.24 * scale, 0.04 * scale), WHITE, "flat")
        )
    mouth = (
        arc(x, y + 0.12 * scale, 0.3 * scale, 0.24 * scale, 15, 165, 10)
        if smile
        else arc(x, y + 0.3 * scale, 0.12 * scale, 0.12 * scale, 0, 360, 12)
    )
    marks.append(line(mouth, 0.07 * scale, INK))
    return marks
