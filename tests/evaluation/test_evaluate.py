import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from ccd_fast.datasets import load
from ccd_fast.evaluation.metrics import (
    Metrics,
    average_precision,
    choose_epoch,
    evaluate,
    evaluate_images,
    mean_average_precision,
    oracle_epoch,
)


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_agrees_with_scikit_learn_with_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, (60, 5)).astype(np.float32) / 8
    truth = rng.random((60, 5)) < 0.3
    truth[0] = True
    expected = [average_precision_score(truth[:, c], scores[:, c]) for c in range(5)]
    np.testing.assert_allclose(
        average_precision(torch.from_numpy(scores), torch.from_numpy(truth)), expected, atol=1e-5
    )


def test_a_class_without_positives_is_named_and_left_out_of_the_mean():
    scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]])
    truth = torch.tensor([[True, False], [False, False]])
    metrics = evaluate(scores, truth, ["cat", "dog"], threshold=0.5)
    assert metrics.mean_average_precision == 1.0
    assert metrics.average_precision == {"cat": 1.0}
    assert metrics.without_positives == ["dog"]


def test_without_any_positive_the_mean_is_undefined_and_recorded_as_none():
    metrics = evaluate(torch.rand(3, 2), torch.zeros(3, 2, dtype=torch.bool), ["a", "b"], 0.5)
    for name in ("mean_average_precision", "class_precision", "class_recall", "class_f1"):
        assert math.isnan(getattr(metrics, name)), name
        assert metrics.record()[name] is None


def test_f1_by_hand():
    scores = torch.tensor([[0.9, 0.9], [0.9, 0.1], [0.1, 0.1], [0.6, 0.2]])
    truth = torch.tensor([[True, True], [False, True], [True, False], [True, False]])
    metrics = evaluate(scores, truth, ["a", "b"], threshold=0.5)
    # a: 2 hits of 3 claims and 3 positives; b: 1 hit of 1 claim and 2 positives
    precision, recall = (2 / 3 + 1) / 2, (2 / 3 + 1 / 2) / 2
    assert metrics.class_f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert metrics.overall_f1 == pytest.approx(2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5))


@pytest.mark.parametrize("seed", range(5))
def test_precision_and_recall_agree_with_scikit_learn_at_scores_that_equal_the_threshold(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, (40, 5)).astype(np.float32) / 8
    scores[:, 4] = 0.25  # never predicted
    truth = rng.random((40, 5)) < 0.3
    truth[0] = True
    found = evaluate(torch.from_numpy(scores), torch.from_numpy(truth), list("abcde"), threshold=0.5)
    macro, micro = (
        precision_recall_fscore_support(truth, scores >= 0.5, average=average, zero_division=0)
        for average in ("macro", "micro")
    )
    assert (found.class_precision, found.class_recall) == pytest.approx(macro[:2])
    assert (found.overall_precision, found.overall_recall, found.overall_f1) == pytest.approx(micro[:3])
    assert found.class_f1 == pytest.approx(2 * macro[0] * macro[1] / (macro[0] + macro[1]))


def test_a_class_without_positives_counts_in_op_but_not_in_cp_and_cr():
    scores, truth = torch.tensor([[0.9, 0.9], [0.1, 0.9]]), torch.tensor([[True, False], [False, False]])
    metrics = evaluate(scores, truth, ["cat", "dog"], threshold=0.5)
    assert (metrics.class_precision, metrics.class_recall) == (1.0, 1.0)
    assert (metrics.overall_precision, metrics.overall_recall) == pytest.approx((1 / 3, 1.0))


def test_metrics_are_read_back_from_their_record_as_json():
    metrics = evaluate(torch.rand(3, 2), torch.tensor([[True, False]] * 3), ["a", "b"], 0.5)
    assert Metrics.of_record(json.loads(json.dumps(metrics.record()))) == metrics
    nothing = evaluate(torch.rand(3, 2), torch.zeros(3, 2, dtype=torch.bool), ["a", "b"], 0.5)
    assert math.isnan(Metrics.of_record(json.loads(json.dumps(nothing.record()))).mean_average_precision)


def test_only_images_that_can_be_read_and_whose_labels_are_known_are_evaluated(photo_folder):
    images = load("folder", photo_folder, "train", photo_folder / "classes.txt", photo_folder / "labels.csv")
    known = images.known.copy()
    known[:4] = False
    readable = torch.ones(len(images), dtype=torch.bool)
    readable[4:9] = False
    scores = torch.from_numpy(images.truth).float()
    scores[:9] = 1 - scores[:9]  # wrong wherever nobody should look
    images = dataclasses.replace(images, known=known)
    found = evaluate_images(scores, images, readable, 0.5)
    assert (found.images, found.overall_f1, found.mean_average_precision) == (len(images) - 9, 1, 1)
    assert evaluate_images(scores, images, torch.zeros_like(readable), 0.5) is None
    assert evaluate_images(scores, dataclasses.replace(images, truth=None), readable, 0.5) is None


def test_the_chosen_epoch_is_the_first_whose_agreement_grows_faster_than_before():
    assert choose_epoch([0.2, 0.5, 0.6, 0.65, 0.8]) == 4
    assert choose_epoch([0.2, 0.3, 0.6, 0.9]) == 2
    assert choose_epoch([0.2, 0.5, 0.6, 0.61]) is None
    assert choose_epoch([0.25, 0.5, 0.75, 1.25]) == 3  # as fast as before is not faster
    assert choose_epoch([0.2, 0.9]) is None
    assert choose_epoch([math.nan, 0.2, 0.9]) is None


def test_the_oracle_takes_the_first_epoch_with_the_highest_test_map():
    assert oracle_epoch([0.2, 0.5, 0.4, 0.5]) == 1
    assert oracle_epoch([math.nan, 0.1, math.nan]) == 1
    assert oracle_epoch([math.nan]) is None
    assert oracle_epoch([]) is None


def test_a_class_without_positives_may_count_as_zero():
    scores, truth = torch.tensor([[0.9, 0.2], [0.1, 0.8]]), torch.tensor([[True, False], [False, False]])
    metrics = evaluate(scores, truth, ["cat", "dog"], 0.5, absent_ap=0.0)
    assert metrics.mean_average_precision == 0.5
    assert metrics.average_precision == {"cat": 1.0, "dog": 0.0}


def test_scores_at_random_give_about_the_share_of_positives():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(4000, 2, generator=generator) < 0.2
    assert mean_average_precision(torch.rand(4000, 2, generator=generator), truth) == pytest.approx(0.2, abs=0.03)


def test_average_precision_is_that_of_the_published_code_of_the_other_systems(golden_systems):
    scores, truth = (torch.from_numpy(golden_systems[f"metrics/cole/{name}"]) for name in ("scores", "truth"))
    by_class = average_precision(scores.float(), truth == 1, absent_ap=0.0)  # a class without positives counts 0 there
    np.testing.assert_allclose(by_class, golden_systems["metrics/cole/ap"], rtol=1e-5)
    assert 100 * float(by_class.mean()) == pytest.approx(float(golden_systems["metrics/cole/map"]), rel=1e-5)


def test_classes_are_ranked_in_blocks_with_the_same_bits(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    scores, truth = (torch.randint(0, n, (40, 9), generator=generator) / 5 for n in (6, 2))
    whole = average_precision(scores, truth > 0, 0.25)
    monkeypatch.setattr("ccd_fast.evaluation.metrics.NUMBERS", 90)
    assert torch.equal(average_precision(scores, truth > 0, 0.25), whole)


def test_a_score_that_all_images_share_is_worth_the_share_of_positives():
    truth = torch.tensor([[True, False], [False, False], [False, True], [False, True]])
    assert average_precision(torch.full((4, 2), 0.5), truth).tolist() == [0.25, 0.5]
