"""The twin of the crop kernel against Pillow and torch, which have the same filters."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import interpolate

from ccd_fast import kernels
from tests.kernels import agreement

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def by_pillow(pixels: np.ndarray, box: list[int], size: int, interpolation: str) -> np.ndarray:
    """Along the rows, then along the columns: for tall pictures Pillow 13 has another order, with other pixels."""
    cut = Image.fromarray(pixels).crop(tuple(box))
    narrow = cut.resize((size, cut.height), FILTERS[interpolation])
    return np.asarray(narrow.resize((size, size), FILTERS[interpolation]))


def cut(pictures, owner, boxes, size, interpolation):
    longest = max(max(p.shape) for p in pictures)
    return kernels.crop_resize(agreement.places(pictures), owner, boxes, size, interpolation, longest)


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [1, 7, 64, 224])
def test_crops_are_pillows_bit_by_bit(size, interpolation):
    pictures = agreement.photographs()
    owner, boxes = agreement.boxes_in(pictures, 20)
    crops = cut(pictures, owner, boxes, size, interpolation)
    for crop, k, box in zip(crops.numpy(), owner.tolist(), boxes.tolist(), strict=True):
        np.testing.assert_array_equal(crop, by_pillow(pictures[k].numpy(), box, size, interpolation))


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.sampled_from([*FILTERS])
)
def test_any_picture_in_any_size_is_pillows(seed, height, width, size, interpolation):
    picture = agreement.photographs(seed, [(height, width)])
    owner, boxes = agreement.boxes_in(picture, 2, seed)
    for crop, box in zip(cut(picture, owner, boxes, size, interpolation).numpy(), boxes.tolist(), strict=True):
        np.testing.assert_array_equal(crop, by_pillow(picture[0].numpy(), box, size, interpolation))


@pytest.mark.parametrize("interpolation", FILTERS)
def test_crops_are_torchs_but_for_few_pixels_by_a_level_or_two(interpolation):
    """What the views do on a CPU: torch's weights have fewer bits, which shows where a cubic filter shoots over."""
    pictures = agreement.photographs()
    owner, boxes = agreement.boxes_in(pictures, 20)
    for crop, k, (x0, y0, x1, y1) in zip(
        cut(pictures, owner, boxes, 64, interpolation), owner.tolist(), boxes.tolist(), strict=True
    ):
        planes = pictures[k][None, y0:y1, x0:x1].permute(0, 3, 1, 2).contiguous()
        theirs = interpolate(planes, (64, 64), mode=interpolation, antialias=True)[0].permute(1, 2, 0)
        difference = (crop.int() - theirs.int()).abs()
        assert difference.max() <= (1 if interpolation == "bilinear" else 2)
        assert difference.float().mean() < 0.02


def test_no_boxes_give_no_crops():
    none = torch.zeros(0, dtype=torch.int64)
    places = agreement.places(agreement.photographs())
    assert kernels.crop_resize(places, none, none.view(0, 4), 8, "bicubic", 331).shape == (0, 8, 8, 3)
