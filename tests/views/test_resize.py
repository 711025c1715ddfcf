"""Resizing on the host: Pillow's pixels, cuts that see nothing outside, and no more threads than were asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import picture
from PIL import Image

from ccd_fast.views.pillow import FILTERS
from ccd_fast.views.resize import HostResize


def drawn(number, seed=0, smallest=40, largest=300):
    rng = np.random.default_rng(seed)
    return [np.array(picture(rng, *rng.integers(smallest, largest, 2))) for _ in range(number)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [16, 64, 224])
def test_pixels_are_pillows_to_a_level(size, interpolation):
    pictures = drawn(9)
    ours = HostResize(2)(pictures, size, interpolation)
    theirs = np.stack([Image.fromarray(p).resize((size, size), FILTERS[interpolation]) for p in pictures])
    difference = np.abs(ours.numpy().astype(int) - theirs)
    assert ours.shape == (9, size, size, 3)
    assert difference.mean() < 0.1
    assert difference.max() <= (1 if interpolation == "bilinear" else 14)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_pictures_of_a_pixel_or_a_line_are_resized(height, width):
    plain = np.full((height, width, 3), (3, 200, 77), dtype=np.uint8)
    assert (HostResize(1)([plain], 32, "bicubic") == torch.tensor([3, 200, 77])).all()


def test_a_cut_is_resized_as_if_nothing_were_around_it():
    (large,) = drawn(1, smallest=200)
    cut = large[20:90, 31:140]
    alone = HostResize(2)([cut.copy()], 64, "bicubic")
    assert torch.equal(HostResize(2)([cut], 64, "bicubic"), alone)
    assert not torch.equal(HostResize(2)([large], 64, "bicubic"), alone)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_picture_stays_in_its_place_whatever_the_threads(threads):
    pictures = drawn(23, seed=1)
    together = HostResize(threads)(pictures, 48, "bilinear")
    assert torch.equal(together, torch.cat([HostResize(1)([p], 48, "bilinear") for p in pictures]))


def test_no_pictures_give_no_squares():
    assert HostResize(2)([], 48, "bilinear").shape == (0, 48, 48, 3)


def test_what_fails_is_raised_where_it_was_asked_for():
    with pytest.raises(RuntimeError):
        HostResize(2)([np.empty((0, 4, 3), dtype=np.uint8)], 16, "bilinear")


TASKS = Path("/proc/self/task")


@pytest.mark.skipif(not TASKS.is_dir(), reason="threads are counted as Linux does")
def test_torch_starts_no_threads_of_its_own_in_each_thread():
    pictures = [picture[9:, 7:] for picture in drawn(20, smallest=300, largest=600)]
    before = len(list(TASKS.iterdir()))
    HostResize(3)(pictures, 224, "bicubic")
    assert len(list(TASKS.iterdir())) <= before + 3
