"""Which photographs are worth a person's minute: unsure, contradicted, rare; and not what a person has told."""

import pytest
import torch

from ccd_fast.outputs import doubts

NOTHING = torch.zeros((1, 1), dtype=torch.bool)


def entry(student, labels):
    return doubts.of(torch.tensor([[student]]), torch.tensor([[labels]]), NOTHING).entries.item()


def test_an_entry_is_doubtful_where_both_are_unsure_and_where_they_contradict_each_other():
    assert entry(0.5, 0.5) == pytest.approx(1)
    assert entry(1.0, 0.0) == pytest.approx(1)
    assert entry(1.0, 1.0) == entry(0.0, 0.0) == 0
    assert entry(0.9, 0.9) < entry(0.9, 0.5) < entry(0.9, 0.2)


def test_the_limit_of_each_class_becomes_a_half_and_the_order_stays():
    scores = torch.tensor([[0.0, 0.0], [0.02, 0.5], [0.2, 0.9], [1.0, 1.0]])
    found = doubts.halved(scores, torch.tensor([0.02, 0.9]))
    assert found[1, 0] == pytest.approx(0.5)
    assert found[2, 1] == pytest.approx(0.5)
    assert (found.diff(dim=0) > 0).all()
    assert doubts.halved(scores, torch.tensor([0.0, 1.0])).isfinite().all()


def test_a_rare_class_goes_before_a_frequent_one():
    student = torch.zeros((20, 2))
    student[:, 0] = 1.0
    student[0] = torch.tensor([0.5, 0.0])
    student[1, 1] = 0.5
    assert doubts.of(student, student, torch.zeros((20, 2), dtype=torch.bool)).first(5) == [1, 0]


def test_what_a_person_has_told_leaves_no_doubt():
    student = torch.tensor([[0.5, 0.5], [0.5, 0.6]])
    settled = torch.tensor([[True, True], [True, False]])
    found = doubts.of(student, student, settled)
    assert found.first(5) == [1]
    assert found.worth[0] == 0


def test_it_is_said_who_says_what():
    student, labels = torch.tensor([[1.0, 0.0, 0.45, 0.0]]), torch.tensor([[0.0, 1.0, 0.45, 0.0]])
    found = doubts.of(student, labels, torch.zeros((1, 4), dtype=torch.bool))
    said = doubts.why(found, 0, ("cat", "dog", "boat", "hat"), 4)
    assert said == "cat: student yes, labels no · dog: labels yes, student no · boat: unsure"
    calm = doubts.of(labels, labels, torch.zeros((1, 4), dtype=torch.bool))
    assert doubts.why(calm, 0, ("cat", "dog", "boat", "hat"), 1) == "boat: unsure"
