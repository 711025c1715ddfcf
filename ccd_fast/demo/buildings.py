"""How the house is drawn."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line, moved
from ccd_fast.demo.palette import (
    BRIGHT,
    BROWN,
    CREAM,
    LEMON,
    PASTEL,
    PINE,
    STONE,
    TEAL,
    WHITE,
    WOOD,
    Colour,
    contrasting,
    darker,
    lighter,
    some,
    varied,
)
from ccd_fast.demo.patterns import courses
from ccd_fast.demo.shapes import arc, ellipse, points, rectangle


def house(rng: np.random.Generator) -> Drawing:
    """Draws a house from the front: walls, a pitched roof, chimney, door and windows."""
    wall = some(rng, (*PASTEL, CREAM, (196, 104, 78), (232, 196, 120), (156, 196, 214)))
    tiles = contrasting(rng, wall, ((190, 80, 58), (110, 84, 96), (84, 104, 126), TEAL, (150, 62, 62), BROWN))
    half, eaves, peak = rng.uniform(0.55, 0.85), rng.uniform(-0.3, 0.05), rng.uniform(-0.98, -0.72)
    front = rectangle(-half, eaves, half, 0.92)
    marks: Drawing = []
    if rng.random() < 0.75:
        x = float(rng.choice([-0.55, 0.55])) * half
        stack = rectangle(x - 0.09, peak + 0.02, x + 0.09, eaves)
        marks += [Mark(stack, (176, 92, 72), depth=0.4), *courses(stack, CREAM, 0.07, True, 0.5)]
        marks.append(Mark(rectangle(x - 0.12, peak - 0.02, x + 0.12, peak + 0.05), (140, 76, 64)))
    hipped = rng.random() < 0.35
    gable = np.concatenate([front[[3, 2, 1]], points((0, peak)), front[:1]])
    facade = front if hipped else gable
    marks.append(Mark(facade, wall, "side", 0.2, grain=0.04))
    if rng.random() < 0.6:
        marks += courses(front, darker(wall, 0.5), 0.1, rng.random() < 0.6, 0.3)
    if hipped:
        roof = points(
            (-half - 0.14, eaves + 0.05), (-half * 0.6, peak), (half * 0.6, peak), (half + 0.14, eaves + 0.05)
        )
        marks += [Mark(roof, tiles, "side", 0.34, grain=0.05), *courses(roof, darker(tiles, 0.6), 0.1, True, 0.45)]
    else:
        slope = points((-half - 0.16, eaves + 0.1), (0, peak - 0.02), (half + 0.16, eaves + 0.1))
        inner = points((half + 0.1, eaves + 0.22), (0, peak + 0.17), (-half - 0.1, eaves + 0.22))
        marks.append(Mark(np.concatenate([slope, inner]), tiles, "side", 0.34))
        marks.append(line(slope, 0.035, lighter(tiles, 0.25)))
        marks += moved(_window(0.12, 0.12, True), 0, (eaves + peak) / 2 + 0.16)
    return marks + _front(rng, half, eaves)


def _front(rng: np.random.Generator, half: float, eaves: float) -> Drawing:
    """Returns the door, the windows and the plants of a house."""
    door_colour = some(rng, (*BRIGHT, *WOOD))
    x = float(rng.uniform(-0.5, 0.5)) * half if half > 0.7 else 0.0
    tall = rng.uniform(0.38, 0.48)
    door = np.concatenate(
        [points((x - 0.13, 0.92)), arc(x, 0.98 - tall, 0.13, 0.1, 180, 360, 12), points((x + 0.13, 0.92))]
    )
    marks: Drawing = [Mark(door * (1.0, 1.0), WHITE, "flat", width=0.05), Mark(door, door_colour, depth=0.3)]
    marks += courses(door, darker(door_colour, 0.5), 0.14, False, 0.5)
    marks.append(Mark(ellipse(x + 0.08, 0.74, 0.022), LEMON, "ball"))
    lit = rng.random() < 0.3
    pane = rng.uniform(0.12, 0.15)
    for spot in (-0.66, 0.0, 0.66):
        at = spot * half
        if abs(at - x) > 0.13 + pane + 0.03:
            marks += moved(_window(pane, pane * 1.15, False, lit), at, 0.62)
        if eaves < -0.1:
            marks += moved(_window(pane, pane * 1.05, False, lit), at, eaves + 0.32)
    for at in rng.uniform(-half, half, int(rng.integers(0, 4))).tolist():
        if abs(at - x) > 0.22:
            marks.append(Mark(ellipse(at, 0.88, 0.14, 0.1), varied(rng, PINE), "ball", 0.35, grain=0.08))
    return [*marks, Mark(rectangle(-half - 0.05, 0.9, half + 0.05, 0.97), STONE, depth=0.3)]


def _window(half: float, tall: float, rounded_top: bool, lit: bool = False) -> Drawing:
    glass: Colour = (252, 220, 120) if lit else (150, 200, 222)
    pane = ellipse(0, 0, half) if rounded_top else rectangle(-half, -tall, half, tall)
    frame = (
        ellipse(0, 0, half + 0.03) if rounded_top else rectangle(-half - 0.03, -tall - 0.03, half + 0.03, tall + 0.03)
    )
    marks: Drawing = [Mark(frame, WHITE, depth=0.2), Mark(pane, glass, "side", 0.4)]
    marks.append(
        Mark(
            points((-half, tall), (half * 0.2, -tall), (half * 0.7, -tall), (-half * 0.5, tall)),
            WHITE,
            "flat",
            opacity=0.35,
            clip=pane,
        )
    )
    return [
        *marks,
        line(points((-half, 0), (half, 0)), 0.025, WHITE),
        line(points((0, -tall), (0, tall)), 0.025, WHITE, clip=pane),
    ]
