import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccd_fast import kernels


def scored(similarities, max_entropy=10.0):
    classes = len(similarities[0])
    sums, counts = torch.zeros(classes, dtype=torch.int64), torch.zeros(classes, dtype=torch.int64)
    scores, confident = kernels.score(torch.tensor(similarities, dtype=torch.float32), max_entropy, sums, counts)
    return scores, confident, sums, counts


def test_scores_are_the_softmax_and_the_top_one_is_counted():
    scores, confident, sums, counts = scored([[np.log(3.0), 0.0], [0.0, np.log(7.0)]])
    np.testing.assert_allclose(scores, [[0.75, 0.25], [0.125, 0.875]], rtol=1e-6)
    assert confident.all()
    np.testing.assert_array_equal(counts, [1, 1])
    np.testing.assert_allclose(sums.double() / 2**32, [0.75, 0.875], rtol=1e-6)


def test_entropy_is_in_nats_and_rows_above_the_limit_are_not_counted():
    rows = [[0.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]]
    _, just, _, counts = scored(rows, max_entropy=np.log(4) + 1e-6)
    assert just.tolist() == [True, True]
    assert counts.sum() == 2
    _, below, _, counts = scored(rows, max_entropy=np.log(4) - 1e-4)
    assert below.tolist() == [False, True]
    np.testing.assert_array_equal(counts, [1, 0, 0, 0])


def test_a_score_of_zero_has_no_entropy():
    _, confident, _, _ = scored([[0.0, -1000.0, -1000.0]], max_entropy=0.0)
    assert confident.tolist() == [True]


def test_sums_go_on_over_calls():
    sums, counts = torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    for _ in range(3):
        kernels.score(torch.tensor([[2.0, 0.0]]), 1.0, sums, counts)
    assert counts.tolist() == [3, 0]


@given(st.integers(0, 2**32 - 1))
def test_bias_sums_are_the_same_bits_in_any_order(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 4, (40, 6)).astype(np.float32)
    _, _, sums, counts = scored(rows)
    _, _, shuffled, shuffled_counts = scored(rows[rng.permutation(40)])
    assert torch.equal(sums, shuffled)
    assert torch.equal(counts, shuffled_counts)


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50))
def test_adding_a_constant_to_all_similarities_changes_no_score(seed, constant):
    rows = np.random.default_rng(seed).normal(0, 4, (5, 7)).astype(np.float32)
    np.testing.assert_allclose(scored(rows)[0], scored(rows + np.float32(constant))[0], atol=1e-5)


def test_a_device_without_an_implementation_is_refused():
    with pytest.raises(ValueError, match="meta"):
        kernels.cam_boxes(torch.zeros(1, 2, 2, device="meta"), 32, 0.9, 0.1)
