import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from ccd_fast import kernels
from ccd_fast.kernels.numpy_twins import Axis


def by_brute_force(cam: np.ndarray, size: int, threshold: float, margin: float) -> list[int]:
    """Upsample with torch and look at every pixel."""
    up = interpolate(torch.from_numpy(cam)[None, None], (size, size), mode="bilinear", align_corners=False)[0, 0]
    normalised = (up - up.min()) / (up.max() - up.min() + 1e-5)
    hot = [(x, y) for y in range(size) for x in range(size) if normalised[y, x] > threshold]
    if not hot:
        return [0, 0, size, size]
    xs, ys = [x for x, _ in hot], [y for _, y in hot]
    grow = round(margin * size)
    corners = [min(xs) - grow, min(ys) - grow, max(xs) + 1 + grow, max(ys) + 1 + grow]
    return [min(max(corner, 0), size) for corner in corners]


@pytest.mark.parametrize(("height", "width", "size"), [(7, 7, 56), (14, 14, 64), (5, 9, 40), (1, 1, 16), (20, 20, 33)])
def test_boxes_agree_with_a_brute_force_upsampling(height, width, size):
    rng = np.random.default_rng(height * width)
    maps = rng.normal(size=(12, height, width)).astype(np.float32)
    ours = kernels.cam_boxes(torch.from_numpy(maps), size, 0.95, 0.125)
    np.testing.assert_array_equal(ours, [by_brute_force(cam, size, 0.95, 0.125) for cam in maps])


def test_a_box_encloses_all_peaks_and_not_only_the_first_and_last_pixel():
    cam = torch.zeros(1, 8, 8)
    cam[0, 1, 6] = cam[0, 4, 1] = cam[0, 6, 4] = 1.0
    ((x0, y0, x1, y1),) = kernels.cam_boxes(cam, 8, 0.95, 0.0).tolist()
    assert (x0, y0, x1, y1) == (1, 1, 7, 7)


def test_a_flat_map_gives_the_whole_view():
    assert kernels.cam_boxes(torch.full((1, 4, 4), 2.0), 32, 0.95, 0.1).tolist() == [[0, 0, 32, 32]]


def test_a_nearly_flat_map_is_measured_against_the_1e_5_that_is_added_to_its_range():
    cam = torch.tensor([[[0.0, 1e-5]]])  # normalised: 0 and 1/2
    assert kernels.cam_boxes(cam, 2, 0.49, 0.0).tolist() == [[1, 0, 2, 2]]
    assert kernels.cam_boxes(cam, 2, 0.51, 0.0).tolist() == [[0, 0, 2, 2]]


def test_a_pixel_at_the_threshold_itself_is_not_in_the_region():
    highest = np.float32(1) / (np.float32(1) + np.float32(1e-5))
    for threshold, box in ((np.nextafter(highest, np.float32(0)), [1, 0, 2, 2]), (highest, [0, 0, 2, 2])):
        assert kernels.cam_boxes(torch.tensor([[[0.0, 1.0]]]), 2, float(threshold), 0.0).tolist() == [box]


def test_the_margin_is_clipped_to_the_view():
    cam = torch.zeros(1, 4, 4)
    cam[0, 0, 0] = 1.0
    ((x0, y0, x1, y1),) = kernels.cam_boxes(cam, 32, 0.95, 0.25).tolist()
    assert (x0, y0) == (0, 0)
    assert 8 < x1 < 32
    assert 8 < y1 < 32


def test_many_maps_are_the_same_as_one_at_a_time():
    maps = torch.randn(150, 7, 7, generator=torch.Generator().manual_seed(0))
    together = kernels.cam_boxes(maps, 48, 0.9, 0.1)
    alone = torch.cat([kernels.cam_boxes(one[None], 48, 0.9, 0.1) for one in maps])
    assert torch.equal(together, alone)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.booleans())
def test_any_map_in_any_view_agrees_with_brute_force(seed, height, width, size, half):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(3, height, width)).astype(np.float16 if half else np.float32)
    ours = kernels.cam_boxes(torch.from_numpy(maps), size, 0.8, 0.125)
    expected = [by_brute_force(cam.astype(np.float32), size, 0.8, 0.125) for cam in maps]
    np.testing.assert_array_equal(ours, expected)


@given(st.integers(1, 200), st.integers(1, 700))
def test_corners_are_the_first_and_last_pixel_of_each_cell(extent, size):
    axis = Axis.of(extent, size)
    expected = set()
    for cell in set(axis.low.tolist()):
        pixels = np.flatnonzero(axis.low == cell)
        expected |= {int(pixels[0]), int(pixels[-1])}
    assert axis.corners.tolist() == sorted(expected)


def test_a_map_with_a_nan_gives_the_whole_view():
    cam = torch.zeros(1, 4, 4)
    cam[0, 1, 1], cam[0, 3, 0] = 1.0, float("nan")
    assert kernels.cam_boxes(cam, 32, 0.95, 0.1).tolist() == [[0, 0, 32, 32]]
