import math

import numpy as np
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


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.floats(0, 2.5), st.booleans())
def test_against_a_loop_over_rows_and_classes(seed, classes, max_entropy, half):
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.normal(0, 3, (9, classes))).to(torch.float16 if half else torch.float32)
    sums, counts = (torch.zeros(classes, dtype=torch.int64) for _ in range(2))
    scores, confident = kernels.score(rows, max_entropy, sums, counts)
    expected_sums, expected_counts = np.zeros(classes), np.zeros(classes)
    for row, similarities in enumerate(rows.tolist()):
        exponentials = [math.exp(s) for s in similarities]
        expected = [e / sum(exponentials) for e in exponentials]
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5)
        entropy = -sum(p * math.log(p) for p in expected)
        assert confident[row] == (entropy <= max_entropy) or abs(entropy - max_entropy) < 1e-5
        if confident[row]:
            top = similarities.index(max(similarities))
            expected_sums[top] += expected[top]
            expected_counts[top] += 1
    np.testing.assert_array_equal(counts, expected_counts)
    np.testing.assert_allclose(sums.double() / kernels.FIXED_POINT, expected_sums, rtol=1e-5)


def test_of_equal_similarities_the_lowest_class_is_on_top():
    assert scored([[0.0, 9.0, 9.0]])[3].tolist() == [0, 1, 0]


def test_a_row_with_nan_is_not_confident_and_a_similarity_of_minus_infinity_is_a_score_of_zero():
    scores, confident, _, counts = scored([[np.nan, 1.0], [np.inf, 1.0], [-np.inf, 1.0]])
    assert scores.isnan().all(dim=1).tolist() == [True, True, False]
    assert scores[2].tolist() == [0, 1]
    assert confident.tolist() == [False, False, True]
    assert counts.tolist() == [0, 1]
