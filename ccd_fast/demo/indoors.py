"""Backgrounds indoors and on paper: room, table, card."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line
from ccd_fast.demo.palette import (
    BRIGHT,
    CREAM,
    LEAF,
    PASTEL,
    SAND,
    SKY,
    STONE,
    TEAL,
    WHITE,
    WOOD,
    Colour,
    contrasting,
    darker,
    lighter,
    mix,
    one_of,
    some,
)
from ccd_fast.demo.scenery import DOT, Backdrop, fall
from ccd_fast.demo.shapes import ellipse, points, rectangle, spun, star


def room(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Patterned wallpaper, a skirting board, a planked floor, perhaps a picture and a rug."""
    floor = rng.uniform(0.56, 0.76)
    paper = some(rng, (*PASTEL, (176, 200, 190), (212, 176, 150), (150, 170, 196), (190, 150, 160)))
    marks: Drawing = [
        fall(-0.02, floor, aspect, lighter(paper, 0.1), darker(paper, 0.12)),
        *wallpaper(rng, aspect, floor, paper),
    ]
    for _ in range(int(rng.integers(0, 3))):
        x, y, w, h = (rng.uniform(0, aspect), rng.uniform(0.08, 0.25), rng.uniform(0.1, 0.18), rng.uniform(0.1, 0.18))
        view = some(rng, (SKY, *PASTEL))
        marks += [Mark(rectangle(x - 0.02, y - 0.02, x + w + 0.02, y + h + 0.02), some(rng, WOOD), depth=0.4),
                  Mark(rectangle(x, y, x + w, y + h), view, "down", into=some(rng, (LEAF, TEAL, SAND)))]  # fmt: skip
    wood = some(rng, (*WOOD, (214, 178, 130)))
    marks += [fall(floor, 1.02, aspect, darker(wood, 0.12), lighter(wood, 0.1), 0.05)]
    boards = np.stack(
        [
            points((aspect / 2 + (x - aspect / 2) * 0.7, floor), (aspect / 2 + (x - aspect / 2) * 1.8, 1.02))
            for x in np.linspace(-0.5, aspect + 0.5, 14).tolist()
        ]
    )
    marks.append(line(boards, 0.005, darker(wood, 0.45), 0.6))
    if rng.random() < 0.5:
        x, rug = rng.uniform(0.3, 0.7) * aspect, some(rng, BRIGHT)
        for share, tint in ((1.0, rug), (0.8, lighter(rug, 0.5)), (0.62, darker(rug, 0.1))):
            marks.append(Mark(ellipse(x, (floor + 1) / 2 + 0.04, 0.42 * share, 0.13 * share), tint))
    return [
        *marks,
        Mark(
            rectangle(-0.02, floor - 0.04, aspect + 0.02, floor + 0.005),
            lighter(paper, 0.6),
            "down",
            into=darker(paper, 0.1),
        ),
    ], floor


def wallpaper(rng: np.random.Generator, aspect: float, low: float, paper: Colour) -> Drawing:
    """Returns a repeating pattern over the upper part of the picture: stripes, or rows of small figures."""
    tint = mix(paper, contrasting(rng, paper, (*BRIGHT, WHITE)), rng.uniform(0.2, 0.6))
    pitch = rng.uniform(0.06, 0.13)
    kind = rng.random()
    if kind < 0.3:
        bands = np.stack(
            [rectangle(x, -0.02, x + pitch / 2, low) for x in np.arange(0, aspect + pitch, pitch).tolist()]
        )
        return [Mark(bands, tint, "flat", opacity=0.7)]
    if kind > 0.92:
        return []
    figure = one_of(
        rng, (DOT, star(0, 0, 1.2, 0.5, 5), spun(rectangle(-0.8, -0.8, 0.8, 0.8), 45), star(0, 0, 1.2, 0.7, 6))
    )
    rows = np.arange(pitch / 2, low - pitch * 0.3, pitch)
    grid = [
        (x + pitch / 2 * (i % 2), y)
        for i, y in enumerate(rows.tolist())
        for x in np.arange(0, aspect + pitch, pitch).tolist()
    ]
    return (
        [Mark(np.array(grid)[:, None] + figure * pitch * rng.uniform(0.14, 0.26), tint, "flat", opacity=0.8)]
        if grid
        else []
    )


def table(rng: np.random.Generator, aspect: float) -> Backdrop:
    """A table top, wooden or under a checked cloth, before a soft wall."""
    edge = rng.uniform(0.32, 0.52)
    wall = some(rng, (*PASTEL, (120, 150, 160), (170, 140, 130), (110, 130, 110)))
    marks: Drawing = [fall(-0.02, edge, aspect, wall, darker(wall, 0.25))]
    for _ in range(4):
        glow = ellipse(rng.uniform(0, aspect), rng.uniform(0, edge), rng.uniform(0.06, 0.16))
        marks.append(Mark(glow, lighter(wall, 0.5), "flat", opacity=0.5, blur=0.03))
    if rng.random() < 0.5:
        wood = some(rng, (*WOOD, (214, 178, 130)))
        marks.append(fall(edge, 1.02, aspect, lighter(wood, 0.18), darker(wood, 0.1), 0.07))
        planks = np.stack(
            [
                points((-0.1, y), (aspect + 0.1, y + 0.01))
                for y in (edge + (1 - edge) * np.array([0.16, 0.38, 0.66])).tolist()
            ]
        )
        marks += [
            line(planks, 0.007, darker(wood, 0.5), 0.7),
            line(spun(planks, 0, 0, 0.05), 0.003, darker(wood, 0.3), 0.5),
        ]
    else:
        cloth, check = some(rng, (WHITE, CREAM)), some(rng, BRIGHT)
        marks.append(fall(edge, 1.02, aspect, darker(cloth, 0.06), cloth))
        centre = aspect / 2
        lanes = [
            points((left * 0.8, edge), (left * 0.8 + 0.048, edge), (left * 1.6 + 0.096, 1.02), (left * 1.6, 1.02))
            for left in np.arange(-0.4 - centre, centre + 0.4, 0.13).tolist()
        ]
        depth = edge + (1.02 - edge) * np.linspace(0, 1, 13) ** 1.5
        rows = [
            rectangle(-0.02, a, aspect + 0.02, b)
            for a, b in zip(depth[::2].tolist(), depth[1::2].tolist(), strict=False)
        ]
        marks += [
            Mark(spun(np.stack(lanes), 0, centre), check, "flat", opacity=0.4),
            Mark(np.stack(rows), check, "flat", opacity=0.4),
        ]
    return [
        *marks,
        Mark(rectangle(-0.02, edge - 0.008, aspect + 0.02, edge + 0.012), (70, 50, 60), "flat", opacity=0.35),
    ], edge


def card(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Plain or patterned paper with a few torn shapes: a page of a scrapbook."""
    paper = some(rng, (*PASTEL, *BRIGHT, STONE))
    marks: Drawing = [fall(-0.02, 1.02, aspect, lighter(paper, 0.25), paper, 0.03)]
    for _ in range(int(rng.integers(0, 5))):
        x, y, r = rng.uniform(0, aspect), rng.uniform(0, 1), rng.uniform(0.1, 0.35)
        figure = one_of(rng, (rectangle(-1, -0.6, 1, 0.6), star(0, 0, 1, 0.8, 9), points((-1, 0.8), (0, -1), (1, 0.8))))
        marks.append(
            Mark(
                spun(figure, rng.uniform(0, 180)) * r + (x, y),
                mix(paper, some(rng, (*BRIGHT, *PASTEL)), 0.6),
                "side",
                0.15,
            )
        )
    return [*marks, *wallpaper(rng, aspect, 1.05, paper)], 0.45
