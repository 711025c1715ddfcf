"""How plants and what grows on them are drawn: tree, flower, mushroom, cactus, apple."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line, moved
from ccd_fast.demo.palette import (
    BERRY,
    BRIGHT,
    BROWN,
    CREAM,
    LEAF,
    LEMON,
    MARIGOLD,
    ORANGE,
    PINE,
    PINK,
    SKY,
    TEAL,
    TOMATO,
    VIOLET,
    WHITE,
    WOOD,
    Colour,
    contrasting,
    darker,
    lighter,
    mix,
    some,
    varied,
)
from ccd_fast.demo.patterns import dots, shine, speckles
from ccd_fast.demo.shapes import arc, ellipse, points, ribbon, rounded, smooth, spun, symmetric, wobbled


def leaf(length: float, width: float, colour: Colour) -> Drawing:
    """Returns a leaf that starts at the origin and points to the right."""
    blade = smooth(points((0, 0), (length * 0.4, -width / 2), (length, 0), (length * 0.4, width / 2)))
    return [Mark(blade, colour), line(points((0, 0), (length * 0.85, 0)), 0.016, darker(colour, 0.25))]


def tree(rng: np.random.Generator) -> Drawing:
    """Draws a tree: round-headed, fir, or tall and narrow."""
    kind = rng.random()
    if kind < 0.32:
        return _fir(rng)
    green = some(rng, (LEAF, PINE, (126, 176, 72), (70, 140, 96), (220, 140, 50), (200, 84, 50), (232, 182, 64)))
    bark = some(rng, WOOD)
    trunk_width = rng.uniform(0.16, 0.28)
    trunk = ribbon(smooth(points((0, -0.3), (rng.uniform(-0.05, 0.05), 0.4), (0, 1)), False),
                   (trunk_width * 0.7, trunk_width * 0.8, trunk_width * 1.7))  # fmt: skip
    marks: Drawing = [Mark(trunk, bark, depth=0.45, grain=0.1)]
    marks += [line(points((x, 0.2 + x), (x * 1.2, 0.75)), 0.02, darker(bark, 0.35), 0.6) for x in (-0.05, 0.03)]
    for side in (-1, 1):
        branch = ribbon(points((0, 0.35), (side * 0.28, 0.02), (side * 0.4, -0.3)), (0.09, 0.05, 0.03))
        marks.append(Mark(branch, bark))
    wide, tall = (0.62, 0.62) if kind < 0.8 else (0.34, 0.78)
    wide *= rng.uniform(0.88, 1.2)
    lobes = int(rng.integers(6, 10))
    around = np.linspace(0, 360, lobes, endpoint=False) + rng.uniform(0, 40)
    # The lower lobes lie behind and in shade, the upper ones in front and in the light.
    for angle in sorted(around.tolist(), key=lambda a: -float(np.sin(np.radians(a)))):
        c, s = float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))
        puff = wobbled(rng, ellipse(c * wide * 0.7, -0.38 + s * tall * 0.62, wide * 0.5, tall * 0.42), 0.04)
        marks.append(Mark(puff, mix(darker(green, 0.3), green, 0.5 - 0.5 * s), "ball", 0.3, grain=0.07))
    marks.append(Mark(wobbled(rng, ellipse(0, -0.42, wide * 0.72, tall * 0.62), 0.03), green, "ball", 0.34, grain=0.08))
    for _ in range(int(rng.integers(10, 20))):
        x, y = rng.normal(0, 0.36 * wide), -0.42 + rng.normal(0, 0.34 * tall)
        tuft = arc(x, y, 0.08, 0.06, 200, 340, 8)
        marks.append(line(tuft, 0.028, lighter(green, 0.25) if y < -0.35 else darker(green, 0.2), 0.8))
    return marks


def _fir(rng: np.random.Generator) -> Drawing:
    green, bark = some(rng, (PINE, (56, 128, 84), (36, 96, 88), (88, 140, 70))), some(rng, WOOD)
    tiers = int(rng.integers(3, 6))
    wide = rng.uniform(0.48, 0.72)
    snowy = rng.random() < 0.2
    marks: Drawing = [Mark(ribbon(points((0, 0.5), (0, 1.0)), (0.16, 0.2)), bark, depth=0.45, grain=0.1)]
    for i in range(tiers):
        share = (i + 1) / tiers
        low, high = 0.78 - 1.5 * i / tiers, -1.0 if i == tiers - 1 else 0.78 - 1.5 * i / tiers - 0.75
        half = wide * (1 - 0.75 * i / tiers)
        hem = [(half - 2 * half * k / 8, low + (0.06 if k % 2 else -0.02)) for k in range(9)]
        skirt = points((0, high), (half * 0.45, (low + high) / 2), *hem, (-half * 0.45, (low + high) / 2))
        marks.append(Mark(skirt, mix(darker(green, 0.25), green, share), "side", 0.36, grain=0.08))
        if snowy:
            cap = points((0, high), (half * 0.45, (low + high) / 2), (half * 0.2, (low + high) / 2 - 0.02),
                         (0, (low + high) / 2 + 0.08), (-half * 0.3, (low + high) / 2 - 0.03),
                         (-half * 0.45, (low + high) / 2))  # fmt: skip
            marks.append(Mark(cap, WHITE, depth=0.15))
    return marks


def flower(rng: np.random.Generator) -> Drawing:
    """Draws a flower on its stem: a daisy-like head or a tulip."""
    stem_green = some(rng, (LEAF, PINE, (120, 172, 80)))
    bend, foot = rng.uniform(-0.22, 0.22), rng.uniform(0.35, 0.95)
    stem = smooth(points((0, -0.35), (bend, foot * 0.4), (bend * 0.4, foot)), closed=False)
    marks: Drawing = [Mark(ribbon(stem, (0.06, 0.075)), stem_green)]
    for side in (-1, 1):
        blade = leaf(rng.uniform(0.36, 0.55), rng.uniform(0.16, 0.26), varied(rng, stem_green, 8))
        marks += moved(blade, bend * 0.75, rng.uniform(0.35, 0.75) * foot, 1, -35, side < 0)
    petal = some(rng, (TOMATO, PINK, LEMON, VIOLET, WHITE, ORANGE, SKY, BERRY, MARIGOLD))
    if rng.random() < 0.28:
        cup = smooth(points((-0.32, -0.9), (-0.36, -0.5), (0, -0.22), (0.36, -0.5), (0.32, -0.9), (0.15, -0.68),
                            (0, -0.98), (-0.15, -0.68)), steps=6)  # fmt: skip
        middle = smooth(points((0, -0.98), (0.17, -0.6), (0, -0.23), (-0.17, -0.6)))
        return [
            *marks,
            Mark(cup * (1.25, 1.0), darker(petal, 0.12), depth=0.35),
            Mark(middle * (1.25, 1.0), lighter(petal, 0.18), "ball", 0.3),
        ]
    count, long = int(rng.integers(5, 14)), rng.uniform(0.4, 0.56)
    wide = min(0.4, rng.uniform(1.5, 2.0) * np.pi * long * 0.62 / count)
    tip = rng.uniform(0.75, 1.15)
    blade_outline = smooth(
        points((0.06, 0), (long * 0.55, -wide / 2), (long * tip, 0), (long * 0.55, wide / 2)), steps=5
    )
    for i in range(count):
        tint = mix(petal, darker(petal, 0.25), 0.6 * (i % 2))
        marks.append(Mark(spun(blade_outline, 360 * i / count + 12, 0, -0.5), tint, "ball", 0.22))
    heart = some(rng, (MARIGOLD, BROWN, LEMON) if petal[2] > 120 or petal[1] < 140 else (BROWN, (96, 60, 40)))
    disc = ellipse(0, -0.5, rng.uniform(0.13, 0.21))
    return [*marks, Mark(disc, heart, "ball", 0.35), *speckles(rng, disc, darker(heart, 0.45), 16, 0.022, 0.7)]


def mushroom(rng: np.random.Generator) -> Drawing:
    """Draws a mushroom: a spotted toadstool or a plain brown one."""
    spotted = rng.random() < 0.65
    colour = some(
        rng, (TOMATO, TOMATO, BERRY, ORANGE, VIOLET) if spotted else (BROWN, (196, 146, 96), (168, 108, 64), CREAM)
    )
    wide, high = rng.uniform(0.62, 0.92), rng.uniform(0.5, 0.85)
    stalk = rng.uniform(0.17, 0.3)
    pale = some(rng, (WHITE, CREAM, (238, 222, 196)))
    foot = smooth(points((-stalk * 0.8, -0.1), (stalk * 0.8, -0.1), (stalk, 0.5), (stalk * 1.4, 0.88), (0, 1.0),
                         (-stalk * 1.4, 0.88), (-stalk, 0.5)))  # fmt: skip
    marks: Drawing = [Mark(foot, pale, depth=0.42, grain=0.04)]
    if rng.random() < 0.6:
        skirt = points((-stalk * 0.85, 0.22), (stalk * 0.85, 0.22), (stalk * 1.5, 0.42), (0, 0.5), (-stalk * 1.5, 0.42))
        marks.append(Mark(smooth(skirt, steps=5), lighter(pale, 0.3), depth=0.3))
    marks.append(Mark(ellipse(0, 0.06, wide * 0.93, 0.17), darker(pale, 0.22), "down", into=darker(pale, 0.42)))
    gills = [
        points((x * 0.3, 0.1), (x * wide, 0.1 + 0.1 * (1 - x * x) ** 0.5))
        for x in np.linspace(-0.82, 0.82, 13).tolist()
    ]
    marks.append(line(np.stack(gills), 0.014, darker(pale, 0.5), 0.6))
    dome = np.concatenate([arc(0, 0.02, wide, high, 180, 360, 30), arc(0, 0.02, wide, 0.12, 0, 180, 16)])
    marks.append(Mark(dome, colour, "ball", 0.42, grain=0.03))
    if spotted:
        spots = []
        for a in np.linspace(196, 344, int(rng.integers(6, 11))).tolist():
            d, turn = rng.uniform(0.3, 0.95), np.radians(a + rng.normal(0, 4))
            at = wide * d * np.cos(turn), high * d * np.sin(turn)
            spots.append(wobbled(rng, ellipse(*at, rng.uniform(0.05, 0.12), rng.uniform(0.045, 0.09)), 0.06))
        marks.append(Mark(np.stack(spots), lighter(pale, 0.5), "side", 0.12, clip=dome))
    marks.append(shine(ellipse(-wide * 0.4, -high * 0.6, 0.13, 0.06, -35), 0.3))
    blades = [ribbon(points((x, 1.0), (x * 1.15, 0.84)), (0.04, 0.005)) for x in (-0.34, -0.26, 0.24, 0.33, 0.4)]
    return [*marks, Mark(np.stack(blades), varied(rng, LEAF), "flat")] if rng.random() < 0.5 else marks


def cactus(rng: np.random.Generator) -> Drawing:
    """Draws a cactus: tall with arms, or a round one in a pot."""
    green = some(rng, ((70, 140, 84), (96, 156, 92), (52, 122, 100), (120, 160, 84)))
    pot = rng.random() < 0.42
    ball = pot and rng.random() < 0.45
    marks: Drawing = []
    limbs = []
    if ball:
        limbs.append(ellipse(0, 0.02, 0.52, 0.52))
    else:
        thick = rng.uniform(0.34, 0.46)
        for side in (-1, 1):
            if rng.random() < 0.88 or side == 1:
                y, out, up = rng.uniform(-0.05, 0.35), rng.uniform(0.44, 0.6), rng.uniform(0.3, 0.6)
                elbow = smooth(
                    points((0, y), (side * out * 0.8, y), (side * out, y - 0.18), (side * out, y - up)), False
                )
                # The end of the arm is rounded like a half circle.
                tip = np.sqrt(1 - np.clip(np.linspace(-4, 1, len(elbow)), 0, 0.98) ** 2)
                limbs.append(ribbon(elbow, (thick * 0.6 * tip).tolist()))
        limbs.append(rounded(-thick / 2, -0.95, thick / 2, 1.0 if not pot else 0.5, thick / 2))
    for limb in limbs:
        marks.append(Mark(limb, green, depth=0.42, grain=0.03))
    trunk = limbs[-1]
    half = float(trunk[:, 0].max())
    for share in (-0.55, 0.0, 0.55):
        top, low = float(trunk[:, 1].min()), float(trunk[:, 1].max())
        x = share * half
        rib = points((x * 0.6, top + 0.1), (x * 1.1, (top + low) / 2), (x, low - 0.06))
        marks.append(line(smooth(rib, False), 0.022, darker(green, 0.35), 0.8))
        spines = [
            points((x - 0.05, y - 0.03), (x, y), (x + 0.05, y - 0.03))
            for y in np.arange(top + 0.2, low - 0.1, 0.17).tolist()
        ]
        marks.append(line(np.stack(spines), 0.018, lighter(green, 0.75)))
    if rng.random() < 0.55:
        bloom = some(rng, (PINK, BERRY, LEMON, ORANGE))
        top = float(trunk[:, 1].min())
        petals = [spun(ellipse(0, -0.11, 0.055, 0.12), turn, 0, top + 0.02) for turn in (-55, 55, -20, 20)]
        marks += [Mark(petal, mix(bloom, WHITE, 0.12 * i)) for i, petal in enumerate(petals)]
    if pot:
        clay = some(rng, ((200, 106, 66), TEAL, WHITE, MARIGOLD, PINK, SKY))
        body = points((-0.42, 0.5), (0.42, 0.5), (0.31, 1.0), (-0.31, 1.0))
        marks += [
            Mark(body, clay, depth=0.42),
            Mark(rounded(-0.48, 0.42, 0.48, 0.58, 0.04), lighter(clay, 0.12), depth=0.35),
        ]
        if rng.random() < 0.4:
            marks += dots(rng, body, contrasting(rng, clay, BRIGHT), 0.04)
    return marks


def apple(rng: np.random.Generator) -> Drawing:
    """Draws an apple: red, green or yellow, sometimes two-coloured, with stalk and leaf."""
    colour = some(rng, (TOMATO, TOMATO, (196, 40, 50), (140, 186, 62), (232, 200, 74), BERRY))
    wide = rng.uniform(0.86, 1.02)
    side = points(
        (0.0, -0.56), (0.32, -0.68), (0.7, -0.55), (0.86, -0.1), (0.68, 0.5), (0.36, 0.82), (0.12, 0.8), (0, 0.74)
    )
    body = symmetric(side * (wide, 1.0))
    marks: Drawing = [Mark(body, colour, "ball", 0.5)]
    if rng.random() < 0.5:
        blush = some(rng, (MARIGOLD, TOMATO, (170, 200, 90)))
        marks.append(
            Mark(ellipse(rng.uniform(-0.5, 0.5), 0.2, 0.4, 0.6), blush, "flat", opacity=0.6, blur=0.18, clip=body)
        )
    marks += speckles(rng, body, lighter(colour, 0.6), 26, 0.018, 0.6)
    marks.append(Mark(ellipse(0, -0.53, 0.26, 0.085), darker(colour, 0.5), "down", into=darker(colour, 0.2)))
    lean = rng.uniform(-0.14, 0.14)
    marks.append(
        Mark(ribbon(smooth(points((0, -0.52), (lean * 0.3, -0.75), (lean, -0.96)), False), (0.06, 0.06, 0.1)), BROWN)
    )
    if rng.random() < 0.85:
        blade = leaf(0.5, 0.26, some(rng, (LEAF, PINE, (130, 180, 70))))
        marks += moved(blade, lean * 0.4, -0.76, 1, rng.uniform(-38, 5), rng.random() < 0.4)
    marks.append(shine(ellipse(-0.42 * wide, -0.22, 0.1, 0.24, 18), 0.5))
    if rng.random() < 0.15:
        bite = smooth(
            points((0.92, -0.4), (0.66, -0.36), (0.62, -0.14), (0.56, -0.02), (0.62, 0.18), (0.92, 0.24)) * (wide, 1)
        )
        marks.append(Mark(bite, (252, 240, 206), "side", 0.15, clip=body))
    return marks
