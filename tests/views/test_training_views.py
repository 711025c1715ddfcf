import numpy as np
import torch

from ccd_fast.views import flipped, jitter_factors
from ccd_fast.views.training import color_twist_matrix


def test_only_the_chosen_pictures_are_mirrored():
    pixels = torch.arange(2 * 2 * 3 * 3, dtype=torch.uint8).view(2, 2, 3, 3)
    result = flipped(pixels, np.array([True, False]))
    assert torch.equal(result[0], pixels[0].flip(1))
    assert torch.equal(result[1], pixels[1])


def test_factors_span_the_strength_around_no_change():
    draws = np.array([[0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [1, 1, 1, 1]], dtype=float)
    expected = [[0.5, 0.5, 0.5, -90], [1, 1, 1, 0], [1.5, 1.5, 1.5, 90]]
    np.testing.assert_allclose(jitter_factors(draws, 0.5, 0.25), expected)


def test_hue_and_saturation_leave_grey_alone():
    matrix, offset = color_twist_matrix(np.array([[1, 1, 0.3, 77]], dtype=np.float32))
    np.testing.assert_allclose(matrix[0] @ np.array([90.0, 90.0, 90.0]) + offset[0], [90, 90, 90], atol=0.5)


def test_contrast_stretches_around_mid_grey_and_brightness_multiplies():
    matrix, offset = color_twist_matrix(np.array([[0.5, 2.0, 1, 0]], dtype=np.float32))
    np.testing.assert_allclose(matrix[0] @ np.array([100.0, 128.0, 200.0]) + offset[0], [36, 64, 136], atol=0.5)
