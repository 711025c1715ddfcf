"""Labels are drawn towards those of the photographs that look most alike."""

import numpy as np
import pytest
import torch

from ccd_fast.evaluation.metrics import mean_average_precision
from ccd_fast.labels import PseudoLabels
from ccd_fast.labels.neighbours import (
    SOFTENED,
    WEIGHT,
    draw_together,
    know_each_other,
    logits_of,
    nearest,
    targets_of,
)
from ccd_fast.machine import ALONE
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.mapped_tables import Mapped
from ccd_fast.training.first_head import ridge_regression

IMAGES, CLASSES = 40, 3


def features(count=IMAGES, width=6):
    generator = torch.Generator().manual_seed(0)
    return 3 + torch.randn((count, width), generator=generator) * torch.rand((count, 1), generator=generator)


def labels(told=None):
    generator = torch.Generator().manual_seed(1)
    table = (2 * torch.rand((IMAGES, CLASSES), generator=generator) - 0.5).clamp(0, 1)
    of_classes = torch.ones(CLASSES)
    seen = torch.ones(IMAGES, dtype=torch.bool)
    made = PseudoLabels(table, of_classes, of_classes.long(), seen, seen.clone(), told=told)
    made.pin()
    return made


def draw(labels, rows, features, count, **tables):
    know_each_other(labels, rows, features, count, ALONE)
    draw_together(labels, **tables)


def nearest_by_numpy(x, count):
    x = x.double().numpy() - x.double().numpy().mean(axis=0)
    cosine = x @ x.T / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(x, axis=1))
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1)[:, :count]


def drawn_by_numpy(own, shown, near):
    own, shown = (np.clip(table.double().numpy(), SOFTENED, 1 - SOFTENED) for table in (own, shown))
    own, shown = (np.log(table / (1 - table)) for table in (own, shown))
    return 1 / (1 + np.exp(-((1 - WEIGHT) * own + WEIGHT * shown[near].mean(axis=1))))


@pytest.mark.parametrize("block", [7, 10**6])
def test_the_nearest_are_those_of_the_largest_cosine_about_the_mean(block, monkeypatch):
    monkeypatch.setattr("ccd_fast.machine.blocks.NUMBERS", block * IMAGES)
    near = nearest(features(), 5)
    assert np.array_equal(near.numpy(), nearest_by_numpy(features(), 5))
    assert not (near == torch.arange(IMAGES)[:, None]).any()


def test_of_few_photographs_all_others_are_near():
    assert sorted(map(sorted, nearest(features(3), 10).tolist())) == [[0, 1], [0, 2], [1, 2]]
    assert nearest(features(1), 10).shape == (1, 0)


@pytest.mark.parametrize("place", ["memory", "mapped"])
def test_labels_move_towards_the_mean_of_their_neighbours_in_logits(place, tmp_path):
    own, tables = labels(), {}
    if place == "mapped":
        folder = RunFolder(tmp_path / "run")
        folder.create(overwrite=False)
        tables = {"tables": Mapped(folder)}
    before = own.table.clone()
    draw(own, torch.arange(IMAGES), features(), 5, **tables)
    wanted = drawn_by_numpy(before, before, nearest_by_numpy(features(), 5))
    assert np.allclose(own.table.numpy(), wanted, atol=1e-5 if place == "memory" else 1e-3)


def test_a_photograph_that_was_not_seen_keeps_its_labels_and_draws_nobody():
    own, rows = labels(), torch.arange(0, IMAGES, 2)
    before = own.table.clone()
    draw(own, rows, features()[rows], 4)
    assert torch.equal(own.table[1::2], before[1::2])
    wanted = drawn_by_numpy(before[rows], before[rows], nearest_by_numpy(features()[rows], 4))
    assert np.allclose(own.table[rows].numpy(), wanted, atol=1e-5)


def test_what_is_known_stays_and_draws_the_others():
    told = torch.zeros((IMAGES, CLASSES), dtype=torch.int8)
    told[4, 0], told[9, 1] = 1, -1
    own = labels(told)
    guess = own.guessed().clone()
    shown = torch.sigmoid(targets_of(own, torch.arange(IMAGES)))
    assert (shown != guess.clamp(SOFTENED, 1 - SOFTENED)).sum() >= 2
    draw(own, torch.arange(IMAGES), features(), 5)
    assert own.table[4, 0] == 1 and own.table[9, 1] == 0
    wanted = drawn_by_numpy(guess, shown, nearest_by_numpy(features(), 5))
    assert np.allclose(own.guessed().numpy(), wanted, atol=1e-5)
    assert not torch.equal(own.guessed()[4], own.table[4])
    assert torch.equal(own.alone, guess)


def of_guesses(guesses, told):
    seen = torch.ones(len(guesses), dtype=torch.bool)
    made = PseudoLabels(guesses, torch.ones(1), torch.ones(1).long(), seen, seen.clone(), told=told)
    made.pin()
    return made


def test_a_known_label_counts_as_the_surest_guesses_of_its_class():
    guesses = torch.linspace(0.2, 0.7, 101)[:, None]
    told = torch.zeros((101, 1), dtype=torch.int8)
    told[[3, 60, 80]] = torch.tensor([[-1], [1], [-1]], dtype=torch.int8)  # the first is beyond their middle as it is
    known = of_guesses(guesses, told)
    wanted = logits_of(guesses)
    for row, like in ((60, 95), (80, 50)):
        wanted[row] = (wanted[row] + logits_of(guesses)[like]) / 2
    torch.testing.assert_close(targets_of(known, torch.arange(101)), wanted)
    assert torch.equal(targets_of(of_guesses(guesses, None), torch.arange(101)), logits_of(guesses))


def test_a_head_is_better_for_what_it_is_told():
    found = np.zeros(3)
    for seed in range(6):
        draw = torch.Generator().manual_seed(seed)
        x, directions = torch.randn((600, 40), generator=draw), torch.randn((40, 5), generator=draw)
        truth = x @ directions > 11
        seen = truth & (torch.rand(truth.shape, generator=draw) < 0.6)  # by a teacher that misses many
        guesses = torch.sigmoid(3 * seen.float() + 0.5 * torch.randn(truth.shape, generator=draw) - 3)
        known = torch.rand(truth.shape, generator=draw) < 0.1
        told = of_guesses(guesses, torch.where(known, torch.where(truth, 1, -1), 0).to(torch.int8))
        rows = torch.arange(300)
        ways = (logits_of(guesses[rows]), logits_of(told.table[rows]), targets_of(told, rows))
        for way, targets in enumerate(ways):
            weights, biases = ridge_regression(x[rows], targets)
            found[way] += mean_average_precision(x[300:] @ weights.T + biases, truth[300:]) / 6
    untold, as_0_and_1, as_the_surest = found
    assert as_the_surest > untold + 0.005 > as_0_and_1 + 0.01


def test_a_lone_photograph_keeps_its_labels():
    own = labels()
    before = own.table.clone()
    draw(own, torch.tensor([3]), features(1), 5)
    assert torch.equal(own.table, before)


def test_labels_at_both_ends_have_a_logit():
    assert logits_of(torch.tensor([0.0, 1.0])).isfinite().all()
