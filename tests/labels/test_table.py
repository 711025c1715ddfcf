import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccd_fast.errors import UserError
from ccd_fast.labels.bias import bias_of_crops, class_bias
from ccd_fast.labels.table import FirstLabels, PseudoLabels, Update, debiased_labels, update_labels
from ccd_fast.machine.ranks import ALONE


def bias_of(means, counts, min_count):
    counts = torch.tensor(counts)
    sums = (torch.tensor(means, dtype=torch.float64) * counts * 2**32).round().long()
    return class_bias(sums, counts, min_count).numpy()


def test_the_bias_is_the_mean_top_score_of_each_class():
    np.testing.assert_allclose(bias_of([0.8, 0.4, 0.6], [10, 20, 30], min_count=1), [0.8, 0.4, 0.6])


def test_a_class_that_is_never_top1_gets_the_mean_bias_of_the_others():
    np.testing.assert_allclose(bias_of([0.8, 0.4, 0.0], [10, 20, 0], min_count=1), [0.8, 0.4, 0.6])


def test_a_rare_class_is_drawn_towards_the_mean_as_far_as_images_lack():
    # 4 of 10 images: its own mean counts 4 tenths, the mean of the trusted classes 6 tenths
    expected = [0.8, 0.4, 0.4 * 0.2 + 0.6 * 0.6]
    np.testing.assert_allclose(bias_of([0.8, 0.4, 0.2], [10, 20, 4], min_count=10), expected, rtol=1e-6)


def test_rare_classes_are_not_drawn_to_each_other_where_others_are_seen_enough():
    expected = [0.8, 0.4, 0.1 * 0.2 + 0.9 * 0.6, 0.5 * 1.0 + 0.5 * 0.6]
    np.testing.assert_allclose(bias_of([0.8, 0.4, 0.2, 1.0], [10, 20, 1, 5], min_count=10), expected, rtol=1e-6)


def test_where_every_class_is_rare_they_are_drawn_to_each_other():
    expected = [(0.8 + 0.4) / 2, (0.4 + 0.8) / 2, 0.6]
    np.testing.assert_allclose(bias_of([0.8, 0.4, 0.0], [5, 5, 0], min_count=10), expected, rtol=1e-6)


def test_a_single_seen_class_is_all_there_is_to_go_by():
    np.testing.assert_allclose(bias_of([0.7, 0.0], [3, 0], min_count=1), [0.7, 0.7])


def test_where_no_image_is_confident_the_line_says_how_far_from_it_the_surest_is():
    with pytest.raises(ValueError, match="no class has a confident image"):
        bias_of([0.0, 0.0], [0, 0], min_count=1)
    gathered = FirstLabels(3, 2, max_entropy=0.5)
    gathered.add(torch.tensor([0, 2]), torch.tensor([[1.0, 1.0], [3.0, 1.0]]).log())
    said = r"lowest entropy of an image's scores is 0\.56 nats, above labels.max_entropy = 0\.5 \(evenly .* 0\.69\)"
    with pytest.raises(UserError, match=said):
        gathered.finish(floor=0.1, min_count=1, debias=True)
    gathered.finish(floor=0.1, min_count=1, debias=False)


def test_first_labels_by_hand():
    # p = (0.75, 0.25) twice and (0.2, 0.8): b = (0.75, 0.8)
    similarities = torch.tensor([[3.0, 1.0], [3.0, 1.0], [1.0, 4.0]]).log()
    gathered = FirstLabels(4, 2, max_entropy=2.0)
    gathered.add(torch.tensor([3, 0]), similarities[:2])
    gathered.add(torch.tensor([1]), similarities[2:])
    labels = gathered.finish(floor=0.3, min_count=1, debias=True)
    np.testing.assert_allclose(labels.bias, [0.75, 0.8], rtol=1e-6)
    expected = [[1, 0.3 / 0.8], [0.3 / 0.75, 1], [0, 0], [1, 0.3 / 0.8]]
    np.testing.assert_allclose(labels.table, expected, rtol=1e-5)
    assert labels.readable.tolist() == [True, True, False, True]
    assert labels.confident.tolist() == [True, True, False, True]


def test_without_debias_labels_are_the_scores_above_the_floor():
    gathered = FirstLabels(1, 2, max_entropy=2.0)
    gathered.add(torch.tensor([0]), torch.tensor([[19.0, 1.0]]).log())
    labels = gathered.finish(floor=0.1, min_count=1, debias=False)
    np.testing.assert_allclose(labels.table, [[0.95, 0.1]], rtol=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5.0))
def test_labels_do_not_change_when_a_class_s_scores_and_bias_are_scaled_together(seed, factor):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.random((6, 4)).astype(np.float32))
    bias = torch.from_numpy(rng.uniform(0.2, 1, 4).astype(np.float32))
    scaled = torch.tensor([factor, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(
        debiased_labels(scores * scaled, bias * scaled, 0.0), debiased_labels(scores, bias, 0.0), rtol=1e-5
    )


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9), st.floats(0, 1))
def test_labels_stay_between_zero_and_one_through_any_update(seed, floor, ema):
    rng = np.random.default_rng(seed)
    labels = random_labels(rng, 6, 4)
    rows = torch.from_numpy(np.sort(rng.integers(0, 6, 10)))
    update_labels(labels, rows, torch.from_numpy(rng.random((10, 4)).astype(np.float32)), Update(floor, ema))
    assert labels.table.min() >= 0
    assert labels.table.max() <= 1


def test_repeated_updates_tend_to_the_debiased_crop_scores():
    labels = random_labels(np.random.default_rng(0), 1, 3)
    crops = torch.tensor([[0.1, 0.02, 0.3]])
    for _ in range(60):
        update_labels(labels, torch.tensor([0]), crops, Update(floor=0.05, weight=0.5))
    np.testing.assert_allclose(labels.table, debiased_labels(crops, labels.bias, 0.05), rtol=1e-5)


def test_the_bias_of_crops_is_that_of_confident_crops_by_their_top_class():
    crops = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.5, 0.5]])  # the last is not confident
    bias = bias_of_crops(crops, torch.ones(2), max_entropy=0.68, min_count=1, ranks=ALONE)
    np.testing.assert_allclose(bias, [0.7, 0.9], rtol=1e-6)


@pytest.mark.parametrize("crops", [torch.zeros(0, 2), torch.tensor([[0.5, 0.5]])])
def test_without_a_confident_crop_the_bias_stays(crops):
    before = torch.tensor([0.3, 0.4])
    assert torch.equal(bias_of_crops(crops, before, max_entropy=0.1, min_count=1, ranks=ALONE), before)


def test_a_score_of_zero_does_no_harm_to_the_bias_of_crops():
    bias = bias_of_crops(torch.tensor([[1.0, 0.0]]), torch.ones(2), max_entropy=0.1, min_count=1, ranks=ALONE)
    np.testing.assert_allclose(bias, [1.0, 1.0])


def test_an_image_without_crops_keeps_its_labels():
    labels = random_labels(np.random.default_rng(1), 3, 2)
    before = labels.table.clone()
    update_labels(labels, torch.tensor([1]), torch.tensor([[0.9, 0.9]]), Update(floor=0.05, weight=0.2))
    assert torch.equal(labels.table[[0, 2]], before[[0, 2]])
    assert not torch.equal(labels.table[1], before[1])


def test_anchored_labels_start_each_update_from_the_first_ones():
    labels = random_labels(np.random.default_rng(3), 3, 2)
    plain = copy.deepcopy(labels)
    labels.anchor()
    rows, last = torch.tensor([1]), torch.tensor([[0.3, 0.1]])
    update_labels(plain, rows, last, Update(floor=0.05, weight=0.4))
    for crops in (torch.tensor([[0.9, 0.9]]), last):
        update_labels(labels, rows, crops, Update(floor=0.05, weight=0.4))
    assert torch.equal(labels.table, plain.table)  # as if the update between had never been


def test_the_state_survives_a_round_trip():
    labels = random_labels(np.random.default_rng(2), 3, 2)
    assert PseudoLabels(**labels.state()).first is None
    labels.anchor()
    again = PseudoLabels(**labels.state())
    assert torch.equal(again.table, labels.table)
    assert torch.equal(again.first, labels.first)


def test_first_labels_and_bias_agree_with_the_published_code(shared):
    golden = np.load(shared / "golden" / "official.npz", allow_pickle=False)
    scores = torch.from_numpy(golden["scores"].astype(np.float32))
    gathered = FirstLabels(*scores.shape, max_entropy=2.0)
    gathered.add(torch.arange(len(scores)), scores.log())
    labels = gathered.finish(floor=0.05, min_count=1, debias=True)
    np.testing.assert_array_equal(labels.confident, golden["confident"].astype(bool))
    np.testing.assert_allclose(labels.bias, golden["bias"], atol=1e-6)
    np.testing.assert_allclose(labels.table, golden["first_labels"], atol=1e-5)


def test_an_update_agrees_with_the_published_code(shared):
    golden = np.load(shared / "golden" / "official.npz", allow_pickle=False)
    first = torch.from_numpy(golden["first_labels"].astype(np.float32))
    owner = torch.from_numpy(golden["box_owner"].astype(np.int64))
    labels = random_labels(np.random.default_rng(0), *first.shape)
    labels.table, labels.bias = first.clone(), torch.from_numpy(golden["bias"].astype(np.float32))
    scores = torch.from_numpy(golden["crop_scores"].astype(np.float32))
    update_labels(labels, owner, scores, Update(floor=0.05, weight=0.2))
    seen = torch.unique(owner)  # an image without an active class keeps its labels here, and decays there
    np.testing.assert_allclose(labels.table[seen], golden["updated_labels"][seen.numpy()], atol=1e-5)


def random_labels(rng: np.random.Generator, images: int, classes: int) -> PseudoLabels:
    return PseudoLabels(
        table=torch.from_numpy(rng.random((images, classes)).astype(np.float32)),
        bias=torch.from_numpy(rng.uniform(0.2, 1, classes).astype(np.float32)),
        bias_counts=torch.ones(classes, dtype=torch.int64),
        confident=torch.ones(images, dtype=torch.bool),
        readable=torch.ones(images, dtype=torch.bool),
    )


@pytest.mark.parametrize("anchored", [False, True])
def test_beside_what_is_told_the_guess_goes_on_as_if_nothing_were(anchored):
    generator = torch.Generator().manual_seed(0)
    start, bias = torch.rand((6, 3), generator=generator), torch.full((3,), 0.5)
    told = torch.zeros((6, 3), dtype=torch.int8)
    told[1, 0], told[4] = 1, -1
    ours, other = (
        PseudoLabels(start.clone(), bias, torch.ones(3, dtype=torch.int64), torch.ones(6).bool(), torch.ones(6).bool())
        for _ in range(2)
    )
    ours.told = told
    ours.pin()
    for labels in (ours, other):
        if anchored:
            labels.anchor()
    for rows in ([0, 1, 1, 4], [2, 4, 5, 5]):
        seen = torch.rand((4, 3), generator=generator)
        for labels in (ours, other):
            update_labels(labels, torch.tensor(rows), seen, Update(0.05, 0.5))
        assert torch.equal(ours.guess, other.table)
        assert torch.equal(ours.table, torch.where(told == 0, other.table, (told == 1).float()))
