"""Backgrounds in the open: each a drawing one unit high, and the height at which its ground starts."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line
from ccd_fast.demo.palette import (
    BRIGHT,
    BROWN,
    CREAM,
    LEAF,
    NAVY,
    PINE,
    SAND,
    SKY,
    TEAL,
    WHITE,
    Colour,
    darker,
    lighter,
    mix,
    some,
    varied,
)
from ccd_fast.demo.scenery import Backdrop, day_sky, fall, hills, specks, tufts
from ccd_fast.demo.shapes import arc, ellipse, points, rectangle, smooth, spun


def meadow(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Sky, far hills, grass with tufts, perhaps a path."""
    horizon = rng.uniform(0.42, 0.66)
    green = some(rng, (LEAF, (130, 180, 84), (164, 184, 86), (92, 150, 84)))
    far = mix(green, (150, 190, 210), 0.5)
    marks = day_sky(rng, aspect, horizon)
    marks.append(Mark(hills(rng, aspect, horizon + 0.02, 0.16), far, "down", into=lighter(far, 0.2)))
    marks.append(
        Mark(
            hills(rng, aspect, horizon + 0.04, 0.06), lighter(green, 0.15), "down", into=darker(green, 0.25), grain=0.06
        )
    )
    if rng.random() < 0.4:
        x = rng.uniform(0.2, 0.8) * aspect
        path = smooth(
            points(
                (x, horizon + 0.05),
                (x + 0.1, 0.75),
                (x - 0.15, 1.05),
                (x + 0.25, 1.05),
                (x + 0.26, 0.75),
                (x + 0.03, horizon + 0.05),
            )
        )
        marks.append(Mark(path, some(rng, (SAND, (206, 176, 130))), "down", into=BROWN, opacity=0.85))
    return [
        *marks,
        tufts(rng, aspect, horizon + 0.05, 60, darker(green, 0.35)),
        tufts(rng, aspect, horizon + 0.05, 40, lighter(green, 0.3)),
    ], horizon


def street(rng: np.random.Generator, aspect: float) -> Backdrop:
    """A skyline of tall blocks, a pavement, a road with dashes."""
    horizon = rng.uniform(0.5, 0.66)
    marks = day_sky(rng, aspect, horizon)
    haze = some(rng, ((150, 160, 186), (186, 170, 180), (140, 170, 180), (196, 180, 160)))
    x = -0.05
    while x < aspect:
        wide, top = rng.uniform(0.1, 0.24), horizon - rng.uniform(0.12, 0.42)
        tint = varied(rng, haze, 12)
        marks.append(Mark(rectangle(x, top, x + wide, horizon + 0.02), tint, "down", into=lighter(tint, 0.3)))
        rows, columns = (np.arange(top + 0.03, horizon - 0.04, 0.05), np.arange(x + 0.02, x + wide - 0.03, 0.04))
        if len(rows) and len(columns):
            corners = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 1, 2)
            marks.append(Mark(corners + rectangle(0, 0, 0.018, 0.024), lighter(tint, 0.45), "flat", opacity=0.8))
        x += wide + rng.uniform(-0.01, 0.03)
    walk, tar = (
        some(rng, ((196, 190, 186), (176, 168, 170), (206, 190, 170))),
        some(rng, ((104, 104, 114), (92, 88, 100))),
    )
    kerb = horizon + rng.uniform(0.08, 0.14)
    marks += [
        fall(horizon, kerb, aspect, walk, darker(walk, 0.1)),
        fall(kerb, 1.02, aspect, tar, darker(tar, 0.25), 0.05),
    ]
    marks.append(Mark(rectangle(-0.02, kerb, aspect + 0.02, kerb + 0.018), lighter(walk, 0.4), "flat"))
    middle = (kerb + 1) / 2 + 0.03
    dashes = [
        points((x, middle), (x + 0.16, middle), (x + 0.15, middle + 0.022), (x - 0.01, middle + 0.022))
        for x in np.arange(rng.uniform(-0.2, 0), aspect, 0.3).tolist()
    ]
    return [*marks, Mark(np.stack(dashes), CREAM, "flat", opacity=0.85)], horizon


def sea(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Sky, perhaps an island, and water in bands of waves."""
    horizon = rng.uniform(0.36, 0.58)
    blue = some(rng, (TEAL, (64, 140, 190), (84, 160, 180), NAVY))
    marks = day_sky(rng, aspect, horizon)
    if rng.random() < 0.5:
        x, w = rng.uniform(0, aspect), rng.uniform(0.15, 0.4)
        marks.append(
            Mark(
                smooth(points((x - w, horizon + 0.02), (x, horizon - w * 0.3), (x + w, horizon + 0.02))),
                (130, 150, 160),
                "down",
                into=PINE,
                opacity=0.8,
            )
        )
    marks.append(fall(horizon, 1.02, aspect, lighter(blue, 0.4), darker(blue, 0.15)))
    for level in (horizon + (1 - horizon) * np.linspace(0.06, 0.92, 7) ** 1.2).tolist():
        along = np.arange(-0.1, aspect + 0.15, 0.012 + 0.02 * (level - horizon))
        crest = np.stack(
            [along, level + 0.012 * np.sin(along * 24 / (1 + 2 * (level - horizon)) + rng.uniform(0, 6))], axis=1
        )
        marks.append(
            Mark(
                np.concatenate([crest, points((aspect + 0.1, level + 0.09), (-0.1, level + 0.09))]),
                darker(blue, 0.12),
                "flat",
                opacity=0.2,
            )
        )
        marks.append(line(crest, 0.005, lighter(blue, 0.65), 0.7))
    return marks, horizon


def underwater(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Deep water with rays of light, bubbles and a sandy floor."""
    blue = some(rng, (TEAL, (50, 140, 190), (40, 110, 150), (70, 160, 170)))
    floor = rng.uniform(0.76, 0.9)
    marks: Drawing = [fall(-0.02, 1.02, aspect, lighter(blue, 0.35), darker(blue, 0.45))]
    for x in rng.uniform(-0.1, aspect, 4).tolist():
        ray = points((x, -0.02), (x + 0.08, -0.02), (x + 0.34, 0.95), (x + 0.12, 0.95))
        marks.append(Mark(ray, WHITE, "flat", opacity=0.13, blur=0.015))
    sand = mix(some(rng, (SAND, (210, 200, 160))), blue, 0.35)
    marks.append(Mark(hills(rng, aspect, floor + 0.05, 0.09), sand, "down", into=darker(sand, 0.3), grain=0.06))
    bubbles = specks(rng, aspect, 0.05, floor, 26, 0.018)
    return [
        *marks,
        Mark(bubbles, lighter(blue, 0.8), "flat", opacity=0.45),
        Mark(specks(rng, aspect, floor + 0.05, 1, 30, 0.012, 0.6), darker(sand, 0.4), "flat", opacity=0.6),
    ], floor


def night(rng: np.random.Generator, aspect: float) -> Backdrop:
    """A dark sky with pinpricks of light over dark hills."""
    horizon = rng.uniform(0.5, 0.68)
    deep = some(rng, ((28, 34, 78), (40, 30, 80), (22, 46, 80)))
    ground = mix(some(rng, (PINE, NAVY, (60, 70, 80))), deep, 0.5)
    marks: Drawing = [fall(-0.02, horizon + 0.08, aspect, deep, mix(deep, (150, 110, 160), 0.55))]
    marks.append(Mark(specks(rng, aspect, 0, horizon, 46, 0.005), CREAM, "flat", opacity=0.9))
    marks.append(Mark(hills(rng, aspect, horizon + 0.03, 0.16), mix(ground, deep, 0.5), "down", into=deep))
    marks.append(Mark(hills(rng, aspect, horizon + 0.05, 0.05), ground, "down", into=darker(ground, 0.4), grain=0.06))
    return [*marks, tufts(rng, aspect, horizon + 0.06, 60, darker(ground, 0.4))], horizon


def beach(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Sky, a strip of sea, wet and dry sand."""
    horizon = rng.uniform(0.34, 0.5)
    sand = some(rng, (SAND, (236, 212, 164), (220, 190, 150)))
    blue = some(rng, (TEAL, (70, 160, 200), (90, 180, 190)))
    marks = [*day_sky(rng, aspect, horizon), fall(horizon, horizon + 0.2, aspect, blue, lighter(blue, 0.45))]
    shore = hills(rng, aspect, horizon + 0.16, 0.05)
    marks += [
        Mark(shore - (0, 0.018), WHITE, "flat", opacity=0.8),
        Mark(shore, sand, "down", into=darker(sand, 0.18), grain=0.05),
    ]
    return [
        *marks,
        Mark(specks(rng, aspect, horizon + 0.18, 1, 80, 0.006, 0.7), darker(sand, 0.35), "flat", opacity=0.6),
    ], horizon + 0.14


def snow(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Pale sky, white hills, falling flakes."""
    horizon = rng.uniform(0.45, 0.64)
    sky = some(rng, ((160, 186, 214), (190, 200, 220), (206, 190, 210), (120, 150, 196)))
    white: Colour = varied(rng, (240, 244, 250), 5)
    marks: Drawing = [fall(-0.02, horizon + 0.1, aspect, sky, lighter(sky, 0.6))]
    marks.append(Mark(hills(rng, aspect, horizon + 0.02, 0.2), mix(white, sky, 0.45), "down", into=white))
    marks.append(Mark(hills(rng, aspect, horizon + 0.05, 0.07), white, "down", into=mix(white, sky, 0.55), grain=0.015))
    return [*marks, Mark(specks(rng, aspect, 0, 1, 60, 0.009), WHITE, "flat", opacity=0.9)], horizon


def desert(rng: np.random.Generator, aspect: float) -> Backdrop:
    """A hot sky, flat-topped rocks, dunes."""
    horizon = rng.uniform(0.46, 0.64)
    sand = some(rng, ((232, 186, 116), (222, 160, 100), (240, 206, 140)))
    sky = some(rng, (SKY, (250, 190, 120), (240, 150, 120), (150, 200, 220)))
    marks: Drawing = [fall(-0.02, horizon + 0.05, aspect, sky, lighter(sky, 0.65))]
    for _ in range(int(rng.integers(0, 3))):
        x, w, h = rng.uniform(0, aspect), rng.uniform(0.08, 0.2), rng.uniform(0.08, 0.22)
        rock = points(
            (x - w, horizon + 0.03),
            (x - w * 0.7, horizon - h),
            (x + w * 0.6, horizon - h * 0.95),
            (x + w, horizon + 0.03),
        )
        marks.append(Mark(rock, mix((190, 100, 70), sand, 0.3), "side", 0.35, grain=0.06))
    for level, tint in ((0.02, lighter(sand, 0.2)), (0.14, sand), (0.3, darker(sand, 0.06))):
        marks.append(
            Mark(hills(rng, aspect, horizon + level, 0.08, 5), tint, "down", into=darker(tint, 0.18), grain=0.03)
        )
    return marks, horizon


def forest(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Blurred foliage with spots of light above a mossy floor strewn with leaves."""
    horizon = rng.uniform(0.42, 0.6)
    green = some(rng, (PINE, (70, 120, 70), (96, 130, 70), (120, 110, 60)))
    marks: Drawing = [fall(-0.02, horizon + 0.1, aspect, darker(green, 0.35), green)]
    for _ in range(12):
        spot = ellipse(rng.uniform(0, aspect), rng.uniform(0, horizon), rng.uniform(0.03, 0.12))
        marks.append(Mark(spot, lighter(varied(rng, green), rng.uniform(0.1, 0.6)), "flat", opacity=0.4, blur=0.015))
    moss = mix(green, BROWN, rng.uniform(0.1, 0.6))
    marks.append(Mark(hills(rng, aspect, horizon + 0.04, 0.06), moss, "down", into=darker(moss, 0.35), grain=0.09))
    for tint in ((200, 120, 50), (150, 90, 50), (180, 160, 70)):
        marks.append(
            Mark(specks(rng, aspect, horizon + 0.05, 1, 18, 0.016, 0.5), varied(rng, tint), "flat", opacity=0.8)
        )
    return [*marks, tufts(rng, aspect, horizon + 0.04, 50, lighter(green, 0.25))], horizon


def space(rng: np.random.Generator, aspect: float) -> Backdrop:
    """Darkness with a cloud of coloured light, points of light, and a ringed planet at times."""
    deep = some(rng, ((24, 20, 52), (16, 28, 60), (40, 18, 58)))
    marks: Drawing = [fall(-0.02, 1.02, aspect, deep, darker(deep, 0.3))]
    for _ in range(4):
        cloud = ellipse(
            rng.uniform(0, aspect),
            rng.uniform(0, 1),
            rng.uniform(0.1, 0.35),
            rng.uniform(0.06, 0.2),
            rng.uniform(0, 180),
        )
        marks.append(Mark(cloud, some(rng, BRIGHT), "flat", opacity=0.28, blur=0.08))
    marks += [Mark(specks(rng, aspect, 0, 1, 90, 0.005), WHITE, "flat", opacity=0.9)]
    if rng.random() < 0.5:
        x, y, r, tint = (rng.uniform(0, aspect), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.12), some(rng, BRIGHT))
        ring = spun(arc(0, 0, r * 1.8, r * 0.4, -10, 190, 24), -15, x, y)
        marks += [Mark(ellipse(x, y, r), tint, "ball", 0.6), line(ring, 0.014, lighter(tint, 0.5))]
    return marks, 0.5
