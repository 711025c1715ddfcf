"""Colours of the picture book, and how they are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Colour = tuple[float, float, float]
T = TypeVar("T")

WHITE: Colour = (250, 248, 242)
CREAM: Colour = (250, 234, 200)
INK: Colour = (52, 44, 58)
LEMON: Colour = (251, 219, 82)
MARIGOLD: Colour = (246, 172, 45)
ORANGE: Colour = (238, 128, 50)
TOMATO: Colour = (222, 66, 56)
BERRY: Colour = (176, 42, 74)
PINK: Colour = (240, 138, 168)
VIOLET: Colour = (132, 92, 172)
NAVY: Colour = (48, 74, 134)
SKY: Colour = (86, 168, 220)
TEAL: Colour = (36, 148, 146)
MINT: Colour = (150, 212, 182)
LEAF: Colour = (92, 164, 70)
PINE: Colour = (42, 108, 72)
BROWN: Colour = (138, 90, 56)
SAND: Colour = (226, 194, 142)
STONE: Colour = (150, 148, 152)

BRIGHT: tuple[Colour, ...] = (
    TOMATO, ORANGE, MARIGOLD, LEMON, LEAF, TEAL, SKY, NAVY, VIOLET, PINK, BERRY, MINT,
)  # fmt: skip
PASTEL: tuple[Colour, ...] = (
    (248, 214, 190), (206, 228, 240), (250, 232, 176), (214, 232, 200), (232, 212, 236), (246, 206, 212),
    WHITE, CREAM,
)  # fmt: skip
WOOD: tuple[Colour, ...] = (BROWN, (168, 116, 72), (112, 74, 50), (196, 150, 98), (96, 66, 52))


def one_of(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Returns one of the choices, each equally likely."""
    return choices[int(rng.integers(len(choices)))]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Returns the colour that lies `share` (0 to 1) of the way from one to the other."""
    return (
        one[0] + (other[0] - one[0]) * share,
        one[1] + (other[1] - one[1]) * share,
        one[2] + (other[2] - one[2]) * share,
    )


def darker(colour: Colour, share: float = 0.3) -> Colour:
    """Returns the colour in shadow: towards a deep violet, never towards grey."""
    return mix(colour, (44, 28, 66), share)


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    """Returns the colour in light: towards a warm white."""
    return mix(colour, (255, 250, 228), share)


def varied(rng: np.random.Generator, colour: Colour, amount: float = 14.0) -> Colour:
    """Returns the colour moved a little at random, in lightness and on each channel: some `amount` of 255."""
    r, g, b = np.clip(np.asarray(colour) + rng.normal(0, amount) * 0.8 + rng.normal(0, amount * 0.6, 3), 0, 255)
    return float(r), float(g), float(b)


def some(rng: np.random.Generator, choices: Sequence[Colour]) -> Colour:
    """Returns one of the colours, a little varied."""
    return varied(rng, one_of(rng, choices))


def contrasting(rng: np.random.Generator, colour: Colour, choices: Sequence[Colour]) -> Colour:
    """Returns one of the colours that can be told from the given one."""
    far = [c for c in choices if sum(abs(p - q) for p, q in zip(c, colour, strict=True)) > 150]
    return some(rng, far or choices)
