"""Many faults, for ``make test-faults``: nothing may be lost, shifted, or answered with anything but a line.

Ranks die at random steps, photographs, annotations and the files of runs are damaged or made to do harm. ``DEATHS``,
``FILES`` and ``INPUTS`` in the environment say how many (12, 200 and 600), ``FAULTS_OUT`` names a JSON file for the
counts. Commands are killed in ``tests/cli/test_commands_under_faults.py``.
"""

import os
import pickle
import random
import shutil
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import test_interrupted as interrupted
import test_ranks as ranked
import torch
from PIL import Image
from test_hostile import Harm

from ccd_fast import datasets
from ccd_fast.datasets import Source
from ccd_fast.datasets.folder import unlabelled
from ccd_fast.errors import RunError, UserError
from ccd_fast.outputs import trained
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stage
from ccd_fast.student import LOAD_BATCH, decoded
from ccd_fast.views import open_backend
from tests.datasets.benchmark_trees import make_benchmark

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("cache"), pytest.mark.timeout(1800)]
DEATHS, FILES, INPUTS = (
    int(os.environ.get(name, default)) for name, default in (("DEATHS", 12), ("FILES", 200), ("INPUTS", 600))
)


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
    for photographs in decoded(images.files_of_all(), views, Stage("test", FILES, lambda _: None), LOAD_BATCH):
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


def test_where_any_rank_dies_all_end_and_the_run_goes_on_with_any_number(tiny_clip, photo_folder, tmp_path, counts):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    whole = tmp_path / "whole"
    assert ranked.processes(partial(ranked.go, source, tiny_clip, whole, ranked.STILL, False), 1) == [0]
    generator, deaths, runs = random.Random(2), 0, 0
    while deaths < DEATHS:
        out, ended = tmp_path / f"run-{runs}", False
        while not ended:
            size, goes_on = generator.choice((1, 2, 2, 3)), RunFolder(out).can_resume()
            dies = (generator.randrange(size), generator.randrange(1, 30)) if size > 1 else ranked.NOBODY
            go = partial(ranked.go, source, tiny_clip, out, ranked.STILL, goes_on)
            codes = ranked.processes(go, size, dies)
            ended = codes == [0] * size
            if not ended:
                others = [code for rank, code in enumerate(codes) if rank != dies[0]]
                assert codes[dies[0]] == -signal.SIGKILL, (codes, dies)
                assert others == [ranked.GONE] * (size - 1), (codes, dies)
                deaths += 1
                if not RunFolder(out).can_resume():
                    shutil.rmtree(out, ignore_errors=True)
        for name in ("labels", "tau", "test_maps"):
            interrupted.assert_equal(interrupted.remains(out)[name], interrupted.remains(whole)[name])
        runs += 1
    counts |= {"rank_deaths": deaths, "runs_of_several_that_ended_equal": runs}


WORDS = (
    b"../../../../etc/passwd",
    b"/etc/passwd",
    b"NaN",
    b"-1",
    b"99999999999999999999",
    b"\x00",
    b"\xff\xfe",
    b"[" * 3000,
)
"""What is put into annotations: paths that lead out, numbers that are none, bytes that are no text, depth."""


def hostile(content: bytes, generator: random.Random) -> bytes:
    """Damage a file, or put a word into it that is made to do harm."""
    if generator.random() < 0.4:
        return damaged(content, generator) if content else b"\x80"
    start = generator.randrange(len(content) + 1)
    return content[:start] + generator.choice(WORDS) + content[start + generator.randrange(30) :]


def annotations(root: Path) -> list[Path]:
    return sorted(f for f in root.rglob("*") if f.is_file() and f.suffix not in (".jpg", ".png"))


@pytest.mark.parametrize("name", ["voc07", "voc12", "coco", "coco2017", "nus", "nus re-crawled"])
def test_hostile_annotations_are_read_or_refused_in_a_line(name, tmp_path, counts):
    root, generator = make_benchmark(tmp_path / "tree", name), random.Random(3)
    tried = refused = 0
    for _ in range(INPUTS // 6):
        file = generator.choice(annotations(root))
        before = file.read_bytes()
        file.write_bytes(hostile(before, generator))
        for split in ("train", "test"):
            try:
                images = datasets.load(name.split()[0], root, split)
            except UserError as error:
                assert "\n" not in str(error)
                refused += 1
            else:
                inside = root.resolve()
                assert all((images.root / path).resolve().is_relative_to(inside) for path in images.paths)
            tried += 1
        file.write_bytes(before)
    counts["hostile_annotations"] = counts.get("hostile_annotations", 0) + tried
    counts["of_them_refused"] = counts.get("of_them_refused", 0) + refused


def test_damaged_and_hostile_files_of_a_run_are_refused_in_a_line(photo_folder, tiny_clip, tmp_path, counts):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    whole, trace = tmp_path / "whole", tmp_path / "it was run"
    assert ranked.processes(partial(ranked.go, source, tiny_clip, whole, ranked.STILL, False), 1) == [0]
    files, generator, tried, refused = annotations(whole), random.Random(4), 0, 0
    for _ in range(INPUTS // 2):
        file = generator.choice(files)
        before = file.read_bytes()
        harm = pickle.dumps(Harm(trace))
        file.write_bytes(harm if generator.random() < 0.2 else hostile(before, generator))
        for read in (lambda: trained.load(whole, "best"), lambda: RunFolder(whole).load_state()):
            try:
                read()
            except (UserError, RunError) as error:
                assert "\n" not in str(error)
                refused += 1
            tried += 1
        file.write_bytes(before)
        assert not trace.exists()
    counts |= {"hostile_run_files": tried, "run_files_refused": refused}
