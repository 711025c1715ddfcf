"""Parts that backgrounds are made of: bands of colour, skies, hills, grass, specks."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line
from ccd_fast.demo.palette import SKY, WHITE, Colour, lighter, some
from ccd_fast.demo.shapes import Points, arc, ellipse, points, rectangle, smooth

# A drawing one unit high and `aspect` units wide, and the height at which its ground starts.
Backdrop = tuple[Drawing, float]

DOT = arc(0, 0, 1, 1, 0, 330, 12)


def fall(top: float, low: float, aspect: float, colour: Colour, into: Colour, grain: float = 0.0) -> Mark:
    """Returns a band across the picture whose colour runs from top to bottom."""
    return Mark(rectangle(-0.02, top, aspect + 0.02, low), colour, "down", into=into, grain=grain)


def specks(
    rng: np.random.Generator, aspect: float, top: float, low: float, count: int, radius: float, flat: float = 1.0
) -> Points:
    """Returns (count, 12, 2) little ellipses strewn over a band of the picture."""
    places = rng.uniform((0, top), (aspect, low), (count, 2))[:, None]
    return places + DOT * (1, flat) * rng.uniform(0.4, 1.0, (count, 1, 1)) * radius


def hills(rng: np.random.Generator, aspect: float, level: float, height: float, steps: int = 7) -> Points:
    """Returns rolling ground that rises `height` at most above `level` and runs to the bottom."""
    x = np.linspace(-0.2, aspect + 0.2, steps)
    ridge = smooth(np.stack([x, level - rng.uniform(0, height, steps)], axis=1), closed=False)
    return np.concatenate([ridge, points((aspect + 0.2, 1.05), (-0.2, 1.05))])


def tufts(rng: np.random.Generator, aspect: float, top: float, count: int, colour: Colour) -> Mark:
    """Returns little strokes of grass over the ground, larger towards the front."""
    y = rng.uniform(top, 1.0, (count, 1, 1))
    at = np.concatenate([rng.uniform(0, aspect, (count, 1, 1)), y], axis=2)
    blade = points((-0.5, -1.0), (-0.12, 0), (0.05, -1.2), (0.2, 0), (0.6, -0.9))
    return line(at + blade * (0.012 + 0.03 * (y - top)), 0.006, colour, 0.75)


def clouds(rng: np.random.Generator, aspect: float, low: float, colour: Colour = WHITE) -> Drawing:
    """Returns up to three heaps of cloud above the height `low`."""
    marks: Drawing = []
    for _ in range(int(rng.integers(0, 4))):
        x, y, r = rng.uniform(0, aspect), rng.uniform(0.04, low), rng.uniform(0.04, 0.1)
        for dx, dy, s in ((-1.2, 0.25, 0.7), (0, 0, 1.0), (1.1, 0.2, 0.8), (0.3, 0.35, 1.1)):
            marks.append(
                Mark(ellipse(x + dx * r, y + dy * r, s * r * 1.1, s * r * 0.6), colour, "ball", 0.1, opacity=0.85)
            )
    return marks


def day_sky(rng: np.random.Generator, aspect: float, horizon: float) -> Drawing:
    """Returns a sky by day or at dusk, with clouds, down to the horizon."""
    top = some(rng, (SKY, (120, 190, 230), (150, 196, 226), (236, 180, 140), (170, 190, 214), (250, 214, 150)))
    return [fall(-0.02, horizon + 0.05, aspect, top, lighter(top, 0.7)), *clouds(rng, aspect, horizon * 0.6)]
