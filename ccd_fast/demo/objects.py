"""The classes of the demo world: their names, how each is drawn, and where and how it may stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ccd_fast.demo import buildings, creatures, household, plants, sky, vehicles
from ccd_fast.demo.painting import Drawing

Place = Literal["ground", "sky", "water"]


@dataclass(frozen=True)
class ObjectKind:
    """One class.

    Attributes:
        name: Everyday English name.
        draw: Makes a new drawing of the class, in no fixed unit.
        place: Where it is at home in an outdoor picture.
        tilt: Standard deviation of its turn in degrees.
        mirror: Whether it may look to either side.
        size: Factor on the size drawn for it; small things are mostly smaller than large ones.
    """

    name: str
    draw: Callable[[np.random.Generator], Drawing]
    place: Place = "ground"
    tilt: float = 4.0
    mirror: bool = True
    size: float = 1.0


OBJECT_KINDS: tuple[ObjectKind, ...] = (
    ObjectKind("tree", plants.tree, size=1.15),
    ObjectKind("house", buildings.house, tilt=2.0, size=1.2),
    ObjectKind("flower", plants.flower, tilt=10.0, size=0.85),
    ObjectKind("bird", sky.bird, place="sky", tilt=9.0, size=0.8),
    ObjectKind("car", vehicles.car, tilt=3.0),
    ObjectKind("sun", sky.sun, place="sky", tilt=8.0, mirror=False, size=0.85),
    ObjectKind("cat", creatures.cat, tilt=4.0, size=0.9),
    ObjectKind("cup", household.cup, tilt=4.0, size=0.85),
    ObjectKind("boat", vehicles.boat, place="water", tilt=6.0),
    ObjectKind("fish", creatures.fish, place="water", tilt=14.0, size=0.85),
    ObjectKind("bottle", household.bottle, tilt=7.0),
    ObjectKind("apple", plants.apple, tilt=14.0, size=0.75),
    ObjectKind("balloon", sky.balloon, place="sky", tilt=9.0),
    ObjectKind("moon", sky.moon, place="sky", tilt=14.0, size=0.8),
    ObjectKind("umbrella", household.umbrella, tilt=13.0),
    ObjectKind("clock", household.clock, tilt=5.0, mirror=False, size=0.85),
    ObjectKind("mushroom", plants.mushroom, tilt=6.0, size=0.85),
    ObjectKind("snowman", creatures.snowman, tilt=3.0),
    ObjectKind("cactus", plants.cactus, tilt=3.0),
    ObjectKind("rocket", sky.rocket, place="sky", tilt=24.0),
)

CLASS_NAMES: tuple[str, ...] = tuple(kind.name for kind in OBJECT_KINDS)
