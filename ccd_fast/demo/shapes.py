"""Outlines: functions that give (N, 2) arrays of x, y points, y growing downwards, in any unit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


def points(*pairs: tuple[float, float]) -> Points:
    """Returns the given corners as a (N, 2) array."""
    return np.asarray(pairs, dtype=np.float64)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Returns the four corners of an upright rectangle."""
    return points((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, count: int = 24) -> Points:
    """Returns points along an elliptic arc; angles in degrees, 0 to the right, 90 downwards."""
    return _unit_arc(start, end, count) * (rx, ry) + (cx, cy)


@lru_cache(maxsize=512)
def _unit_arc(start: float, end: float, count: int) -> Points:
    angle = np.radians(np.linspace(start, end, count))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None, turn: float = 0.0) -> Points:
    """Returns a closed ellipse (a circle when `ry` is left out), turned by `turn` degrees."""
    if not turn:
        return arc(cx, cy, rx, rx if ry is None else ry, 0, 352, 44)
    return spun(arc(0, 0, rx, rx if ry is None else ry, 0, 352, 44), turn, cx, cy)


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> Points:
    """Returns a rectangle with rounded corners."""
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    corners = ((x1 - r, y0 + r, -90), (x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180))
    return np.concatenate([arc(x, y, r, r, start, start + 90, 7) for x, y, start in corners])


def spun(outline: Points, degrees: float, x: float = 0.0, y: float = 0.0) -> Points:
    """Returns the outline turned clockwise (as seen on screen) about the origin, then shifted by x, y."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned: Points = outline @ np.array([[c, s], [-s, c]]) + (x, y)
    return turned


def mirrored(outline: Points) -> Points:
    """Returns the outline reflected left to right about x = 0, in reversed order."""
    return outline[::-1] * (-1.0, 1.0)


def smooth(corners: Points, closed: bool = True, steps: int = 8) -> Points:
    """Returns a Catmull-Rom curve through the corners, `steps` points to each span."""
    if closed:
        ring = np.concatenate([corners[-1:], corners, corners[:2]])
    else:
        ring = np.concatenate([2 * corners[:1] - corners[1:2], corners, 2 * corners[-1:] - corners[-2:-1]])
    a, b, c, d = (ring[i : len(ring) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3) / 2
    flat: Points = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, corners[-1:]])


def symmetric(right_side: Points, steps: int = 8) -> Points:
    """Returns the smooth closed outline whose right half runs through the given points, top to bottom."""
    return smooth(np.concatenate([right_side, mirrored(right_side)]), steps=steps)


def ribbon(spine: Points, widths: Sequence[float]) -> Points:
    """Returns the outline of a band along `spine` whose width runs evenly through `widths`."""
    along = np.gradient(spine, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = np.interp(np.linspace(0, 1, len(spine)), np.linspace(0, 1, len(widths)), widths)[:, None] / 2
    tip = spine[-1] + arc(0, 0, 1, 1, 0, 360, 12) * 1e-6
    return np.concatenate([spine + normal * half, tip[:1], (spine - normal * half)[::-1]])


def wobbled(rng: np.random.Generator, outline: Points, amount: float, waves: int = 5) -> Points:
    """Returns the outline pushed in and out along its radius by a few slow random waves.

    Args:
        rng: Where the waves come from.
        outline: A closed (N, 2) outline, star-shaped about its middle.
        amount: Height of the waves as a share of the radius.
        waves: How many waves run round the outline at most.
    """
    middle = (outline.min(0) + outline.max(0)) / 2
    angle = np.arctan2(*(outline - middle).T[::-1])
    height = np.zeros(len(outline))
    for wave in range(2, waves + 1):
        height += rng.normal() * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    pushed: Points = middle + (outline - middle) * (1 + amount * height / np.sqrt(waves))[:, None]
    return pushed


def star(cx: float, cy: float, outer: float, inner: float, tips: int, turn: float = 0.0) -> Points:
    """Returns a star with `tips` tips between two radii."""
    angle = np.radians(turn - 90 + np.arange(2 * tips) * 180 / tips)
    radius = np.where(np.arange(2 * tips) % 2, inner, outer)
    return np.stack([cx + radius * np.cos(angle), cy + radius * np.sin(angle)], axis=1)
