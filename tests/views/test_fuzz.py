"""Damaged files: pixels or a reason, never an exception, whatever the damage."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from ccd_fast.views import installed_backends, open_backend
from tests.views import samples

CASES = 240
KINDS = ["jpeg", "jpeg, progressive", "png", "webp", "gif", "tiff, LZW"]


def damaged(rng: np.random.Generator) -> bytes:
    """A valid picture, cut, with bytes overwritten, or with a piece of it missing."""
    content = bytearray(samples.LIKE_THE_SCENE[KINDS[rng.integers(len(KINDS))]])
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(content)))
        match rng.integers(4):
            case 0:
                content = content[: at + 1]
            case 1:
                for where in rng.integers(0, len(content), 8):
                    content[where] = rng.integers(256)
            case 2:
                content[int(rng.integers(min(64, len(content))))] ^= 1 << int(rng.integers(8))
            case 3:
                del content[at : at + int(rng.integers(1, 50))]
        if not content:
            break
    return bytes(content)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", installed_backends())
def test_damage_gives_pixels_or_a_reason(name, tmp_path):
    rng = np.random.default_rng(11)
    files = [tmp_path / f"{index}.jpg" for index in range(CASES)]
    for file in files:
        file.write_bytes(damaged(rng))
    (tmp_path / "whole.png").write_bytes(samples.LIKE_THE_SCENE["png"])
    backend = open_backend(name, 2)
    refused = 0
    for first in range(0, CASES, 24):
        rows = np.arange(first, first + 25)
        photographs = backend.decode([*files[first : first + 24], tmp_path / "whole.png"], rows)
        assert sorted([*photographs.rows.tolist(), *photographs.unreadable]) == rows.tolist()
        assert all(0 < len(reason) < 100 and "\n" not in reason for reason in photographs.unreadable.values())
        views = backend.whole(photographs, 32, "bilinear")
        assert views.shape == (len(photographs), 32, 32, 3)
        alone = backend.whole(backend.decode([tmp_path / "whole.png"], np.arange(1)), 32, "bilinear")
        assert (views[-1] == alone[0]).all()  # the whole one is in its place
        refused += len(photographs.unreadable)
    assert CASES / 4 < refused < CASES


def decode_large_batches(name: str, folder: str) -> None:
    rng = np.random.default_rng(5)
    backend = open_backend(name, 2)
    for batch in range(6):
        files = [Path(folder, f"{batch}-{index}") for index in range(96)]
        for index, file in enumerate(files):
            content = bytearray(samples.LIKE_THE_SCENE[KINDS[index % 4]])
            if index % 3 == 0:
                for where in rng.integers(12, 40, 6):  # a header that cannot be read
                    content[where] = rng.integers(256)
            file.write_bytes(content)
        photographs = backend.decode(files, np.arange(96))
        assert set(photographs.unreadable) <= set(range(0, 96, 3))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", installed_backends())
def test_damaged_headers_in_a_large_batch_do_not_end_the_process(name, tmp_path):
    child = multiprocessing.get_context("spawn").Process(target=decode_large_batches, args=(name, str(tmp_path)))
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("name", installed_backends())
def test_what_lies_between_the_segments_of_a_jpeg_is_read_over(name, tmp_path):
    whole = samples.LIKE_THE_SCENE["jpeg"]
    tables = whole.index(b"\xff\xc4")  # the Huffman tables, behind the size
    assert tables > whole.index(b"\xff\xc0")
    for index, content in enumerate((whole, whole[:tables] + b"\x12\x34" + whole[tables:])):
        (tmp_path / str(index)).write_bytes(content)
    backend = open_backend(name, 2)
    views = backend.whole(backend.decode([tmp_path / "0", tmp_path / "1"], np.arange(2)), 32, "bilinear")
    assert len(views) == 2
    assert (views[0].int() - views[1].int()).abs().max() <= 2
