"""The pictures that the tiny CLIP learns from: one main object each, drawn once and kept in a memory map.

They come from random streams of their own: no scene of the data set, of whatever seed, is among them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ccd_fast.demo.composing import SPLITS, Scene, compose_scene, draw_single
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.tiny_clip import IMAGE_SIZE
from ccd_fast.demo.world import WORLD_VERSION

KEPT_SIZE = 72
"""Side of a kept picture in pixels: a little more than the model reads, so that it can be zoomed into."""
VIEWS_PER_SCENE = 4

# Scenes of the data set are drawn from [seed, 0 or 1, index]: one number for each split.
_SCENES, _SINGLES, _UNSEEN = (len(SPLITS) + number for number in range(3))
_CHUNK = 100
_DRAWN_SIZE = 128
_VERSION = 1

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Pictures:
    """Pictures with the class of the main object.

    Attributes:
        pixels: (M, S, S, 3) uint8, RGB; S is :data:`KEPT_SIZE`.
        classes: (M,) int64.
    """

    pixels: Pixels
    classes: npt.NDArray[np.int64]


def training_pictures(cache: Path, seed: int, singles: int, scenes: int, workers: int) -> Pictures:
    """Give the training pictures, from the cache if they are there, else drawn.

    Args:
        cache: folder to keep them in.
        seed: seed of the pictures.
        singles: pictures of a single object; the classes take turns.
        scenes: scenes, each of which gives :data:`VIEWS_PER_SCENE` pictures.
        workers: processes that draw.
    """
    name = f"pictures-{_VERSION}-world-{WORLD_VERSION}-seed-{seed}-singles-{singles}-scenes-{scenes}-{KEPT_SIZE}"
    folder = cache / name
    if not folder.is_dir():
        partial_folder = cache / f".{name}.partial"
        shutil.rmtree(partial_folder, ignore_errors=True)
        partial_folder.mkdir(parents=True)
        _draw_into(partial_folder, seed, singles, scenes, workers)
        partial_folder.rename(folder)
    return Pictures(np.load(folder / "pixels.npy", mmap_mode="r"), np.load(folder / "classes.npy"))


def _draw_into(folder: Path, seed: int, singles: int, scenes: int, workers: int) -> None:
    """Draw all pictures into a memory map, chunk by chunk."""
    total = singles + VIEWS_PER_SCENE * scenes
    shape = (total, KEPT_SIZE, KEPT_SIZE, 3)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    classes = np.zeros(total, np.int64)
    tasks = [(_SINGLES, chunk) for chunk in _chunks(singles)] + [(_SCENES, chunk) for chunk in _chunks(scenes)]
    done = 0
    for drawn in in_processes(partial(_draw_chunk, seed, KEPT_SIZE), tasks, workers):
        count = len(drawn.classes)
        pixels[done : done + count], classes[done : done + count] = drawn.pixels, drawn.classes
        done += count
    pixels.flush()
    np.save(folder / "classes.npy", classes)


def unseen_singles(seed: int, count: int, workers: int) -> tuple[torch.Tensor, npt.NDArray[np.int64]]:
    """Draw pictures of a single object that no training sees.

    Returns:
        (count, S, S, 3) uint8 at the size that the model reads, and the (count,) classes.
    """
    tasks = [(_UNSEEN, chunk) for chunk in _chunks(count)]
    drawn = list(in_processes(partial(_draw_chunk, seed, IMAGE_SIZE), tasks, workers))
    return torch.from_numpy(np.concatenate([d.pixels for d in drawn])), np.concatenate([d.classes for d in drawn])


def in_processes(work: Callable[[Item], Result], items: list[Item], workers: int) -> Iterator[Result]:
    """Yield the result of each item in order, worked out by this process or by several."""
    if min(workers, len(items)) <= 1:
        yield from map(work, items)
        return
    # Spawned, not forked: torch has threads running, which a fork would leave locked.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, items)


def squashed(pixels: Pixels, box: Box | None, size: int) -> Pixels:
    """Resize a picture, or a box of it, to a square as the method makes its views: (size, size, 3) uint8."""
    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box))


def _chunks(count: int) -> list[range]:
    return [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]


def _draw_chunk(seed: int, size: int, task: tuple[int, range]) -> Pictures:
    """Draw some pictures of one stream."""
    stream, numbers = task
    found: list[tuple[Pixels, int]] = []
    for index in numbers:
        rng = np.random.default_rng([seed, stream, index])
        if stream == _SCENES:
            found += _views_of(rng, compose_scene(rng), size)
        else:
            class_index = index % len(CLASS_NAMES)
            found.append((squashed(draw_single(rng, class_index, _DRAWN_SIZE), None, size), class_index))
    return Pictures(np.stack([pixels for pixels, _ in found]), np.array([c for _, c in found], np.int64))


def _views_of(rng: np.random.Generator, scene: Scene, size: int) -> list[tuple[Pixels, int]]:
    """Give a scene whole, named after its largest object, and crops about some of its objects, named after them."""
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (thing.box for thing in scene.objects)]
    views = [(squashed(scene.pixels, None, size), scene.objects[int(np.argmax(areas))].class_index)]
    for number in range(VIEWS_PER_SCENE - 1):
        thing = scene.objects[int(rng.integers(len(scene.objects)))]
        box = _about(rng, thing.box, scene.pixels.shape, hot_spot=number > 0)
        views.append((squashed(scene.pixels, box, size), thing.class_index))
    return views


def _about(rng: np.random.Generator, box: Box, shape: tuple[int, ...], hot_spot: bool) -> Box:
    """Give a crop about an object's box: the box and a margin, or a window on a point near its middle.

    The second is what the student's activation maps point at: a small hot spot with a margin.
    """
    limits = np.array([shape[1], shape[0]])
    low, high = np.array(box[:2]), np.array(box[2:])
    if hot_spot:
        middle = low + (high - low) * rng.uniform(0.25, 0.75, 2)
        low = high = middle
    margin = limits * (rng.uniform(0.12, 0.25, 4) if hot_spot else rng.uniform(0.0, 0.16, 4)).reshape(2, 2)
    x0, y0 = np.clip(low - margin[0], 0, limits - 8).astype(int).tolist()
    x1, y1 = np.clip(high + margin[1], (x0 + 8, y0 + 8), limits).astype(int).tolist()
    return x0, y0, x1, y1
