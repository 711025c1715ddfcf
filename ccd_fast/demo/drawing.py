"""The demo world on disk: drawn once, and kept."""

from pathlib import Path

from ccd_fast.datasets import Source
from ccd_fast.demo.scenes import WORLD_VERSION, write_world
from ccd_fast.engines import cache, default_folder
from ccd_fast.runs import Stages

TRAIN, TEST = 2000, 500
"""Scenes of the full world."""


def draw(seed: int, stages: Stages, train: int = TRAIN, test: int = TEST) -> Source:
    """Draw the scenes of a seed, unless they are in the cache.

    Args:
        seed: of the world.
        stages: shows the progress.
        train: number of training scenes.
        test: number of test scenes.

    Returns:
        The data set, with its truth for evaluation.
    """
    root = default_folder() / "demo" / f"world-{WORLD_VERSION}-{seed}-{train}-{test}"
    if not root.exists():
        root = cache.writable(root.parent) / root.name
        with cache.held(root.with_name(f".{root.name}.lock"), "the demo world"):
            if not root.exists():
                _draw(root, seed, stages, train, test)
    return Source("folder", root, root / "classes.txt", root / "labels.csv")


def _draw(root: Path, seed: int, stages: Stages, train: int, test: int) -> None:
    with stages.stage("draw scenes", train + test, of="scenes") as stage:
        write_world(root, seed, train, test, on_progress=lambda done: stage.advance(done - stage.done))
        stage.advance(train + test - stage.done)
