"""How things made for the house are drawn: cup, bottle, clock, umbrella."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line, moved
from ccd_fast.demo.palette import (
    BERRY,
    BRIGHT,
    CREAM,
    INK,
    LEAF,
    LEMON,
    MARIGOLD,
    NAVY,
    PASTEL,
    STONE,
    TEAL,
    TOMATO,
    WHITE,
    WOOD,
    contrasting,
    darker,
    lighter,
    one_of,
    some,
)
from ccd_fast.demo.patterns import dots, face, stripes
from ccd_fast.demo.shapes import Points, arc, ellipse, points, rectangle, ribbon, rounded, smooth, spun, star, symmetric


def cup(rng: np.random.Generator) -> Drawing:
    """Draws a cup with a handle: tall mug or wide tea cup, plain or patterned, sometimes steaming."""
    colour = some(rng, (*BRIGHT, WHITE, CREAM, MARIGOLD))
    tea = rng.random() < 0.4
    top, low = (-0.3, 0.62) if tea else (-0.62, 0.8)
    half = rng.uniform(0.62, 0.72) if tea else rng.uniform(0.48, 0.6)
    rim = half * 0.22
    marks: Drawing = []
    if tea and rng.random() < 0.7:
        saucer = contrasting(rng, colour, (WHITE, CREAM, *PASTEL)) if rng.random() < 0.4 else colour
        marks += [
            Mark(ellipse(0, 0.66, 1.0, 0.17), darker(saucer, 0.15)),
            Mark(ellipse(0, 0.63, 1.0, 0.16), saucer, "side", 0.35),
        ]
        marks.append(Mark(ellipse(0, 0.63, 0.6, 0.09), darker(saucer, 0.25), "flat", opacity=0.5))
    loop = arc(half * 0.9, top + (low - top) * 0.44, 0.36, (low - top) * 0.27, -95, 95, 22)
    marks += [line(loop, 0.15, darker(colour, 0.28)), line(loop - (0.012, 0.012), 0.1, lighter(colour, 0.08))]
    if tea:
        right = points((half, top), (half * 0.93, 0.15), (half * 0.62, 0.52), (half * 0.4, low))
        side = smooth(right, False, 6)
        body = np.concatenate([side, mirrored_x(side)])
    else:
        taper = rng.uniform(0.8, 1.0)
        body = np.concatenate(
            [
                points((half, top)),
                points((half * taper, low - 0.08)),
                arc(0, low - 0.06, half * taper, rim * 0.8, 0, 180, 18),
                points((-half, top)),
            ]
        )
    marks.append(Mark(body, colour, "side", 0.42))
    pattern, motif = rng.random(), contrasting(rng, colour, (*BRIGHT, WHITE))
    if pattern < 0.25:
        marks += stripes(body, motif, int(rng.integers(3, 6)), 90 * float(rng.integers(2)), 0.9)
    elif pattern < 0.5:
        marks += dots(rng, body, motif, rng.uniform(0.055, 0.09), 0.95)
    elif pattern < 0.62:
        heart = symmetric(points((0, -0.16), (0.12, -0.28), (0.26, -0.14), (0.02, 0.24)), 5)
        marks.append(Mark(heart * 0.8 + (0, (top + low) / 2 + 0.06), motif, "ball"))
    elif pattern < 0.75:
        marks += moved(face(0, 0, 0.4), 0, (top + low) / 2 + 0.04)
    shade = rectangle(half * 0.72, top, half * 1.3, low + 0.2)
    marks.append(Mark(shade, darker(colour, 0.7), "flat", opacity=0.3, blur=0.12, clip=body))
    marks.append(
        Mark(rounded(-half * 0.8, top + 0.16, -half * 0.64, low - 0.3, 0.05), WHITE, "flat", opacity=0.4, clip=body)
    )
    marks += [
        Mark(ellipse(0, top, half, rim), lighter(colour, 0.3)),
        Mark(ellipse(0, top + 0.015, half * 0.9, rim * 0.78), darker(colour, 0.4), "flat"),
    ]
    drink = some(rng, ((92, 56, 38), (176, 110, 52), (240, 224, 196), (130, 80, 50)))
    marks.append(Mark(ellipse(0, top + 0.04, half * 0.82, rim * 0.58), drink, "side", 0.3))
    if rng.random() < 0.45:
        for x in (-0.2, 0.05, 0.28):
            curl = smooth(
                points((x, top - 0.05), (x + 0.07, top - 0.18), (x - 0.04, top - 0.32), (x + 0.06, top - 0.5)), False
            )
            marks.append(Mark(ribbon(curl, (0.03, 0.07, 0.01)), (250, 250, 252), "flat", opacity=0.6))
    return marks


def mirrored_x(side: Points) -> Points:
    """Returns the left half of an outline whose right half is given."""
    return side[::-1] * (-1.0, 1.0)


def bottle(rng: np.random.Generator) -> Drawing:
    """Draws a bottle: slender wine shape, milk bottle or round-bellied; glass, with a label."""
    glass = some(rng, ((70, 128, 84), (126, 84, 48), (150, 204, 216), (196, 222, 226), TEAL, BERRY, (90, 130, 190)))
    half, neck = rng.uniform(0.26, 0.4), rng.uniform(0.085, 0.14)
    shoulder = rng.uniform(-0.32, -0.05)
    kind = rng.random()
    if kind < 0.6:
        side = points(
            (neck, -0.86),
            (neck, -0.55),
            (neck * 1.15, shoulder - 0.14),
            (half * 0.92, shoulder + 0.1),
            (half, shoulder + 0.25),
            (half, 0.88),
            (half * 0.88, 0.98),
        )
    elif kind < 0.8:
        half *= 1.35
        side = points(
            (neck, -0.86), (neck, -0.4), (half * 0.7, -0.02), (half, 0.4), (half * 0.86, 0.84), (half * 0.6, 0.98)
        )
    else:
        side = points(
            (neck * 1.7, -0.8), (neck * 1.6, -0.5), (half, -0.12), (half, 0.2), (half, 0.9), (half * 0.9, 0.98)
        )
        neck *= 1.7
    right = smooth(side, False, 6)
    body = np.concatenate([right, mirrored_x(right)])
    level = rng.uniform(-0.5, 0.15)
    marks: Drawing = [Mark(body, lighter(glass, 0.45), "side", 0.3)]
    marks.append(Mark(rectangle(-1, level, 1, 1.1), glass, "side", 0.45, clip=body))
    marks.append(Mark(ellipse(0, level, half * 1.1, 0.03), lighter(glass, 0.3), "flat", opacity=0.7, clip=body))
    cap = some(rng, (TOMATO, MARIGOLD, (196, 158, 110), NAVY, WHITE, LEAF))
    marks.append(Mark(rounded(-neck * 1.15, -1.0, neck * 1.15, -0.84, 0.03), cap, depth=0.45))
    marks.append(Mark(rounded(-neck * 1.2, -0.82, neck * 1.2, -0.75, 0.02), lighter(glass, 0.2), depth=0.4))
    if rng.random() < 0.8:
        marks += _label(rng, body, half, rng.uniform(0.1, 0.34), rng.uniform(0.58, 0.82))
    marks.append(
        Mark(rounded(-half * 0.78, shoulder + 0.2, -half * 0.56, 0.9, 0.04), WHITE, "flat", opacity=0.45, clip=body)
    )
    marks.append(Mark(rounded(-neck * 0.6, -0.7, -neck * 0.2, -0.42, 0.02), WHITE, "flat", opacity=0.5))
    return marks


def _label(rng: np.random.Generator, body: Points, half: float, top: float, low: float) -> Drawing:
    """Returns the paper label round a bottle, with a badge and a line of writing."""
    paper = some(rng, (CREAM, WHITE, *PASTEL, LEMON, TOMATO, NAVY))
    badge = contrasting(rng, paper, (*BRIGHT, WHITE))
    marks: Drawing = [Mark(rectangle(-half * 1.1, top, half * 1.1, low), paper, "side", 0.25, clip=body)]
    if rng.random() < 0.6:
        edges = np.stack([points((-half, y), (half, y)) for y in (top + 0.04, low - 0.04)])
        marks.append(line(edges, 0.03, contrasting(rng, paper, BRIGHT), 1.0, body))
    middle, reach = (top + low) / 2, min(half * 0.5, (low - top) * 0.26)
    emblem = one_of(
        rng,
        (ellipse(0, 0, 1), star(0, 0, 1.1, 0.5, 5), spun(rectangle(-0.8, -0.8, 0.8, 0.8), 45), ellipse(0, 0, 1.3, 0.7)),
    )
    marks.append(Mark(emblem * reach + (0, middle), badge, "ball", 0.3))
    return [*marks, line(points((-half * 0.5, low - 0.09), (half * 0.5, low - 0.09)), 0.022, badge, 0.7)]


def clock(rng: np.random.Generator) -> Drawing:
    """Draws a clock with hands: a wall clock (round or square) or an alarm clock with bells."""
    case = some(rng, (*BRIGHT, *WOOD))
    dial = some(rng, (WHITE, CREAM, WHITE, (214, 230, 236)))
    alarm = rng.random() < 0.45
    marks: Drawing = []
    r = 0.78
    if alarm:
        for side in (-1, 1):
            marks.append(line(points((side * 0.45, 0.6), (side * 0.62, 0.98)), 0.13, darker(case, 0.3)))
            bell = arc(0, 0, 0.27, 0.25, 180, 360, 14)
            marks += [Mark(spun(bell, side * 36, side * 0.42, -0.6), some(rng, (MARIGOLD, STONE, case)), "ball", 0.45)]
        marks += [
            line(arc(0, -0.82, 0.17, 0.16, 180, 360, 12), 0.055, darker(case, 0.25)),
            line(points((0, -0.75), (0, -0.98)), 0.06, STONE),
        ]
    square = not alarm and rng.random() < 0.3
    marks += [
        Mark(_rim(r, square), case, "side", 0.45),
        Mark(_rim(r * 0.86, square), darker(case, 0.35), "flat"),
        Mark(_rim(r * 0.82, square), dial, "side", 0.14),
    ]
    ticks = INK if rng.random() < 0.8 else case
    for every, inner, thick in ((30, 0.5, 0.025), (90, 0.43, 0.05)):
        tick = points((0, -0.57), (0, -inner))
        marks.append(line(np.stack([spun(tick, turn) for turn in range(0, 360, every)]), thick, ticks))
    hour_turn = rng.uniform(0, 360)
    minute_turn = (hour_turn % 30) * 12
    marks.append(Mark(spun(ribbon(points((0, 0.08), (0, -0.33)), (0.085, 0.05)), hour_turn), INK, "flat"))
    marks.append(Mark(spun(ribbon(points((0, 0.1), (0, -0.5)), (0.06, 0.03)), minute_turn), INK, "flat"))
    if rng.random() < 0.6:
        marks.append(line(spun(points((0, 0.14), (0, -0.52)), rng.uniform(0, 360)), 0.02, TOMATO))
    marks.append(Mark(ellipse(0, 0, 0.055), one_of(rng, (TOMATO, INK, MARIGOLD)), "ball"))
    marks.append(Mark(arc(0, 0, r * 0.78, r * 0.78, 190, 260, 14), WHITE, "flat", opacity=0.35))
    return marks


def _rim(reach: float, square: bool) -> Points:
    """Returns the outline of a clock's case or dial."""
    return rounded(-reach, -reach, reach, reach, 0.16) if square else ellipse(0, 0, reach)


def umbrella(rng: np.random.Generator) -> Drawing:
    """Draws an open umbrella with scalloped edge, panels of one or two colours, and a hooked handle."""
    colour = some(rng, BRIGHT)
    other = contrasting(rng, colour, (*BRIGHT, WHITE, CREAM)) if rng.random() < 0.65 else darker(colour, 0.14)
    wide, peak = rng.uniform(0.88, 1.0), rng.uniform(-0.85, -0.65)
    base = -0.02
    wood = some(rng, (*WOOD, INK))
    hook = np.concatenate([points((0, base - 0.2), (0, 0.84)), arc(0.11, 0.84, 0.11, 0.13, 180, 0, 12)])
    marks: Drawing = [line(hook, 0.055, wood), line(points((0, peak - 0.14), (0, peak + 0.1)), 0.05, wood)]
    panels = int(rng.integers(2, 5)) * 2
    ribs = np.sin(np.linspace(-np.pi / 2, np.pi / 2, panels + 1)) * wide
    inside = np.concatenate([arc(0, base, wide, 0.1, 0, 180, 16), arc(0, base, wide, 0.16, 180, 360, 16)])
    marks.append(Mark(inside, darker(other, 0.5), "flat"))
    for i in range(panels):
        left, right = float(ribs[i]), float(ribs[i + 1])
        seams = [_seam(x, base, peak) for x in (left, right)]
        depth = min(0.085, (right - left) * 0.3)
        scallop = arc((left + right) / 2, base, (right - left) / 2, depth, 0, -180, 10)
        panel = np.concatenate([seams[0], seams[1][::-1], scallop])
        marks.append(Mark(panel, colour if i % 2 == 0 else other, "side", 0.3))
    marks.append(line(np.stack([_seam(x, base, peak) for x in ribs.tolist()]), 0.014, darker(colour, 0.4), 0.6))
    marks.append(Mark(ellipse(-wide * 0.42, peak * 0.62, 0.2, 0.07, -38), WHITE, "flat", opacity=0.25))
    return marks


def _seam(x: float, base: float, peak: float) -> Points:
    """Returns the rib of an umbrella from its rim at `x` up to the peak."""
    lift = np.linspace(0, np.pi / 2, 12)
    return np.stack([x * np.cos(lift), base + (peak - base) * np.sin(lift)], axis=1)
