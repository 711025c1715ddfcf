"""How things of the sky are drawn: sun, moon, balloon, rocket, bird."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line
from ccd_fast.demo.palette import (
    BRIGHT,
    BROWN,
    CREAM,
    INK,
    LEMON,
    MARIGOLD,
    NAVY,
    ORANGE,
    PASTEL,
    PINK,
    SKY,
    STONE,
    TEAL,
    TOMATO,
    WHITE,
    contrasting,
    darker,
    lighter,
    mix,
    some,
)
from ccd_fast.demo.patterns import dots, face, shine, speckles, stripes
from ccd_fast.demo.shapes import Points, arc, ellipse, mirrored, points, ribbon, smooth, spun, star, symmetric


def sun(rng: np.random.Generator) -> Drawing:
    """Draws a sun with rays: pointed, wavy, or separate strokes; sometimes with a face."""
    colour = some(rng, (LEMON, MARIGOLD, (252, 196, 60), ORANGE))
    glow = lighter(colour, 0.35)
    marks: Drawing = [Mark(ellipse(0, 0, 0.82), glow, "flat", opacity=0.5, blur=0.14)]
    tips = int(rng.integers(9, 17))
    radius = rng.uniform(0.5, 0.62)
    rays = mix(colour, ORANGE, rng.uniform(0.15, 0.6))
    kind = rng.random()
    if kind < 0.4:
        marks.append(Mark(star(0, 0, 1.0, radius * 1.08, tips), rays, "flat"))
        if rng.random() < 0.5:
            marks.append(Mark(star(0, 0, 0.84, radius, tips, 180 / tips), lighter(rays, 0.3), "flat"))
    elif kind < 0.72:
        for i in range(tips):
            length = 1.0 if i % 2 else rng.uniform(0.84, 0.95)
            ray = ribbon(points((radius * 1.16, 0), (length, 0)), (0.11, 0.05))
            marks.append(Mark(spun(ray, 360 * i / tips), rays, "flat"))
    else:
        swirl = smooth(
            points((radius * 0.9, -0.12), (radius * 1.3, -0.1), (1.0, 0.1), (radius * 1.25, 0.1), (radius * 0.9, 0.12))
        )
        marks += [Mark(spun(swirl, 360 * i / tips), rays, "flat") for i in range(tips)]
    disc = ellipse(0, 0, radius)
    marks.append(Mark(disc, colour, "ball", 0.4))
    marks.append(line(arc(0, 0, radius * 0.86, radius * 0.86, 190, 275, 14), 0.03, lighter(colour, 0.7), 0.8))
    return marks + (face(0, 0, radius, rng.random() < 0.85) if rng.random() < 0.45 else [])


def moon(rng: np.random.Generator) -> Drawing:
    """Draws a moon: crescent (thin to fat) or full, with craters; sometimes with a face."""
    colour = some(rng, ((250, 240, 190), (232, 232, 240), (246, 222, 150), (214, 222, 236)))
    full = rng.random() < 0.25
    if full:
        outline = ellipse(0, 0, 0.95)
    else:
        # The inner edge is a half ellipse: the thinner the moon, the deeper it cuts.
        inner = rng.uniform(0.25, 0.72)
        outline = np.concatenate([arc(0, 0, 0.95, 0.95, 90, 270, 34), arc(0, 0, 0.95 * inner, 0.95, 270, 90, 34)])
    marks: Drawing = [Mark(outline, lighter(colour, 0.3), "flat", opacity=0.5, blur=0.12)]
    marks.append(Mark(outline, colour, "ball" if full else "side", 0.25, grain=0.03))
    count = 12 if full else 9
    angle = rng.uniform(0, 2 * np.pi, count) if full else rng.uniform(0.6 * np.pi, 1.4 * np.pi, count)
    away, radius = rng.uniform(0.2 if full else 0.55, 0.88, count), rng.uniform(0.04, 0.17, (count, 1, 1))
    middles = np.stack([away * np.cos(angle), away * np.sin(angle)], axis=1)[:, None]
    craters = middles + arc(0, 0, 1, 0.9, 0, 345, 24) * radius
    rims = middles + arc(0, 0, 1, 0.9, 20, 160, 10) * radius
    marks.append(Mark(craters, darker(colour, 0.2), "flat", opacity=0.75, clip=outline))
    marks.append(line(rims, 0.028, lighter(colour, 0.6), 0.8, outline))
    return marks + (face(0, 0, 0.8) if full and rng.random() < 0.4 else [])


def balloon(rng: np.random.Generator) -> Drawing:
    """Draws a balloon on its string: round, long, or a heart; plain, dotted or striped."""
    colour = some(rng, BRIGHT)
    wide = rng.uniform(0.5, 0.62)
    heart = rng.random() < 0.14
    if heart:
        side = points((0, -0.66), (0.2, -0.92), (0.5, -0.88), (0.6, -0.55), (0.4, -0.12), (0.03, 0.22))
    else:
        side = points(
            (0.08, -0.99), (wide * 0.72, -0.84), (wide, -0.45), (wide * 0.72, -0.02), (wide * 0.28, 0.2), (0.03, 0.26)
        )
    skin = symmetric(side)
    sway = rng.uniform(-0.2, 0.2, 3)
    string = smooth(points((0, 0.28), (sway[0], 0.5), (sway[1], 0.75), (sway[2], 1.1)), closed=False)
    marks: Drawing = [line(string, 0.03, mix(INK, WHITE, rng.uniform(0.1, 0.8)))]
    marks.append(Mark(points((-0.07, 0.33), (0, 0.22), (0.07, 0.33)), darker(colour, 0.2)))
    marks.append(Mark(skin, colour, "ball", 0.46))
    pattern = rng.random()
    if pattern < 0.16:
        marks += dots(rng, skin, contrasting(rng, colour, (*BRIGHT, WHITE)), 0.06, 0.85)
    elif pattern < 0.34:
        marks += stripes(skin, contrasting(rng, colour, (*BRIGHT, WHITE)), 4, rng.uniform(60, 120), 0.8)
    marks.append(
        shine(smooth(points((-0.3, -0.66), (-0.2, -0.78), (-0.24, -0.5), (-0.33, -0.36)) * (wide / 0.55, 1)), 0.6)
    )
    marks.append(Mark(ellipse(0.18, -0.1, 0.22, 0.05, -40), lighter(colour, 0.6), "flat", opacity=0.25, clip=skin))
    return marks


def rocket(rng: np.random.Generator) -> Drawing:
    """Draws a rocket with a pointed nose, fins, portholes and (mostly) a flame; upright."""
    body_colour = some(rng, (WHITE, STONE, CREAM, SKY, (206, 212, 224)))
    trim = contrasting(rng, body_colour, (TOMATO, ORANGE, TEAL, NAVY, PINK))
    wide = rng.uniform(0.24, 0.36)
    marks: Drawing = []
    if rng.random() < 0.85:
        for reach, hue in ((rng.uniform(1.0, 1.35), ORANGE), (rng.uniform(0.78, 0.92), LEMON)):
            half = wide * (0.62 if hue is ORANGE else 0.34)
            tongue = smooth(points((-half, 0.48), (half, 0.48), (half * 1.05, 0.62), (0, reach), (-half * 1.05, 0.62)))
            marks.append(Mark(tongue, hue, "down", into=TOMATO if hue is ORANGE else WHITE))
    fin_low = rng.uniform(0.42, 0.6)
    fin = smooth(points((wide * 0.8, 0.0), (wide * 2.0, 0.3), (wide * 2.1, fin_low), (wide * 0.7, 0.36)), steps=5)
    marks += [Mark(fin, trim, depth=0.35), Mark(mirrored(fin), trim, depth=0.35)]
    marks.append(
        Mark(
            points((-wide * 0.55, 0.4), (wide * 0.55, 0.4), (wide * 0.7, 0.53), (-wide * 0.7, 0.53)),
            darker(STONE, 0.45),
        )
    )
    hull = symmetric(points((0.0, -1.0), (wide * 0.62, -0.66), (wide, -0.15), (wide * 0.92, 0.2), (wide * 0.58, 0.45)))
    marks.append(Mark(hull, body_colour, depth=0.42))
    nose = points((-1, -1.1), (1, -1.1), (1, -0.6), (-1, -0.6))
    marks.append(Mark(nose * (1, 1), trim, "side", 0.2, clip=hull))
    if rng.random() < 0.6:
        marks.append(Mark(points((-1, 0.14), (1, 0.14), (1, 0.25), (-1, 0.25)), trim, clip=hull))
    for y in (-0.3, 0.0)[: int(rng.integers(1, 3))]:
        r = wide * (0.46 if y < -0.1 else 0.32)
        marks.append(Mark(ellipse(0, y, r * 1.3), mix(trim, STONE, 0.5), depth=0.4))
        marks.append(Mark(ellipse(0, y, r), some(rng, (SKY, NAVY, (120, 200, 220))), "ball", 0.5))
        marks.append(shine(ellipse(-r * 0.35, y - r * 0.35, r * 0.28, r * 0.16, -40), 0.8))
    middle = smooth(points((0, 0.12), (wide * 0.16, 0.4), (0, fin_low + 0.03), (-wide * 0.16, 0.4)), steps=5)
    return [*marks, Mark(middle, darker(trim, 0.1), depth=0.35)]


def bird(rng: np.random.Generator) -> Drawing:
    """Draws a bird that looks to the right: perching, or in flight with a raised wing."""
    colour = some(rng, (TOMATO, SKY, NAVY, MARIGOLD, TEAL, BROWN, (106, 104, 118), PINK, WHITE))
    belly = some(rng, PASTEL) if rng.random() < 0.7 else lighter(colour, 0.4)
    flying = rng.random() < 0.4
    plump = rng.uniform(0.36, 0.48)
    marks: Drawing = []
    if flying:
        tail = points((-0.42, -0.04), (-1.05, -0.12), (-0.88, 0.08), (-1.08, 0.24), (-0.4, 0.22))
        far = _wing(0.34, -0.2, 62, 0.78)
        marks += [Mark(tail, darker(colour, 0.25)), Mark(far, darker(colour, 0.38))]
    else:
        tail = points((-0.45, -0.04), (-1.04, 0.12), (-1.0, 0.24), (-1.06, 0.36), (-0.4, 0.24))
        marks.append(Mark(tail, darker(colour, 0.25)))
        legs = [
            points((x, 0.4), (x + 0.02, 0.78), (x + 0.14, 0.8), (x + 0.02, 0.78), (x - 0.06, 0.8))
            for x in (-0.02, 0.16)
        ]
        marks.append(line(np.stack(legs), 0.038, ORANGE))
    marks.append(Mark(points((0.74, -0.42), (1.0, -0.28), (0.72, -0.2)), some(rng, (ORANGE, MARIGOLD, INK)), depth=0.2))
    body = smooth(points((-0.6, 0.05), (-0.2, -0.3), (0.22, -0.5), (0.5, -0.66), (0.76, -0.52), (0.8, -0.25),
                         (0.62, 0.1), (0.3, plump), (-0.15, plump * 0.95), (-0.5, 0.25)))  # fmt: skip
    marks.append(Mark(body, colour, "ball", 0.34, grain=0.03))
    marks.append(Mark(ellipse(0.34, 0.2, 0.4, 0.42, 30), belly, "side", 0.2, clip=body))
    eye = ellipse(0.56, -0.4, 0.075)
    marks += [
        Mark(ellipse(0.56, -0.4, 0.1), WHITE, "flat"),
        Mark(eye, INK, "flat"),
        shine(ellipse(0.585, -0.43, 0.025), 1.0),
    ]
    if flying:
        wing = _wing(0.24, -0.1, rng.uniform(92, 128), 1.05)
        marks.append(Mark(wing, darker(colour, 0.12), depth=0.4))
        marks.append(Mark(wing * 0.62 + (0.09, -0.04), lighter(colour, 0.12), depth=0.3))
    else:
        wing = smooth(points((0.25, -0.15), (-0.1, -0.22), (-0.72, 0.18), (-0.2, 0.3), (0.18, 0.16)), steps=6)
        marks.append(Mark(wing, darker(colour, 0.12), depth=0.4))
        feathers = [wing[12:26] * share + wing.mean(0) * (1 - share) + (0, 0.05) for share in (0.35, 0.65)]
        marks.append(line(np.stack(feathers), 0.022, darker(colour, 0.45), 0.7))
    if rng.random() < 0.25:
        crest = smooth(points((0.42, -0.6), (0.2, -0.88), (0.44, -0.8), (0.58, -0.62)), steps=5)
        marks.insert(0, Mark(crest, darker(colour, 0.1)))
    return marks + (speckles(rng, body, darker(colour, 0.4), 10, 0.03, 0.4) if rng.random() < 0.25 else [])


def _wing(x: float, y: float, lift: float, length: float) -> Points:
    """Returns a spread wing rooted at x, y that points `lift` degrees up from the right, feathers behind."""
    edge = [(0.0, -0.16), (0.35, -0.25), (0.75, -0.2), (1.0, -0.02), (0.84, 0.02), (0.88, 0.13), (0.68, 0.11),
            (0.7, 0.22), (0.5, 0.18), (0.5, 0.29), (0.3, 0.22), (0.12, 0.26), (-0.04, 0.14)]  # fmt: skip
    return spun(smooth(points(*edge), steps=4) * (length, -length), -lift, x, y)
