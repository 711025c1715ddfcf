import numpy as np
import pytest
import torch

from ccd_fast.labels.crop_cache import NOT_KEPT, CropCache, distinct

ROWS = np.array([0, 0, 2, 5])
BOXES = np.array([[0, 0, 9, 9], [1, 0, 9, 9], [0, 0, 9, 9], [3, 4, 5, 6]])
SCORES = torch.arange(8.0).reshape(4, 2)
BYTES_EACH = 5 * 8 + 2 * 4
A, B = object(), object()  # two sets of images


def filled(budget=2**20):
    cache = CropCache(budget)
    cache.serve(A)
    cache.replace(ROWS, BOXES, SCORES)
    return cache


def test_equal_boxes_of_an_image_are_given_once_and_those_of_two_images_twice():
    owner, boxes = distinct(np.array([0, 0, 0, 1]), BOXES[[1, 0, 1, 0]])
    assert owner.tolist() == [0, 0, 1]
    assert boxes.tolist() == BOXES[[0, 1, 0]].tolist()


def test_nothing_has_no_distinct_boxes():
    owner, boxes = distinct(np.empty(0, dtype=np.int64), np.empty((0, 4), dtype=np.int64))
    assert (owner.shape, boxes.shape) == ((0,), (0, 4))


def test_only_the_same_box_of_the_same_image_is_found():
    rows = np.array([0, 0, 1, 2, 5])
    asked = np.array([[1, 0, 9, 9], [2, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 9], [3, 4, 5, 7]])
    cache = filled()
    found = cache.find(rows, asked)
    assert found.tolist() == [1, NOT_KEPT, NOT_KEPT, 2, NOT_KEPT]
    assert torch.equal(cache.scores(found[found != NOT_KEPT]), SCORES[[1, 2]])


def test_what_is_found_is_what_a_dictionary_finds():
    rng = np.random.default_rng(0)
    for _ in range(20):
        kept, asked = (
            np.unique(np.column_stack([rng.integers(0, 6, 30), rng.integers(0, 2, (30, 4))]), axis=0) for _ in range(2)
        )
        cache = CropCache(2**20)
        cache.serve(A)
        cache.replace(kept[:, 0], kept[:, 1:], torch.zeros(len(kept), 2))
        expected = {tuple(key): position for position, key in enumerate(kept.tolist())}
        found = cache.find(asked[:, 0], asked[:, 1:]).tolist()
        assert found == [expected.get(tuple(key), NOT_KEPT) for key in asked.tolist()]


@pytest.mark.parametrize(("budget", "kept"), [(0, 0), (BYTES_EACH - 1, 0), (3 * BYTES_EACH + 1, 3), (10**6, 4)])
def test_the_first_crops_are_kept_and_never_more_bytes_than_the_budget(budget, kept):
    cache = filled(budget)
    assert len(cache) == kept
    assert cache.used == kept * BYTES_EACH <= budget
    assert (cache.find(ROWS, BOXES) != NOT_KEPT).tolist() == [place < kept for place in range(4)]


def test_the_memory_of_what_does_not_fit_is_let_go():
    kept = filled(BYTES_EACH)._scores
    assert kept.untyped_storage().nbytes() == 2 * 4


def test_a_pass_over_other_images_finds_nothing_and_over_the_same_ones_everything():
    cache = filled()
    cache.serve(A)
    assert len(cache) == 4
    cache.serve(B)
    assert len(cache) == 0
    assert (cache.find(ROWS, BOXES) == NOT_KEPT).all()


def test_the_next_pass_takes_the_place_of_the_last():
    cache = filled()
    cache.replace(ROWS[2:], BOXES[2:], SCORES[2:])
    assert cache.find(ROWS, BOXES).tolist() == [NOT_KEPT, NOT_KEPT, 0, 1]
