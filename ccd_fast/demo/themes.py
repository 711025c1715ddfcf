"""Themes: which background, which classes like to meet there, which clutter lies about, and what light falls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ccd_fast.demo import indoors, outdoors
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.palette import Colour
from ccd_fast.demo.scenery import Backdrop


@dataclass(frozen=True)
class Theme:
    """One kind of picture.

    Attributes:
        name: What it shows.
        share: Share of all scenes, in any unit.
        backdrop: Draws the background.
        guests: Weight with which each class is drawn into it; classes not named never come.
        clutter: Names of the distractors that may lie about.
        light: RGB factors on all that stands in it.
        loose: Whether things float anywhere and turn freely, rather than stand on the ground.
    """

    name: str
    share: float
    backdrop: Callable[[np.random.Generator, float], Backdrop]
    guests: dict[str, float]
    clutter: tuple[str, ...]
    light: Colour = (1.0, 1.0, 1.0)
    loose: bool = False


THEMES: tuple[Theme, ...] = (
    Theme("meadow", 18, outdoors.meadow,
          {"tree": 12, "flower": 8, "house": 7, "bird": 6, "sun": 6, "cat": 2.5, "car": 1.2, "balloon": 1, "apple": 0.8,
           "mushroom": 0.4, "umbrella": 0.4},
          ("stone", "bush", "fence", "grass", "cloud", "ball")),
    Theme("street", 15, outdoors.street,
          {"car": 11, "house": 9, "tree": 8, "bird": 2.5, "cat": 2.5, "sun": 2, "umbrella": 0.7, "balloon": 0.7,
           "clock": 0.4},
          ("bush", "cone", "crate", "cloud", "fence")),
    Theme("room", 9, indoors.room,
          {"cat": 8, "cup": 5, "flower": 4, "bottle": 2, "apple": 2, "clock": 1.8, "balloon": 0.9, "umbrella": 0.7,
           "cactus": 0.4, "fish": 0.3},
          ("cushion", "books", "crate", "ball")),
    Theme("table", 10, indoors.table,
          {"cup": 11, "bottle": 4.5, "apple": 4.5, "flower": 3.5, "clock": 0.8, "fish": 0.8, "mushroom": 0.4,
           "cactus": 0.3},
          ("books", "spoon", "leaves", "crate")),
    Theme("sea", 8, outdoors.sea,
          {"boat": 10, "bird": 5, "sun": 4, "fish": 2, "moon": 0.7, "balloon": 0.4},
          ("cloud", "stone")),
    Theme("underwater", 5, outdoors.underwater,
          {"fish": 10, "bottle": 0.9, "boat": 0.5},
          ("seaweed", "stone", "shell"), (0.82, 0.95, 1.0), True),
    Theme("night", 6, outdoors.night,
          {"moon": 7, "tree": 7, "house": 6, "cat": 3, "car": 1.5, "rocket": 0.5, "bird": 0.6},
          ("bush", "stone", "fence", "grass"), (0.74, 0.76, 0.9)),
    Theme("beach", 6, outdoors.beach,
          {"sun": 5, "boat": 4, "bird": 3, "umbrella": 2.2, "bottle": 1.5, "fish": 1.2, "balloon": 0.7, "apple": 0.5},
          ("shell", "ball", "stone", "cloud")),
    Theme("snow", 6, outdoors.snow,
          {"tree": 9, "house": 6, "snowman": 4.4, "bird": 2.5, "sun": 1.2, "car": 1.2, "cat": 1, "moon": 0.5},
          ("stone", "fence", "bush", "cloud"), (0.97, 0.99, 1.0)),
    Theme("desert", 3, outdoors.desert,
          {"cactus": 6, "sun": 5, "car": 3, "bird": 1.5, "bottle": 0.7, "rocket": 0.3},
          ("stone", "crate"), (1.0, 0.97, 0.9)),
    Theme("forest", 5, outdoors.forest,
          {"tree": 7, "flower": 5, "mushroom": 3.2, "bird": 4, "apple": 1.5, "cat": 1},
          ("stone", "grass", "leaves", "bush"), (0.9, 0.95, 0.86)),
    Theme("space", 2.2, outdoors.space,
          {"rocket": 6, "moon": 5, "sun": 2.5},
          ("stone",), (0.95, 0.95, 1.0), True),
    Theme("card", 5, indoors.card,
          dict.fromkeys(CLASS_NAMES, 1.0) | {"rocket": 0.5, "cactus": 0.5, "snowman": 0.5},
          ("leaves", "ball", "spoon", "cloud", "shell"), (1.0, 1.0, 1.0), True),
)  # fmt: skip

SHARES = np.array([theme.share for theme in THEMES]) / sum(theme.share for theme in THEMES)

# Row per theme, column per class: how welcome the class is there, rows adding up to 1.
WELCOME = np.array([[theme.guests.get(name, 0.0) for name in CLASS_NAMES] for theme in THEMES])
WELCOME /= WELCOME.sum(1, keepdims=True)


def any_theme(rng: np.random.Generator, class_index: int | None = None) -> tuple[int, Theme]:
    """Returns a theme and its index, as frequent as its share, or as fits a class where one is given."""
    chances = SHARES if class_index is None else SHARES * WELCOME[:, class_index]
    index = int(rng.choice(len(THEMES), p=chances / chances.sum()))
    return index, THEMES[index]
