"""How a whole picture is composed: its theme, its objects and their sizes, its clutter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ccd_fast.demo.objects import OBJECT_KINDS
from ccd_fast.demo.staging import SHINING, Piece, boxes, developed, draw_clutter, draw_piece, place, set_stage
from ccd_fast.demo.themes import WELCOME, any_theme

SPLITS: tuple[str, ...] = ("train", "test")

_COUNT_CHANCES = (0.18, 0.26, 0.25, 0.18, 0.13)
_SIZES = (
    (640, 480),
    (560, 420),
    (500, 375),
    (480, 320),
    (400, 300),
    (360, 270),
    (320, 240),
    (300, 200),
    (240, 180),
    (200, 150),
)


@dataclass(frozen=True)
class SceneObject:
    """An object to be seen in a scene.

    Attributes:
        class_index: Position in `CLASS_NAMES`.
        box: x0, y0, x1, y1 in pixels, half-open, of the part in sight.
    """

    class_index: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A picture and what is on it.

    Attributes:
        pixels: (H, W, 3) uint8, RGB.
        objects: All objects of which enough is in sight, from far to near; classes may repeat.
    """

    pixels: npt.NDArray[np.uint8]
    objects: tuple[SceneObject, ...]

    @property
    def class_indices(self) -> tuple[int, ...]:
        """The classes on the picture, each once, in the order of `CLASS_NAMES`."""
        return tuple(sorted({thing.class_index for thing in self.objects}))


def scene_generator(seed: int, split: str, index: int) -> np.random.Generator:
    """Returns the generator that one scene is drawn from: scenes depend on nothing else.

    Raises:
        ValueError: The split is neither "train" nor "test".
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    return np.random.default_rng([seed, SPLITS.index(split), index])


def draw_scene(seed: int, split: str, index: int) -> Scene:
    """Draws a scene.

    Args:
        seed: Seed of the world, not negative.
        split: "train" or "test".
        index: Number of the scene within the split.

    Returns:
        The scene, 200x150 to 640x480 pixels in either orientation, with one to five objects.
    """
    return compose_scene(scene_generator(seed, split, index))


def compose_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene from a generator; see `draw_scene`."""
    width, height = _SIZES[int(rng.integers(len(_SIZES)))]
    if rng.random() < 0.3:
        width, height = height, width
    theme_index, theme = any_theme(rng)
    stage, horizon = set_stage(rng, theme, width, height)
    ink = rng.uniform(0.8, 1.8) if rng.random() < 0.4 else 0.0
    short = min(width, height)
    classes = _choose_classes(rng, theme_index, 1 + int(rng.choice(len(_COUNT_CHANCES), p=_COUNT_CHANCES)))
    pieces = [
        draw_piece(rng, stage, theme, horizon, class_index, share * short, ink)
        for class_index, share in zip(classes, _choose_sizes(rng, classes), strict=True)
    ]
    pieces += [
        draw_clutter(rng, stage, theme, horizon, short * rng.uniform(0.1, 0.34), ink)
        for _ in range(int(rng.integers(2, 7)))
    ]
    for piece in sorted(pieces, key=_nearness):
        place(rng, stage, piece)
    while not boxes(stage):
        # Rare: nothing found room among the clutter. The scene is then of one smaller object in front of it.
        stage.release()
        last = draw_piece(rng, stage, theme, horizon, classes[0], 0.3 * short, ink)
        place(rng, stage, last)
    objects = tuple(SceneObject(class_index, box) for class_index, box in boxes(stage))
    return Scene(developed(rng, stage.canvas), objects)


def _nearness(piece: Piece) -> tuple[bool, float]:
    """Orders pieces from far to near: first what is aloft, then by where it stands."""
    return piece.grounded, piece.base


def _choose_classes(rng: np.random.Generator, theme_index: int, count: int) -> list[int]:
    """Returns `count` classes that fit a theme: mostly different ones, at times one twice."""
    chances = WELCOME[theme_index]
    different = min(count, int((chances > 0).sum()))
    classes: list[int] = rng.choice(len(chances), different, replace=False, p=chances).tolist()
    classes += classes[:1] * (count - different)
    if count > 1 and classes[0] not in SHINING and rng.random() < 0.16:
        classes[-1] = classes[0]
    return classes


def _choose_sizes(rng: np.random.Generator, classes: list[int]) -> list[float]:
    """Returns the longer side of each object as a share of the picture's short side: mostly one large, others less."""
    shares = np.exp(rng.uniform(np.log(0.15), np.log(0.52), len(classes)))
    if rng.random() < 0.92:
        shares[int(rng.integers(len(classes)))] = rng.uniform(0.46, 0.74)
    factors = np.array([OBJECT_KINDS[class_index].size for class_index in classes])
    sizes: list[float] = np.clip(shares * factors, 0.11, 0.7).tolist()
    return sizes


def draw_single(rng: np.random.Generator, class_index: int, size: int) -> npt.NDArray[np.uint8]:
    """Draws one large object on a varied background, half of the time among clutter.

    Args:
        rng: Source of all chances.
        class_index: Position in `CLASS_NAMES`.
        size: Side of the picture in pixels, 16 or more.

    Returns:
        (size, size, 3) uint8, RGB.
    """
    # Half of the pictures are where the class belongs, half are anywhere: the name must not mean the place.
    _, theme = any_theme(rng, class_index if rng.random() < 0.5 else None)
    stage, horizon = set_stage(rng, theme, size, size)
    ink = size * rng.uniform(0.002, 0.006) if rng.random() < 0.4 else 0.0
    clutter = [
        draw_clutter(rng, stage, theme, horizon, size * rng.uniform(0.12, 0.3), ink)
        for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.5 else 0)
    ]
    for piece in clutter[:-1]:
        place(rng, stage, piece)
    share = rng.uniform(0.5, 0.95)
    drawn = draw_piece(rng, stage, theme, horizon, class_index, share * size, ink)
    tall = drawn.picture.height / size
    x, base = (0.5 + rng.uniform(-0.5, 0.5) * (1.05 - share), (1 + tall) / 2 + rng.uniform(-0.5, 0.5) * (1.05 - tall))
    while not place(rng, stage, Piece(drawn.picture, class_index, x, base, drawn.grounded and base > horizon)):
        x, base = 0.5, (1 + tall) / 2
        stage.release()
    for piece in clutter[-1:]:
        place(rng, stage, piece)
    return developed(rng, stage.canvas)
