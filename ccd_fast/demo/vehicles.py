"""How the car and the boat are drawn."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line
from ccd_fast.demo.palette import (
    BERRY,
    BRIGHT,
    BROWN,
    CREAM,
    INK,
    LEMON,
    MINT,
    NAVY,
    ORANGE,
    PASTEL,
    SKY,
    STONE,
    TEAL,
    TOMATO,
    WHITE,
    WOOD,
    Colour,
    contrasting,
    darker,
    lighter,
    one_of,
    some,
)
from ccd_fast.demo.patterns import shine, stripes
from ccd_fast.demo.shapes import Points, arc, ellipse, points, rectangle, rounded, smooth

GLASS: Colour = (178, 216, 232)


def car(rng: np.random.Generator) -> Drawing:
    """Draws a car from the side, its nose to the right: saloon, round little car, or van."""
    colour = some(rng, (*BRIGHT, WHITE, STONE, CREAM, MINT))
    roof, windows = one_of(rng, (_saloon, _beetle, _van))(rng)
    marks: Drawing = [Mark(rounded(-0.8, 0.26, 0.84, 0.4, 0.05), darker(STONE, 0.5))]
    marks.append(Mark(roof, colour, "side", 0.34))
    for window in windows:
        marks.append(Mark(window, GLASS, "side", 0.3))
        low, high = window.min(0), window.max(0)
        glint = points(
            (low[0] + 0.06, high[1]), (low[0] + 0.2, low[1]), (low[0] + 0.28, low[1]), (low[0] + 0.14, high[1])
        )
        marks.append(Mark(glint, WHITE, "flat", opacity=0.5, clip=window))
    two_tone = rng.random() < 0.35
    if two_tone:
        band = rectangle(-1.1, 0.14, 1.1, 0.5)
        marks.append(Mark(band, contrasting(rng, colour, (WHITE, CREAM, *BRIGHT)), "side", 0.2, clip=roof))
    door = float(windows[0].max(0)[0]) + 0.02
    marks.append(line(points((door, -0.04), (door, 0.3)), 0.018, darker(colour, 0.45), 0.8))
    marks.append(Mark(rounded(door - 0.16, 0.03, door - 0.06, 0.06, 0.015), darker(colour, 0.5), "flat"))
    marks.append(line(points((-0.95, 0.13), (0.95, 0.13)), 0.014, lighter(colour, 0.6), 0.6, roof))
    marks += [
        Mark(ellipse(0.9, 0.1, 0.06, 0.075), LEMON, "ball", 0.4),
        Mark(rounded(-0.96, 0.02, -0.89, 0.16, 0.03), TOMATO, "ball"),
    ]
    marks += [
        Mark(rounded(0.76, 0.26, 1.03, 0.35, 0.04), STONE, depth=0.4),
        Mark(rounded(-1.03, 0.26, -0.8, 0.35, 0.04), STONE, depth=0.4),
    ]
    wheel = rng.uniform(0.19, 0.24)
    hub = some(rng, (STONE, WHITE, CREAM))
    for x in (-0.54, 0.55):
        marks.append(Mark(ellipse(x, 0.35, wheel * 1.22), darker(colour, 0.55), "flat", clip=roof))
        marks += [
            Mark(ellipse(x, 0.36, wheel), (46, 42, 52), "ball", 0.3),
            Mark(ellipse(x, 0.36, wheel * 0.55), hub, "ball", 0.45),
        ]
        marks += [
            Mark(ellipse(x + dx, 0.36 + dy, 0.022), darker(hub, 0.5), "flat")
            for dx, dy in ((0.06, 0), (-0.03, 0.05), (-0.03, -0.05))
        ]
    return marks


def _saloon(rng: np.random.Generator) -> tuple[Points, list[Points]]:
    top = rng.uniform(-0.5, -0.4)
    body = smooth(points((-0.98, 0.3), (-1.0, 0.0), (-0.82, -0.1), (-0.52, -0.14), (-0.34, top + 0.04), (0.0, top),
                         (0.24, top + 0.04), (0.5, -0.12), (0.84, -0.06), (1.0, 0.06), (0.99, 0.3), (0.6, 0.33),
                         (-0.6, 0.33)), steps=6)  # fmt: skip
    rear = points((-0.42, -0.1), (-0.28, top + 0.1), (-0.04, top + 0.07), (-0.04, -0.1))
    front = points((0.02, -0.1), (0.02, top + 0.07), (0.2, top + 0.11), (0.4, -0.1))
    return body, [rear, front]


def _beetle(rng: np.random.Generator) -> tuple[Points, list[Points]]:
    top = rng.uniform(-0.62, -0.52)
    body = smooth(points((-0.98, 0.3), (-0.94, 0.02), (-0.72, -0.2), (-0.44, top + 0.12), (-0.04, top),
                         (0.34, top + 0.2), (0.52, -0.12), (0.86, -0.04), (0.99, 0.16), (0.98, 0.3),
                         (0.5, 0.34), (-0.5, 0.34)), steps=6)  # fmt: skip
    rear = smooth(points((-0.58, -0.1), (-0.4, top + 0.22), (-0.1, top + 0.1), (-0.08, -0.1)), steps=4)
    front = smooth(points((0.04, -0.1), (0.03, top + 0.1), (0.26, top + 0.26), (0.36, -0.1)), steps=4)
    return body, [rear, front]


def _van(rng: np.random.Generator) -> tuple[Points, list[Points]]:
    top = rng.uniform(-0.72, -0.58)
    body = points((-0.9, top), (0.5, top), (0.64, top + 0.05), (0.84, -0.14), (0.97, -0.03), (0.99, 0.3), (0.9, 0.33),
                  (-0.92, 0.33), (-0.99, 0.25), (-0.99, top + 0.1), (-0.97, top + 0.03))  # fmt: skip
    panes = [rounded(x, top + 0.1, x + 0.32, -0.12, 0.05) for x in (-0.88, -0.48, -0.08)]
    front = points((0.32, -0.12), (0.32, top + 0.1), (0.56, top + 0.11), (0.74, -0.12))
    return body, ([*panes, front] if rng.random() < 0.55 else [panes[2], front])


def boat(rng: np.random.Generator) -> Drawing:
    """Draws a boat from the side: under sail, or a little steamer with funnel."""
    hull_colour = some(rng, (TOMATO, NAVY, TEAL, *WOOD, WHITE, BERRY))
    deep = rng.uniform(0.78, 0.92)
    hull = smooth(
        points(
            (-0.86, 0.42),
            (0.0, 0.48),
            (0.98, 0.32),
            (0.66, deep * 0.9),
            (0.4, deep),
            (-0.5, deep),
            (-0.74, deep * 0.86),
        ),
        steps=6,
    )
    marks = _sails(rng) if rng.random() < 0.62 else _cabin(rng, hull_colour)
    marks.append(Mark(hull, hull_colour, depth=0.4, grain=0.04))
    trim = contrasting(rng, hull_colour, (WHITE, CREAM, LEMON, TOMATO))
    marks.append(Mark(rectangle(-1.2, deep - 0.14, 1.2, deep + 0.2), darker(trim, 0.1), "flat", clip=hull))
    rail = smooth(points((-0.88, 0.43), (0.0, 0.49), (0.99, 0.32)), closed=False)
    marks.append(line(rail, 0.045, lighter(trim, 0.2)))
    if rng.random() < 0.6:
        for x in (-0.4, -0.1, 0.2):
            marks += [Mark(ellipse(x, 0.62, 0.065), STONE, "flat"), Mark(ellipse(x, 0.62, 0.045), NAVY, "ball", 0.5)]
    wave_tops = np.linspace(-0.95, 0.95, 15)
    wave = np.stack([wave_tops, deep + 0.03 + 0.035 * np.cos(np.arange(15) * np.pi)], axis=1)
    wash = np.concatenate([smooth(wave, False, 4), points((0.8, deep + 0.13), (-0.8, deep + 0.13))])
    return [*marks, Mark(wash, (214, 236, 242), "side", 0.2)]


def _sails(rng: np.random.Generator) -> Drawing:
    cloth = some(rng, (*PASTEL, WHITE, WHITE, TOMATO, ORANGE))
    other = cloth if rng.random() < 0.5 else some(rng, (*PASTEL, LEMON, TOMATO, SKY))
    mast = rng.uniform(-0.12, 0.08)
    marks: Drawing = [line(points((mast, 0.5), (mast, -1.0)), 0.05, BROWN)]
    leech = arc(mast - 0.05, 0.3, 0.69, 1.22, 180, 270, 14) + np.linspace(0, 0.1, 14)[:, None] * (1, 0)
    main = np.concatenate([points((mast - 0.05, -0.92), (mast - 0.05, 0.3), (mast - 0.74, 0.3)), leech])
    front = np.concatenate(
        [points((mast + 0.05, -0.78), (mast + 0.05, 0.26)), points((mast + 0.66, 0.24), (mast + 0.44, -0.18))]
    )
    marks.append(Mark(main, cloth, depth=0.26))
    if rng.random() < 0.45:
        marks += stripes(main, contrasting(rng, cloth, (TOMATO, NAVY, TEAL, LEMON)), 4, 90, 0.85)
    marks.append(Mark(smooth(front, steps=1), other, depth=0.26))
    marks += [
        line(points((mast - 0.05, y), (mast - 0.5, y + 0.02)), 0.012, darker(cloth, 0.3), 0.6, main)
        for y in (-0.1, -0.45)
    ]
    if rng.random() < 0.7:
        marks.append(
            Mark(points((mast, -1.0), (mast + 0.26, -0.93), (mast, -0.85)), some(rng, (TOMATO, LEMON, TEAL)), "flat")
        )
    return marks


def _cabin(rng: np.random.Generator, hull: Colour) -> Drawing:
    wall = some(rng, (WHITE, CREAM, *PASTEL))
    chimney = contrasting(rng, wall, (TOMATO, ORANGE, NAVY, INK))
    marks: Drawing = []
    if rng.random() < 0.6:
        for i, r in enumerate((0.09, 0.13, 0.18)):
            marks.append(
                Mark(ellipse(-0.34 - 0.2 * i, -0.62 - 0.15 * i, r), (226, 224, 228), "ball", 0.25, opacity=0.85)
            )
    marks.append(Mark(points((-0.32, -0.5), (-0.06, -0.5), (-0.04, 0.1), (-0.34, 0.1)), chimney, depth=0.45))
    marks.append(Mark(points((-0.325, -0.38), (-0.055, -0.38), (-0.05, -0.24), (-0.33, -0.24)), WHITE, depth=0.3))
    lower = rounded(-0.62, 0.04, 0.5, 0.6, 0.05)
    marks.append(Mark(lower, wall, depth=0.3))
    bridge = points((0.06, -0.3), (0.4, -0.3), (0.46, 0.06), (0.06, 0.06))
    marks += [
        Mark(bridge, wall, depth=0.3),
        Mark(rounded(0.0, -0.36, 0.48, -0.28, 0.03), contrasting(rng, wall, (hull, TOMATO, TEAL))),
    ]
    marks.append(Mark(rounded(0.14, -0.2, 0.38, -0.04, 0.02), GLASS))
    for x in (-0.48, -0.22, 0.04, 0.3):
        marks += [
            Mark(ellipse(x, 0.24, 0.08), darker(wall, 0.3), "flat"),
            Mark(ellipse(x, 0.24, 0.058), GLASS),
            shine(ellipse(x - 0.02, 0.22, 0.018), 0.8),
        ]
    return marks
