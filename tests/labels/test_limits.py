"""Limits by class without labels, and from those that are known."""

import pytest
import torch

from ccd_fast.labels import limits


def table_of(columns):
    return torch.tensor(columns).T.contiguous()


def test_each_class_has_a_limit_of_its_own_where_its_labels_part():
    sure, unsure = [0.9] * 30 + [0.05] * 70, [0.35] * 30 + [0.04] * 70
    found = limits.by_class(table_of([sure, unsure]))
    assert (table_of([sure, unsure]) >= found).sum(dim=0).tolist() == [30, 30]


def test_the_scores_are_cut_where_the_label_table_says():
    labels = table_of([[1.0] * 20 + [0.0] * 80])
    scores = table_of([[0.2 - 0.001 * row for row in range(100)]])
    assert (scores >= limits.by_class(scores, labels)).sum() == 20


def test_a_class_that_is_the_same_everywhere_is_given_to_no_more_photographs_than_its_labels_add_up_to():
    flat = torch.linspace(0.03, 0.0301, 100)[:, None].repeat(1, 2)
    assert ((flat >= limits.by_class(flat)).sum(dim=0) <= 3).all()


@pytest.mark.parametrize("photographs", [4, 100])
def test_labels_that_stand_at_their_floor_in_all_photographs_are_given_to_none(photographs):
    floor = torch.full((photographs, 2), 0.19)
    assert not (floor >= limits.by_class(floor)).any()
    floor[1, 0] = 0.2
    assert (floor >= limits.by_class(floor)).sum(dim=0).tolist() == [1, 0]


def test_what_is_known_takes_the_place_of_the_guess_and_says_nothing_of_the_rest_alone():
    scores = table_of([[0.9 - 0.005 * row for row in range(100)]] * 3)
    told = torch.zeros((100, 3), dtype=torch.int8)
    told[:, 0] = -1
    told[:10, 0] = 1  # all of it: the labels alone would say many more
    told[:60, 1] = torch.tensor([1] * 10 + [-1] * 50, dtype=torch.int8)
    told[:6, 2] = 1  # the surest of them are looked at and right: the others are no fewer for that
    given = (scores >= limits.by_class(scores, scores, told)).sum(dim=0)
    alone = (scores >= limits.by_class(scores)).sum(dim=0)[2]
    assert given[0] == 10
    assert given[1] < alone
    assert given[2] == alone > 10


def test_a_few_photographs_share_one_limit_and_none_have_the_highest():
    few = torch.rand((20, 3), generator=torch.Generator().manual_seed(0))
    assert len(limits.by_class(few).unique()) == 1
    assert limits.by_class(few[:0]).tolist() == [1, 1, 1]


def test_equal_scores_are_given_a_class_together():
    scores = table_of([[0.5] * 60 + [0.1] * 40])
    assert (scores >= limits.by_class(scores, scores / 2)).sum() in (60, 100)


def test_what_the_temperature_has_softened_is_sharpened_again():
    labels = table_of([[*[1.0] * 20, *[0.45] * 30, *[0.01] * 200]])
    softened = labels ** (1 / 1.75)
    assert (labels >= limits.by_class(labels)).sum() == 20
    assert (softened >= limits.by_class(softened)).sum() == 50  # as they are, they say too much
    assert (softened >= limits.by_class(softened, temperature=2.5)).sum() == 20


def test_a_limit_lies_between_two_scores_and_what_is_0_everywhere_is_given_to_none():
    scores = table_of([[0.9] * 30 + [0.1] * 70, [0.0] * 100])
    found = limits.by_class(scores)
    assert float(found[0]) == pytest.approx(0.5)
    assert float(found[1]) == 1
    near = torch.tensor([0.3, 0.3 + 2**-25] * 50)[:, None]  # there is no number between these
    assert (near >= limits.by_class(near)).sum() == 50
