"""The demo world on disk: JPEG files of both splits, labels and boxes, written by several processes."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from ccd_fast.demo.composing import compose_scene, scene_generator
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.machine import folder_in_the_making

# Raise by one whenever the same seed draws something else than before.
WORLD_VERSION = 1

_CHUNK = 20
Row = tuple[str, list[tuple[int, tuple[int, int, int, int]]]]


def write_world(
    root: Path,
    seed: int = 0,
    train: int = 2000,
    test: int = 500,
    workers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Writes the data set; the folder appears only once it is whole.

    In it: `images/train/00000.jpg` ..., `images/test/...`, `classes.txt` (a name a line), `labels.csv`
    (`path,split,labels`; labels joined by `|`), `boxes.csv` (`path,class,x0,y0,x1,y1`; half-open pixels),
    and `world.json` (how it was made). The bytes depend on the seed and on the versions of numpy and Pillow,
    not on the number of workers.

    Args:
        root: Folder to make; may exist only if empty.
        seed: Seed of the world, not negative.
        train: Number of training scenes.
        test: Number of test scenes.
        workers: Number of processes; None for one to each core, 1 for none but this one. New processes import
            the main script, which therefore needs the usual `if __name__ == "__main__"`.
        on_progress: Called now and then with the number of scenes written so far.

    Raises:
        FileExistsError: There is something in the folder, or it is a file.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"will not write the demo world over {root}: remove it first")
    with _folder_in_the_making(root) as folder:
        tasks = []
        for split, count in (("train", train), ("test", test)):
            (folder / "images" / split).mkdir(parents=True)
            tasks += [(split, range(start, min(start + _CHUNK, count))) for start in range(0, count, _CHUNK)]
        rows: list[Row] = []
        for chunk in _results(partial(_write_scenes, folder, seed), tasks, workers):
            rows += chunk
            if on_progress is not None:
                on_progress(len(rows))
        _write_tables(folder, rows)
        facts = {
            "world_version": WORLD_VERSION,
            "seed": seed,
            "train": train,
            "test": test,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        }
        (folder / "world.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


Task = tuple[str, range]


def _results(work: Callable[[Task], list[Row]], tasks: list[Task], workers: int | None) -> Iterator[list[Row]]:
    """Yields the result of each task in order, worked out by this process or by several."""
    wanted = len(os.sched_getaffinity(0)) if workers is None and hasattr(os, "sched_getaffinity") else workers
    count = min(wanted or os.cpu_count() or 1, len(tasks))
    if count <= 1:
        yield from map(work, tasks)
        return
    # Spawned, not forked: the caller may have threads running (PyTorch does), which a fork would leave locked.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, tasks)


def _write_scenes(folder: Path, seed: int, task: Task) -> list[Row]:
    """Draws some scenes of a split and writes their JPEG files; returns their paths and objects."""
    split, numbers = task
    rows: list[Row] = []
    for index in numbers:
        rng = scene_generator(seed, split, index)
        scene = compose_scene(rng)
        path = f"images/{split}/{index:05d}.jpg"
        Image.fromarray(scene.pixels).save(folder / path, quality=int(np.clip(rng.normal(88, 4), 80, 95)))
        rows.append((path, [(thing.class_index, thing.box) for thing in scene.objects]))
    return rows


def _write_tables(folder: Path, rows: list[Row]) -> None:
    """Writes classes.txt, labels.csv and boxes.csv."""
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASS_NAMES), encoding="utf-8")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("path", "split", "labels"))
        for path, objects in rows:
            names = [CLASS_NAMES[index] for index in sorted({index for index, _ in objects})]
            table.writerow((path, path.split("/")[1], "|".join(names)))
    with (folder / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("path", "class", "x0", "y0", "x1", "y1"))
        for path, objects in rows:
            table.writerows((path, CLASS_NAMES[index], *box) for index, box in objects)


@contextmanager
def _folder_in_the_making(root: Path) -> Iterator[Path]:
    """Gives a folder beside `root` that takes its name if all goes well, and goes away if not."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with folder_in_the_making(root.parent, f".{root.name}.partial-") as place:
        folder = place / root.name
        folder.mkdir()
        yield folder
        if root.exists():
            root.rmdir()
        folder.rename(root)
