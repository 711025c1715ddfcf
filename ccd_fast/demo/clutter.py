"""Things that belong to no class: they fill a scene, hide parts of its objects, and must not be reported."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line
from ccd_fast.demo.palette import (
    BERRY,
    BRIGHT,
    BROWN,
    CREAM,
    LEAF,
    MARIGOLD,
    ORANGE,
    PASTEL,
    PINE,
    PINK,
    SAND,
    STONE,
    TEAL,
    WHITE,
    WOOD,
    contrasting,
    darker,
    lighter,
    some,
    varied,
)
from ccd_fast.demo.patterns import courses, dots, speckles, stripes
from ccd_fast.demo.plants import leaf
from ccd_fast.demo.shapes import arc, ellipse, points, rectangle, ribbon, rounded, smooth, star, wobbled


def stone(rng: np.random.Generator) -> Drawing:
    """Draws a rounded stone."""
    colour = some(rng, (STONE, (120, 116, 118), (176, 164, 150)))
    outline = wobbled(
        rng, np.concatenate([arc(0, 0.3, 0.9, 0.75, 180, 360, 26), arc(0, 0.3, 0.9, 0.2, 0, 180, 16)]), 0.05
    )
    return [
        Mark(outline, colour, "ball", 0.45, grain=0.07),
        *speckles(rng, outline, darker(colour, 0.4), 14, 0.04, 0.35),
    ]


def bush(rng: np.random.Generator) -> Drawing:
    """Draws a low bush of a few rounded lobes."""
    green = some(rng, (LEAF, PINE, (112, 156, 80)))
    marks: Drawing = []
    for x, y, r in ((-0.6, 0.2, 0.36), (0.6, 0.22, 0.34), (-0.22, -0.02, 0.44), (0.28, 0.0, 0.42), (0.0, 0.25, 0.4)):
        marks.append(
            Mark(wobbled(rng, ellipse(x, y, r, r * 0.85), 0.05), varied(rng, green, 9), "ball", 0.36, grain=0.09)
        )
    return marks


def crate(rng: np.random.Generator) -> Drawing:
    """Draws a wooden crate."""
    wood = some(rng, WOOD)
    face = rectangle(-0.7, -0.55, 0.7, 0.6)
    frame = np.stack([points((-0.64, -0.5), (0.64, 0.55)), points((-0.64, 0.55), (0.64, -0.5))])
    return [
        Mark(face, wood, depth=0.3, grain=0.07), *courses(face, darker(wood, 0.6), 0.23, False, 0.6),
        line(frame, 0.13, darker(wood, 0.2)), line(np.concatenate([face, face[:1]]), 0.14, lighter(wood, 0.1)),
    ]  # fmt: skip


def ball(rng: np.random.Generator) -> Drawing:
    """Draws a beach ball."""
    colour = some(rng, BRIGHT)
    skin = ellipse(0, 0, 0.8)
    wedge = [ribbon(smooth(points((0, -0.8), (x, 0), (0, 0.8)), False), (0.02, 0.34, 0.02)) for x in (-0.6, 0.0, 0.6)]
    bands = [Mark(w, contrasting(rng, colour, (*BRIGHT, WHITE)), "flat", opacity=0.95, clip=skin) for w in wedge]
    shade = Mark(ellipse(0.35, 0.4, 0.55), (44, 28, 66), "flat", opacity=0.3, blur=0.2, clip=skin)
    return [
        Mark(skin, colour, "ball", 0.4),
        *bands,
        shade,
        Mark(ellipse(-0.3, -0.42, 0.16, 0.09, -35), WHITE, "flat", opacity=0.5),
    ]


def books(rng: np.random.Generator) -> Drawing:
    """Draws a stack of books lying flat."""
    marks: Drawing = []
    low = 0.6
    for _ in range(int(rng.integers(2, 5))):
        tall, half, x = rng.uniform(0.16, 0.26), rng.uniform(0.6, 0.85), rng.uniform(-0.08, 0.08)
        cover = some(rng, BRIGHT)
        marks.append(Mark(rounded(x - half, low - tall, x + half, low, 0.05), cover, depth=0.35))
        pages = rectangle(x - half * 0.9, low - tall * 0.8, x + half * 1.01, low - tall * 0.2)
        marks += [Mark(pages, CREAM, depth=0.2), *courses(pages, BROWN, 0.04, False, 0.4)]
        low -= tall
    return marks


def cushion(rng: np.random.Generator) -> Drawing:
    """Draws a plump cushion."""
    cloth = some(rng, (*BRIGHT, *PASTEL))
    outline = smooth(
        points((-0.85, -0.6), (0, -0.5), (0.85, -0.6), (0.74, 0), (0.85, 0.6), (0, 0.52), (-0.85, 0.6), (-0.74, 0))
    )
    pattern = contrasting(rng, cloth, (*BRIGHT, WHITE))
    weave = (
        dots(rng, outline, pattern, 0.07)
        if rng.random() < 0.5
        else stripes(outline, pattern, 6, 90 * float(rng.integers(2)))
    )
    return [Mark(outline, cloth, "ball", 0.35), *weave, Mark(ellipse(0, 0, 0.06), darker(cloth, 0.4), "ball")]


def grass(rng: np.random.Generator) -> Drawing:
    """Draws a clump of tall grass."""
    marks: Drawing = []
    green = some(rng, (LEAF, PINE, (150, 170, 80)))
    for tint in (darker(green, 0.2), green, lighter(green, 0.2)):
        blades = []
        for x in rng.uniform(-0.5, 0.5, 7).tolist():
            lean = x * rng.uniform(0.6, 1.6)
            spine = smooth(points((x * 0.6, 0.6), (x, 0.0), (x + lean, -rng.uniform(0.2, 0.9))), False)
            blades.append(ribbon(spine, (0.09, 0.06, 0.005)))
        marks.append(Mark(np.stack(blades), tint))
    return marks


def fence(rng: np.random.Generator) -> Drawing:
    """Draws a few palings of a garden fence."""
    paint = some(rng, (WHITE, *WOOD, CREAM))
    rails = [rectangle(-1.0, y, 1.0, y + 0.08) for y in (-0.15, 0.25)]
    slats = [
        points((x, 0.55), (x, -0.4), (x + 0.09, -0.52), (x + 0.18, -0.4), (x + 0.18, 0.55))
        for x in np.linspace(-0.98, 0.8, 7).tolist()
    ]
    boards = [Mark(np.stack(slats[i::2]), varied(rng, paint, 7), depth=0.3, grain=0.05) for i in (0, 1)]
    return [Mark(np.stack(rails), darker(paint, 0.25)), *boards]


def cloud(rng: np.random.Generator) -> Drawing:
    """Draws a heaped cloud with a flat base."""
    white = some(rng, (WHITE, (238, 240, 248), (250, 238, 232)))
    marks: Drawing = []
    for x, y, r in (
        (-0.6, 0.1, 0.28),
        (0.62, 0.12, 0.26),
        (-0.22, -0.08, 0.38),
        (0.25, -0.02, 0.34),
        (0.02, 0.14, 0.3),
    ):
        marks.append(Mark(ellipse(x + rng.normal(0, 0.04), y, r, r * 0.85), white, "ball", 0.16))
    return [*marks, Mark(rounded(-0.85, 0.1, 0.86, 0.36, 0.13), white, "side", 0.1)]


def seaweed(rng: np.random.Generator) -> Drawing:
    """Draws a few waving strands of seaweed."""
    marks: Drawing = []
    for x in (-0.3, 0.25, 0.0):
        sway = rng.uniform(-0.3, 0.3, 3)
        spine = smooth(
            points((x, 0.9), (x + sway[0], 0.4), (x - sway[1], -0.1), (x + sway[2], -rng.uniform(0.4, 0.9))), False
        )
        marks.append(
            Mark(ribbon(spine, (0.16, 0.18, 0.12, 0.01)), some(rng, (PINE, TEAL, (120, 130, 60), BERRY)), depth=0.35)
        )
    return marks


def leaves(rng: np.random.Generator) -> Drawing:
    """Draws a fallen leaf or two."""
    tint = some(rng, (ORANGE, MARIGOLD, LEAF, (190, 80, 50), PINE))
    pair = leaf(0.9, 0.5, tint) + [mark.moved(0.1, 0.2, 0.8, 70) for mark in leaf(0.9, 0.5, darker(tint, 0.15))]
    return pair if rng.random() < 0.6 else leaf(0.9, 0.5, tint)


def spoon(rng: np.random.Generator) -> Drawing:
    """Draws a spoon lying down."""
    metal = some(rng, (STONE, (200, 200, 208), BROWN))
    return [
        Mark(rounded(-0.9, -0.05, 0.4, 0.05, 0.05), metal, depth=0.45),
        Mark(ellipse(0.6, 0, 0.32, 0.2), metal, depth=0.4),
        Mark(ellipse(0.6, 0.01, 0.24, 0.14), darker(metal, 0.25), depth=0.5),
    ]  # fmt: skip


def shell(rng: np.random.Generator) -> Drawing:
    """Draws a fan-shaped shell or a starfish."""
    tint = some(rng, (PINK, SAND, ORANGE, CREAM, (220, 150, 130)))
    if rng.random() < 0.4:
        arms = smooth(star(0, 0, 0.9, 0.38, 5), steps=5)
        return [Mark(arms, tint, "ball", 0.35), *speckles(rng, arms, lighter(tint, 0.6), 26, 0.05)]
    fan = np.concatenate([arc(0, 0.4, 0.85, 0.95, 200, 340, 20), points((0.14, 0.5), (-0.14, 0.5))])
    ribs = np.stack([points((0, 0.5), p) for p in arc(0, 0.4, 0.85, 0.95, 210, 330, 7).tolist()])
    return [Mark(fan, tint, depth=0.3), line(ribs, 0.03, darker(tint, 0.3), 0.7)]


def cone(rng: np.random.Generator) -> Drawing:
    """Draws a traffic cone."""
    body = points((-0.12, -0.8), (0.12, -0.8), (0.42, 0.55), (-0.42, 0.55))
    bands = [rectangle(-1, y, 1, y + 0.22) for y in (-0.45, 0.05)]
    return [
        Mark(rounded(-0.62, 0.5, 0.62, 0.66, 0.04), darker(ORANGE, 0.15)), Mark(body, varied(rng, ORANGE), depth=0.4),
        *(Mark(b, WHITE, "side", 0.2, clip=body) for b in bands),
    ]  # fmt: skip


CLUTTER: dict[str, Callable[[np.random.Generator], Drawing]] = {
    "stone": stone, "bush": bush, "crate": crate, "ball": ball, "books": books, "cushion": cushion, "grass": grass,
    "fence": fence, "cloud": cloud, "seaweed": seaweed, "leaves": leaves, "spoon": spoon, "shell": shell, "cone": cone,
}  # fmt: skip
