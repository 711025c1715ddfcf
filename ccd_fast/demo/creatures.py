"""How the fish, the cat and the snowman are drawn."""

from __future__ import annotations

import numpy as np

from ccd_fast.demo.painting import Drawing, Mark, line
from ccd_fast.demo.palette import (
    BRIGHT,
    BROWN,
    CREAM,
    INK,
    LEAF,
    LEMON,
    MARIGOLD,
    NAVY,
    ORANGE,
    PINK,
    STONE,
    TEAL,
    TOMATO,
    WHITE,
    Colour,
    contrasting,
    darker,
    lighter,
    mix,
    some,
)
from ccd_fast.demo.patterns import dots, shine, stripes
from ccd_fast.demo.shapes import arc, ellipse, points, rectangle, ribbon, rounded, smooth, spun


def fish(rng: np.random.Generator) -> Drawing:
    """Draws a fish that swims to the right: round or slender, scaled, striped or plain."""
    colour = some(rng, BRIGHT)
    fins = contrasting(rng, colour, BRIGHT) if rng.random() < 0.5 else darker(colour, 0.2)
    tall = rng.uniform(0.3, 0.56)
    fork = rng.uniform(0.3, 0.48)
    marks: Drawing = []
    tail = smooth(points((-0.5, 0), (-0.98, -fork), (-0.84, 0), (-0.98, fork)), steps=6)
    marks.append(Mark(tail, fins, depth=0.35))
    veins = np.stack([points((-0.6, 0), (-0.9, y * fork)) for y in (-0.7, -0.35, 0.35, 0.7)])
    marks.append(line(veins, 0.018, darker(fins, 0.3), 0.7))
    back = smooth(
        points((0.35, -tall * 0.7), (0.05, -tall - rng.uniform(0.12, 0.26)), (-0.4, -tall * 0.9), (-0.3, -tall * 0.4)),
        steps=6,
    )
    low = smooth(points((0.05, tall * 0.7), (-0.2, tall + 0.16), (-0.35, tall * 0.6)), steps=6)
    marks += [Mark(back, fins, depth=0.3), Mark(low, fins, depth=0.3)]
    body = smooth(points((0.95, 0.04), (0.62, -tall * 0.72), (0.1, -tall), (-0.4, -tall * 0.5), (-0.64, -0.06),
                         (-0.64, 0.06), (-0.4, tall * 0.5), (0.1, tall), (0.62, tall * 0.75)))  # fmt: skip
    marks.append(Mark(body, colour, "ball", 0.4))
    marks.append(Mark(ellipse(0.1, tall, 0.7, tall * 0.55), lighter(colour, 0.5), "flat", opacity=0.6, clip=body))
    pattern = rng.random()
    if pattern < 0.4:
        places = np.stack(np.meshgrid(np.arange(-0.5, 0.36, 0.17), np.arange(-tall, tall, 0.17)), axis=-1).reshape(
            -1, 1, 2
        )
        marks.append(line(places + arc(0, 0.04, 0.075, 0.085, -70, 70, 7), 0.02, darker(colour, 0.3), 0.65, body))
    elif pattern < 0.7:
        bands = contrasting(rng, colour, (*BRIGHT, WHITE, INK))
        for x in (-0.28, 0.06, 0.36)[: int(rng.integers(2, 4))]:
            band = ribbon(smooth(points((x, -0.7), (x + 0.07, 0), (x, 0.7)), False), (0.07, 0.16, 0.07))
            marks.append(Mark(band, bands, "side", clip=body))
    marks.append(line(arc(0.34, 0, 0.14, tall * 0.62, -62, 62, 12), 0.026, darker(colour, 0.4), 0.8, body))
    paddle = smooth(points((0.2, 0.06), (-0.12, 0.02), (-0.2, 0.22), (0.06, 0.24)), steps=6)
    marks.append(Mark(paddle, darker(fins, 0.12), depth=0.35))
    marks += [
        Mark(ellipse(0.62, -tall * 0.24, 0.1), WHITE, "flat"),
        Mark(ellipse(0.645, -tall * 0.24, 0.058), INK, "flat"),
    ]
    marks.append(shine(ellipse(0.665, -tall * 0.24 - 0.03, 0.02), 1.0))
    marks.append(line(arc(0.86, 0.02, 0.12, 0.1, 60, 170, 8), 0.03, darker(colour, 0.5)))
    return marks


def cat(rng: np.random.Generator) -> Drawing:
    """Draws a cat: sitting and facing us, or lying and looking to the right."""
    fur = some(rng, (ORANGE, (224, 158, 84), (110, 106, 116), (64, 58, 66), CREAM, BROWN, (176, 172, 178), WHITE))
    pale = lighter(fur, 0.55)
    markings = darker(fur, 0.35) if rng.random() < 0.55 else None
    return _sitting_cat(rng, fur, pale, markings) if rng.random() < 0.6 else _lying_cat(rng, fur, pale, markings)


def _cat_head(
    rng: np.random.Generator, x: float, y: float, r: float, fur: Colour, pale: Colour, marking: Colour | None
) -> Drawing:
    marks: Drawing = []
    for side in (-1, 1):
        ear = points(
            (x + side * r * 0.3, y - r * 0.7), (x + side * r * 0.92, y - r * 1.42), (x + side * r * 1.02, y - r * 0.25)
        )
        inner = ear * 0.62 + ear.mean(0) * 0.38 + (0, r * 0.06)
        marks += [Mark(ear, darker(fur, 0.08)), Mark(inner, mix(PINK, fur, 0.3), "flat")]
    skull = ellipse(x, y, r * 1.1, r * 0.92)
    marks.append(Mark(skull, fur, "ball", 0.3, grain=0.03))
    if marking:
        streak = ribbon(points((0, -r * 0.92), (0, -r * 0.5)), (0.12 * r, 0.02 * r))
        streaks = np.stack([spun(streak, turn, x, y) for turn in (-16, 0, 16)])
        cheeks = [points((s * 1.1, dy), (s * 0.76, dy + 0.06)) * r + (x, y) for s in (-1, 1) for dy in (0.05, 0.25)]
        marks += [Mark(streaks, marking, "flat", clip=skull), line(np.stack(cheeks), 0.07 * r, marking, 1.0, skull)]
    marks.append(Mark(ellipse(x, y + r * 0.36, r * 0.46, r * 0.32), pale, "flat", opacity=0.9))
    eyes = some(rng, ((150, 190, 70), LEMON, (110, 180, 190), MARIGOLD))
    for side in (-1, 1):
        at = x + side * r * 0.42
        marks += [Mark(ellipse(at, y - r * 0.08, r * 0.2, r * 0.22), eyes, "flat"),
                  Mark(ellipse(at, y - r * 0.08, r * 0.085, r * 0.19), INK, "flat"),
                  shine(ellipse(at + r * 0.06, y - r * 0.16, r * 0.05), 1.0)]  # fmt: skip
        whiskers = [
            points((x + side * r * 0.3, y + r * 0.34), (x + side * r * 1.25, y + r * dy)) for dy in (0.2, 0.34, 0.48)
        ]
        marks.append(line(np.stack(whiskers), 0.05 * r, lighter(fur, 0.8) if sum(fur) < 420 else INK, 0.7))
        marks.append(line(arc(x + side * r * 0.12, y + r * 0.38, r * 0.12, r * 0.1, 10, 170, 7), 0.05 * r, INK))
    marks.append(
        Mark(
            points((x - r * 0.11, y + r * 0.2), (x + r * 0.11, y + r * 0.2), (x, y + r * 0.34)), (226, 110, 126), "flat"
        )
    )
    return marks


def _sitting_cat(rng: np.random.Generator, fur: Colour, pale: Colour, marking: Colour | None) -> Drawing:
    side = 1 if rng.random() < 0.5 else -1
    tail = smooth(
        points((side * 0.25, 0.85), (side * 0.62, 0.84), (side * 0.78, 0.5), (side * rng.uniform(0.55, 0.9), 0.1)),
        closed=False,
    )
    marks: Drawing = [
        Mark(ribbon(tail, (0.16, 0.17, 0.12)), darker(fur, 0.15)),
        Mark(ellipse(float(tail[-1, 0]), float(tail[-1, 1]), 0.06), darker(fur, 0.15)),
    ]
    body = smooth(
        points(
            (0, -0.2),
            (0.26, -0.05),
            (0.44, 0.45),
            (0.46, 0.88),
            (0, 0.97),
            (-0.46, 0.88),
            (-0.44, 0.45),
            (-0.26, -0.05),
        )
    )
    marks.append(Mark(body, fur, depth=0.3, grain=0.03))
    if marking:
        bars = [
            ribbon(points((s * 0.5, y), (s * 0.2, y + 0.05)), (0.09, 0.02)) for s in (-1, 1) for y in (0.2, 0.42, 0.64)
        ]
        marks.append(Mark(np.stack(bars), marking, "flat", clip=body))
    marks.append(Mark(ellipse(0, 0.3, 0.2, 0.34), pale, "flat", opacity=0.9, clip=body))
    for s in (-1, 1):
        marks.append(line(points((s * 0.15, 0.5), (s * 0.14, 0.92)), 0.024, darker(fur, 0.4), 0.7))
        marks.append(Mark(ellipse(s * 0.17, 0.92, 0.15, 0.085), pale, depth=0.25))
    if rng.random() < 0.35:
        marks.append(Mark(rounded(-0.24, -0.1, 0.24, 0.0, 0.05), some(rng, BRIGHT)))
    return marks + _cat_head(rng, 0, -0.42, 0.4, fur, pale, marking)


def _lying_cat(rng: np.random.Generator, fur: Colour, pale: Colour, marking: Colour | None) -> Drawing:
    tip = rng.uniform(-0.5, 0.1)
    tail = smooth(points((-0.8, 0.5), (-1.1, 0.35), (-1.15, 0.0), (-0.98, tip)), closed=False)
    marks: Drawing = [
        Mark(ribbon(tail, (0.2, 0.16, 0.1)), darker(fur, 0.15)),
        Mark(ellipse(float(tail[-1, 0]), float(tail[-1, 1]), 0.05), darker(fur, 0.15)),
    ]
    body = smooth(
        points(
            (-0.95, 0.5), (-0.8, 0.05), (-0.3, -0.14), (0.3, -0.08), (0.66, 0.15), (0.74, 0.6), (0, 0.68), (-0.8, 0.66)
        )
    )
    marks.append(Mark(body, fur, "ball", 0.3, grain=0.03))
    if marking:
        for x in (-0.6, -0.36, -0.12, 0.12):
            streak = ribbon(smooth(points((x - 0.05, -0.25), (x + 0.03, 0.05), (x, 0.3)), False), (0.12, 0.08, 0.01))
            marks.append(Mark(streak, marking, "flat", clip=body))
    marks.append(line(arc(-0.5, 0.48, 0.3, 0.3, 190, 350, 14), 0.024, darker(fur, 0.4), 0.6))
    for x in (0.42, 0.78):
        marks.append(Mark(rounded(x - 0.24, 0.5, x + 0.1, 0.68, 0.09), pale, depth=0.25))
    return marks + _cat_head(rng, 0.56, -0.1, 0.42, fur, pale, marking)


def snowman(rng: np.random.Generator) -> Drawing:
    """Draws a snowman of two or three balls with hat, scarf, carrot nose and stick arms."""
    snow: Colour = some(rng, ((246, 248, 252), (236, 242, 250), WHITE))
    balls = [(0.6, 0.44), (0.04, 0.35), (-0.43, 0.3)] if rng.random() < 0.6 else [(0.5, 0.5), (-0.26, 0.38)]
    head_y, head = balls[-1]
    chest_y, chest = balls[-2] if len(balls) == 3 else (balls[0][0] - 0.2, balls[0][1])
    marks: Drawing = []
    for side in (-1, 1):
        lift = rng.uniform(-0.4, 0.1)
        hand = (side * rng.uniform(0.7, 0.85), chest_y + lift)
        marks.append(line(points((side * chest * 0.7, chest_y), hand), 0.045, BROWN))
        for dx, dy in ((0.1, -0.1), (0.13, 0.02)):
            marks.append(
                line(
                    points((hand[0] - side * 0.08, hand[1] - lift * 0.15), (hand[0] + side * dx * 0.6, hand[1] + dy)),
                    0.03,
                    BROWN,
                )
            )
    marks += [Mark(ellipse(0, y, r * 1.06, r), snow, "ball", 0.36, grain=0.015) for y, r in balls]
    for i in range(int(rng.integers(2, 4))):
        marks.append(Mark(ellipse(0, chest_y + (i - 0.7) * 0.15, 0.035), some(rng, (INK, TOMATO)), "ball"))
    for side in (-1, 1):
        marks.append(Mark(ellipse(side * head * 0.38, head_y - head * 0.15, 0.034, 0.042), INK, "flat"))
    smile = arc(0, head_y + head * 0.08, head * 0.58, head * 0.52, 35, 145, 5)[:, None]
    marks.append(Mark(smile + arc(0, 0, 0.022, 0.022, 0, 330, 10), INK, "flat"))
    marks.append(Mark(points((0, head_y - 0.01), (0.36, head_y + 0.07), (0, head_y + 0.08)), ORANGE, depth=0.3))
    wool = some(rng, (TOMATO, TEAL, NAVY, LEAF, MARIGOLD))
    neck = head_y + head * 0.86
    end = rounded(head * 0.3, neck, head * 0.3 + 0.15, neck + 0.36, 0.03)
    marks += [Mark(end, darker(wool, 0.15)), *stripes(end, lighter(wool, 0.6), 4, 90)]
    marks.append(
        Mark(
            smooth(
                points(
                    (-head, neck - 0.06),
                    (0, neck + 0.02),
                    (head, neck - 0.06),
                    (head, neck + 0.07),
                    (0, neck + 0.14),
                    (-head, neck + 0.07),
                )
            ),
            wool,
            depth=0.3,
        )
    )
    top = head_y - head * 0.72
    if rng.random() < 0.6:
        felt = some(rng, (INK, NAVY, (110, 60, 50)))
        marks += [Mark(rectangle(-head * 0.68, top - 0.32, head * 0.68, top), felt, depth=0.35),
                  Mark(rectangle(-head * 0.68, top - 0.1, head * 0.68, top - 0.02), contrasting(rng, felt, BRIGHT)),
                  Mark(rounded(-head * 1.15, top - 0.03, head * 1.15, top + 0.05, 0.04), felt, depth=0.35)]  # fmt: skip
    else:
        hat = some(rng, (TOMATO, TEAL, LEAF, PINK, STONE))
        cap = arc(0, top + 0.05, head * 0.86, 0.34, 180, 360, 20)
        marks += [Mark(cap, hat, "ball", 0.35), *dots(rng, cap, lighter(hat, 0.6), 0.03),
                  Mark(rounded(-head * 0.98, top, head * 0.98, top + 0.11, 0.05), lighter(hat, 0.4)),
                  Mark(ellipse(0, top - 0.31, 0.09), lighter(hat, 0.55), "ball")]  # fmt: skip
    return marks
