import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ccd_fast.views import to_image_boxes


def test_a_box_is_stretched_with_the_photograph():
    boxes = np.array([[0, 56, 112, 224]])
    np.testing.assert_array_equal(to_image_boxes(boxes, np.array([[480, 640]]), 224), [[0, 120, 320, 480]])


def test_a_box_never_ends_one_pixel_early_by_rounding():
    boxes = np.array([[7, 7, 14, 14]])
    np.testing.assert_array_equal(to_image_boxes(boxes, np.array([[3200, 3200]]), 224), [[100, 100, 200, 200]])


def test_a_shift_moves_sides_by_shares_of_the_box():
    boxes = np.array([[100, 100, 150, 200]])
    shift = np.array([[0.5, -0.1, 0.5, 0.1]])
    result = to_image_boxes(boxes, np.array([[300, 300]]), 300, shift)
    np.testing.assert_array_equal(result, [[125, 90, 175, 210]])


@given(st.lists(st.integers(0, 64), min_size=4, max_size=4), st.integers(1, 3000), st.integers(1, 3000))
def test_boxes_stay_inside_and_hold_a_pixel(corners, height, width):
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    shift = np.array([[0.5, -0.5, -0.5, 0.5]])
    for by in (None, shift):
        ((x0b, y0b, x1b, y1b),) = to_image_boxes(np.array([[x0, y0, x1, y1]]), np.array([[height, width]]), 64, by)
        assert 0 <= x0b < x1b <= width
        assert 0 <= y0b < y1b <= height
