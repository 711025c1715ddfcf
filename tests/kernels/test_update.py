import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccd_fast import kernels


def updated(table, rows, offsets, crop_scores, bias, floor=0.05, ema=0.2):
    table = torch.tensor(table, dtype=torch.float32)
    rows, offsets = torch.tensor(rows, dtype=torch.int64), torch.tensor(offsets, dtype=torch.int64)
    scores = torch.tensor(crop_scores, dtype=torch.float32)
    kernels.update(table, rows, offsets, scores, torch.tensor(bias, dtype=torch.float32), floor, ema)
    return table.numpy()


def test_one_update_by_hand():
    table = [[0.5, 1.0], [0.3, 0.3], [0.0, 0.0]]
    crops = [[0.2, 0.01], [0.4, 0.02], [0.9, 0.1]]
    result = updated(table, rows=[0, 2], offsets=[0, 2, 3], crop_scores=crops, bias=[0.8, 0.5])
    expected = [
        [0.2 * 0.5 + 0.8 * 0.4 / 0.8, 0.2 * 1.0 + 0.8 * 0.05 / 0.5],
        [0.3, 0.3],
        [0.8 * 0.9 / 0.8, 0.8 * 0.1 / 0.5],
    ]
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_labels_are_clipped_to_one():
    assert updated([[0.9]], [0], [0, 1], [[0.9]], [0.3])[0, 0] == 1


def test_an_ema_of_one_keeps_the_old_label_and_of_zero_forgets_it():
    arguments = ([0], [0, 1], [[0.4, 0.2]], [0.8, 0.8])
    np.testing.assert_allclose(updated([[0.1, 0.9]], *arguments, ema=1.0), [[0.1, 0.9]])
    np.testing.assert_allclose(updated([[0.1, 0.9]], *arguments, ema=0.0), [[0.5, 0.25]])


def test_without_any_crop_nothing_changes():
    np.testing.assert_array_equal(updated([[0.5]], [], [0], np.zeros((0, 1)), [1.0]), np.float32([[0.5]]))


def test_an_image_without_crops_keeps_its_labels():
    table = np.float32([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]])
    result = updated(table, [3, 1, 0], [0, 0, 2, 2], [[0.4, 0.1], [0.2, 0.3]], [1.0, 1.0], ema=0.0)
    np.testing.assert_array_equal(result, np.float32([[0.1, 0.2], [0.4, 0.3], [0.5, 0.6], [0.7, 0.8]]))


def test_crops_before_the_first_offset_and_after_the_last_belong_to_nobody():
    scores = [[9.0], [0.2], [0.3], [9.0]]
    assert updated([[0.0]], [0], [1, 3], scores, [1.0], ema=0.0)[0, 0] == np.float32(0.3)


def test_a_nan_score_makes_a_nan_label():
    assert np.isnan(updated([[0.5]], [0], [0, 2], [[0.4], [np.nan]], [1.0]))[0, 0]


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 0.5))
def test_against_a_loop_over_images_and_classes(seed, ema, floor):
    rng = np.random.default_rng(seed)
    images, classes = 8, 5
    crops = rng.integers(0, 4, images)
    rows = rng.permutation(images + 2)[:images]
    offsets = np.concatenate([[0], crops.cumsum()])
    scores = rng.random((offsets[-1], classes))
    table, bias = rng.random((images + 2, classes)), rng.uniform(0.1, 1, classes)
    expected = table.copy()
    for place, row in enumerate(rows):
        if not crops[place]:
            continue
        for c in range(classes):
            best = max(scores[offsets[place] : offsets[place + 1], c])
            expected[row, c] = min(max(ema * table[row, c] + (1 - ema) * max(best, floor) / bias[c], 0), 1)
    np.testing.assert_allclose(updated(table, rows, offsets, scores, bias, floor, ema), expected, atol=1e-5)
