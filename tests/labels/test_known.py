"""What is known of the labels, against the draws that were recorded while the published code ran."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ccd_fast.labels import known

TRUTHS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 6)))


def all_of(truth):
    return np.ones(len(truth), dtype=bool)


@pytest.mark.parametrize("size", ["N200C20", "N60C7"])
@pytest.mark.parametrize("split", ["", "_val"])
def test_one_positive_an_image_is_the_one_that_the_published_code_drew(golden_systems, size, split):
    truth = golden_systems[f"labels/cole/{size}/truth{split}"] == 1
    drawn = known.few(truth, all_of(truth))
    np.testing.assert_array_equal(drawn, golden_systems[f"labels/cole/{size}/observed{split}"])


@pytest.mark.parametrize("size", ["N200C20", "N60C7"])
def test_a_few_of_each_sign_are_those_that_the_published_code_drew(golden_systems, size):
    truth = golden_systems[f"labels/cole/{size}/truth"] == 1
    drawn = known.few(truth, all_of(truth), positives=2, negatives=3)
    np.testing.assert_array_equal(drawn, golden_systems[f"labels/cole/{size}/observed_pos2_neg3"])


def test_it_is_drawn_before_images_are_held_out(golden_systems):
    rows = golden_systems["labels/cole/split_N200/train"]
    truth = golden_systems["labels/cole/N200C20/truth"] == 1
    drawn = known.few(truth, all_of(truth))[rows]
    np.testing.assert_array_equal(drawn, golden_systems["labels/cole/N200C20/split_observed_train"])


@pytest.mark.parametrize("size", ["N200C20", "N50C80"])
@pytest.mark.parametrize("share", [10, 50])
def test_a_share_of_the_entries_is_the_one_that_the_published_code_drew(golden_systems, size, share):
    truth = golden_systems[f"labels/hcp/{size}/truth"] == 1
    drawn = known.partial(truth, all_of(truth), share / 100)
    np.testing.assert_array_equal(drawn, golden_systems[f"labels/hcp/{size}/observed_p{share}"])


@given(TRUTHS, st.data())
def test_nothing_that_is_told_is_false_and_nothing_is_told_of_unknown_rows(truth, data):
    rows = data.draw(hnp.arrays(bool, len(truth)))
    for matrix in (known.full(truth, rows), known.partial(truth, rows, 0.5), known.few(truth, rows, 3, 1, 1)):
        assert not (matrix[~rows]).any()
        assert truth[matrix == 1].all()
        assert not truth[matrix == -1].any()
    one = known.few(truth, rows)
    np.testing.assert_array_equal((one == 1).sum(axis=1), truth.any(axis=1) & rows)
    assert not (one == -1).any()


def test_the_teacher_s_labels_are_its_own_and_none_of_unreadable_images():
    scores = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2]])
    readable = torch.tensor([True, True, False])
    np.testing.assert_array_equal(known.teacher_top1(scores, readable), [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(known.teacher_threshold(scores, readable, 0.3), [[1, 1, 0], [0, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(known.teacher_threshold(scores, readable, 0.9), [[1, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_a_digest_tells_matrices_apart():
    one = np.array([[1, 0], [0, -1]], dtype=np.int8)
    assert known.digest(one) == known.digest(one.copy())
    assert known.digest(one) != known.digest(-one)
    assert known.digest(one) != known.digest(one.reshape(1, 4))
    assert known.counts(one) == {"positive": 1, "negative": 1, "images": 2}


def gathered(scores, similarities, told):
    """First labels of some similarities, with what is told of them."""
    from ccd_fast.labels import FirstLabels

    first = FirstLabels(*scores, max_entropy=0.9)
    first.add(torch.arange(scores[0]), similarities)
    before = first.bias_sums.clone(), first.bias_counts.clone()
    first.count_known(told)
    return first, before


def test_the_bias_counts_known_positives_once_and_no_image_whose_top_class_is_absent():
    similarities = torch.tensor([[4.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 1.0, 0.9], [0.0, 0.0, 3.0]])
    nothing = torch.zeros(4, 3, dtype=torch.int8)
    first, before = gathered((4, 3), similarities, nothing)
    assert torch.equal(first.bias_sums, before[0])  # the bits of the kernel
    assert torch.equal(first.bias_counts, before[1])
    told = nothing.clone()
    told[0, 0] = 1  # on top already: not twice
    told[1, 0] = -1  # on top, and wrong
    told[2, 2] = 1  # not on top, in an image that is not confident
    first, before = gathered((4, 3), similarities, told)
    assert before[1].tolist() == [2, 0, 1]
    assert first.bias_counts.tolist() == [1, 0, 2]
    scores = similarities.softmax(dim=1).double()
    mean = torch.stack([scores[0, 0], scores[2, 2] + scores[3, 2]])
    assert torch.allclose(first.bias_sums[[0, 2]].double() / 2**32, mean, atol=1e-7)


def test_known_entries_stay_through_an_update_and_unreadable_images_stay_empty():
    from ccd_fast.labels import PseudoLabels, Update, update_labels

    told = torch.tensor([[1, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=torch.int8)
    readable = torch.tensor([True, True, False])
    labels = PseudoLabels(
        table=torch.full((3, 3), 0.5) * readable[:, None],
        bias=torch.ones(3),
        bias_counts=torch.ones(3, dtype=torch.int64),
        confident=readable,
        readable=readable,
        told=told,
    )
    update_labels(labels, torch.tensor([0, 1]), torch.tensor([[0.1, 0.9, 0.2], [0.3, 0.2, 0.8]]), Update(0.01, 0.5))
    expected = [[1, 0, 0.35], [0.4, 0.35, 0], [0, 0, 0]]
    assert torch.allclose(labels.table, torch.tensor(expected))
    assert PseudoLabels(**labels.state()).told is not None
