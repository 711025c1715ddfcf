"""Many kills at random moments, and many damaged files: ``make test-faults``. Nothing may be lost or shifted.

``KILLS`` and ``FILES`` in the environment say how many (40 and 200), ``FAULTS_OUT`` names a JSON file for the counts.
"""

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import test_interrupted as interrupted
import torch
from PIL import Image

from ccd_fast.bench import measure
from ccd_fast.datasets import Source
from ccd_fast.datasets.folder import unlabelled
from ccd_fast.prediction import decoded
from ccd_fast.progress import Stage
from ccd_fast.run_folder import RunFolder
from ccd_fast.views import open_backend

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("cache"), pytest.mark.timeout(1800)]
KILLS, FILES = int(os.environ.get("KILLS", "40")), int(os.environ.get("FILES", "200"))
LONGEST = 6.0
"""Seconds after which a process is killed at the latest; a whole run takes about as long."""


@pytest.fixture(scope="module", autouse=True)
def counts():
    """Gather what was tried, and write it down at the end."""
    tried: dict[str, int] = {}
    yield tried
    print(f"\ntried: {tried}")
    if file := os.environ.get("FAULTS_OUT"):
        measure.save({"benchmark": "faults", **tried}, Path(file))


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(photo_folder, tiny_clip, tmp_path, counts):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    start = time.monotonic()
    run = partial(interrupted.go, source, tiny_clip, tmp_path / "whole")
    assert interrupted.process(run, False, interrupted.NEVER, signal.SIGKILL) == 0
    longest = min(time.monotonic() - start, LONGEST)
    whole = interrupted.remains(tmp_path / "whole")
    generator, kills, runs = random.Random(0), 0, 0
    while kills < KILLS:
        out = tmp_path / f"run-{runs}"
        folder, ended = RunFolder(out), False
        while not ended:
            run = partial(interrupted.go, source, tiny_clip, out)
            child = interrupted.context.Process(
                target=interrupted.go_and_end, args=(run, folder.can_resume(), interrupted.NEVER, signal.SIGKILL)
            )
            child.start()
            child.join(generator.uniform(0.0, longest))
            if child.is_alive():
                child.kill()
                child.join()
                kills += 1
            else:
                assert child.exitcode == 0
                ended = True
        interrupted.assert_equal(interrupted.remains(out), whole)
        runs += 1
    counts |= {"kills": kills, "runs_that_ended_equal": runs}


def damaged(content: bytes, generator: random.Random) -> bytes:
    """Cut a file short, or change some of its bytes, or empty it, or put others before it."""
    kind = generator.randrange(5)
    if kind == 0:
        return content[: generator.randrange(len(content))]
    if kind == 1:
        changed = bytearray(content)
        for _ in range(generator.randrange(1, 200)):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        return bytes(changed)
    if kind == 2:
        start = generator.randrange(len(content))
        return content[:start] + bytes(len(content) - start)
    if kind == 3:
        return bytes(generator.randrange(256) for _ in range(generator.randrange(300)))
    return b"\xff\xd8\xff" + content[generator.randrange(2, 400) :]


@pytest.mark.parametrize("backend", ["dali", "pillow"])
def test_damaged_files_are_named_and_shift_no_row(tmp_path, counts, backend):
    generator, size = random.Random(1), 64
    pixels = np.random.default_rng(0)
    whole = {}
    for number in range(FILES):
        file = tmp_path / f"{number:04d}.jpg"
        Image.fromarray(pixels.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(file)
        if number % 2:
            file.write_bytes(damaged(file.read_bytes(), generator))
        else:
            whole[file.name] = file
    images = unlabelled(tmp_path, ("a", "b"))
    views = open_backend(backend, 2)
    seen, unreadable = {}, {}
    for photographs in decoded(images.files_of_all(), views, Stage("test", FILES, lambda _: None)):
        unreadable |= photographs.unreadable
        square = views.whole(photographs, size, "bilinear")
        seen |= dict(zip(photographs.rows.tolist(), square, strict=True))
    assert seen.keys() | unreadable.keys() == set(range(FILES))
    assert not seen.keys() & unreadable.keys()
    assert all(unreadable.values())
    for row, path in enumerate(images.paths):
        if path in whole:
            alone = views.decode([whole[path]], np.arange(1))
            assert torch.equal(views.whole(alone, size, "bilinear")[0], seen[row]), path
    counts[f"damaged_files_{backend}"] = FILES // 2
    counts[f"of_them_unreadable_{backend}"] = len(unreadable)
