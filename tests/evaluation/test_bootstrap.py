import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from ccd_fast import randomness
from ccd_fast.evaluation import bootstrap, mean_average_precision, paired
from ccd_fast.evaluation.bootstrap import Resampled, resampled_maps, resampled_shares, weighted_average_precision


def world(seed, images=300, classes=4, lift=1.0, share=0.2):
    """Truth, and scores that know something of it."""
    rng = np.random.default_rng(seed)
    truth = rng.random((images, classes)) < share
    scores = 1 / (1 + np.exp(-(lift * truth + rng.normal(size=truth.shape))))
    return torch.from_numpy(scores.astype(np.float32)), torch.from_numpy(truth)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_average_precision_agrees_with_scikit_learn_with_ties(seed):
    rng = np.random.default_rng(seed)
    scores, truth = rng.integers(0, 8, (60, 3)).astype(np.float32) / 8, rng.random((60, 3)) < 0.3
    weights = rng.integers(0, 4, (60, 5))
    weights[:3] = 1  # each class has a positive there
    truth[:3] = np.eye(3, dtype=bool)
    found = weighted_average_precision(*map(torch.from_numpy, (scores, truth)), torch.from_numpy(weights).float())
    for c in range(3):
        expected = [average_precision_score(truth[:, c], scores[:, c], sample_weight=w) for w in weights.T]
        np.testing.assert_allclose(found[:, c], expected, atol=1e-5)


def test_a_class_that_a_draw_does_not_have_is_left_out_of_its_mean():
    scores, truth = torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([[True, False], [False, True]])
    by_class = weighted_average_precision(scores, truth, torch.tensor([[2.0], [0.0]]))
    assert by_class[0, 0] == 1
    assert by_class[0, 1].isnan()


def test_each_draw_has_as_many_images_and_depends_on_its_number_alone():
    every = randomness.resamples(50, range(6))
    assert (every.sum(axis=0) == 50).all()
    np.testing.assert_array_equal(every[:, 4:], randomness.resamples(50, range(4, 6)))
    assert len({column.tobytes() for column in every.T}) == 6


def test_draws_are_the_same_however_many_are_held_together(monkeypatch):
    scores, truth = world(0)
    every = resampled_maps([scores], truth, draws=30).draws
    monkeypatch.setattr(bootstrap, "TOGETHER", 7)
    np.testing.assert_allclose(resampled_maps([scores], truth, draws=30).draws, every, atol=1e-6)


def test_intervals_cover_what_other_images_give_also_where_positives_are_few():
    """A draw's mean is off upwards there, and with it the plain quantiles of the draws."""
    expected = np.mean([mean_average_precision(*world(seed, 120, 16, 2, 0.03)) for seed in range(1000, 1120)])
    covered = plain = 0
    for seed in range(40):
        scores, truth = world(seed, 120, 16, 2, 0.03)
        found = resampled_maps([scores], truth, draws=80)
        sure, (low, high) = found.interval([0]), np.quantile(found.draws, [0.025, 0.975])
        covered += sure.low <= expected <= sure.high
        plain += low <= expected <= high
    assert covered >= 35
    assert plain < covered


def test_a_difference_is_of_the_same_draws():
    scores, truth = world(0)
    better = torch.where(truth, scores + 0.02, scores)
    both = resampled_maps([better, scores], truth, draws=200)
    alone, gain = both.interval([0]), both.interval([0], [1])
    assert gain.value == pytest.approx(both.values[0] - both.values[1])
    assert 0 < gain.low < gain.value < gain.high
    assert gain.high - gain.low < (alone.high - alone.low) / 3
    assert paired(better, scores, truth, draws=200) == gain
    same = paired(scores, scores, truth, draws=50)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_seeds_are_averaged_draw_by_draw():
    tables, truth = [world(seed)[0] for seed in (0, 1)], world(0)[1]
    found = resampled_maps(tables, truth, draws=100)
    mean = Resampled(found.values.mean(keepdims=True), found.draws.mean(axis=0, keepdims=True)).interval([0])
    assert found.interval([0, 1]) == mean
    gain = paired(tables, [tables[1]], truth, draws=100)
    assert gain.value == pytest.approx((found.values[0] - found.values[1]) / 2)


def test_classes_with_few_positives_may_be_left_out_of_a_comparison():
    scores, truth = world(0, classes=3)
    truth[:, 2] = False
    truth[0, 2] = True
    ours, theirs = scores.clone(), scores.clone()
    theirs[0, 2] = 0.0
    assert paired(ours, theirs, truth, draws=20).value > 0
    assert paired(ours, theirs, truth, min_positives=2, draws=20).value == 0


def test_a_class_without_positives_counts_as_it_does_in_the_figure():
    scores, truth = world(0, classes=2)
    truth[:, 1] = False
    found = resampled_maps([scores], truth, absent_ap=0.0, draws=20)
    assert found.values[0] == pytest.approx(mean_average_precision(scores, truth, 0.0))
    assert found.draws.max() < 0.5
    assert np.isnan(resampled_maps([scores], torch.zeros_like(truth), draws=5).interval([0]).low)


def test_shares_are_sums_over_the_images_of_a_draw():
    hits, of_all = torch.tensor([[1, 0, 2]]), torch.tensor([[2, 1, 2]])
    found = resampled_shares(hits, of_all, draws=50)
    assert found.values[0] == pytest.approx(3 / 5)
    counts = randomness.resamples(3, range(50))
    np.testing.assert_allclose(found.draws[0], ([1, 0, 2] @ counts) / ([2, 1, 2] @ counts), atol=1e-6)
