"""How long a run still takes: from the first stage on, corrected by each that ends."""

import pytest

from ccd_fast.recipes import config
from ccd_fast.training.forecast import DECODED, READ, Forecast

KNOBS = ("train.epochs=4", "train.warmup_epochs=2", "labels.grids=[2]", "relabel.k=3", "consistency.mu=1")
KNOBS += ("relabel.student=pass",)
LEAST = {
    **{name: {"teacher": 0.01} for name in ("first labels", "zero-shot on the test images", "cells")},
    "relabel": {"teacher": 0.01, "student": 0.002},
    "activity threshold": {"student": 0.002},
    **{name: {"student": 0.002} for name in ("first head", "evaluate")},
    "train": {"training": 0.02},
}


def forecast(*knobs, least=LEAST, test=50, **kept):
    return Forecast(config.load("folder", [*KNOBS, *knobs]), 100, test, least, **kept)


def record(stage, images, seconds, epoch=None, near=0.5):
    return {"stage": stage, "images": images, "seconds": seconds, "of_matmul": near} | (
        {} if epoch is None else {"epoch": epoch}
    )


FIRST = record("first labels", 100, 2.0)


def test_after_the_first_stage_the_work_of_the_networks_gives_the_time_of_all_others():
    # cells: 4 views each; the head: 1; two updates of 1 look and 4 crops, tau as the recipe has it; training: 1 1 2 2
    given = forecast("relabel.tau='once'")
    least = 50 * 0.01 + 400 * 0.01 + 2 * 100 * 0.002 + 2 * 100 * (0.002 + 4 * 0.01) + 600 * 0.02 + 4 * 50 * 0.002
    assert given.remaining([FIRST]) == pytest.approx(least / 0.5)
    assert given.said([FIRST]) == "about 51 s to go in this run"


def test_a_stage_that_has_been_is_taken_as_it_was_with_twice_the_views_for_the_consistency_loss():
    before_training = [FIRST, record("cells", 100, 8.0), record("first head", 100, 0.4)]
    first = [*before_training, record("zero-shot on the test images", 50, 1.0)]
    before = forecast(test=0).remaining(before_training)
    slow = [*first, record("train", 100, 100.0, 0)]
    after = forecast(test=0).remaining(slow)
    assert after - before == pytest.approx((100.0 - 4.0) * (1 + 2 + 2) - 4.0)


def test_without_the_speed_of_the_networks_nothing_is_said_before_each_kind_of_stage_has_been():
    given = forecast("train.epochs=3", "relabel.epochs=0", least={}, test=0)
    records = [FIRST, record("cells", 100, 8.0)]
    assert given.said(records) == ""
    records.append(record("train", 100, 30.0, 0))
    assert given.remaining(records) == pytest.approx(30 + (60 if given.recipe.is_consistent(2) else 30))


def test_updates_that_have_ended_are_not_waited_for():
    records = [FIRST, record("cells", 100, 8.0), *(record("train", 100, 10.0, e) for e in (0, 1, 2))]
    settled = forecast("relabel.epochs='every'", test=0).remaining(records)
    assert settled == pytest.approx(10.0)


def test_nothing_is_left_after_the_last_stage():
    given = forecast("train.epochs=1", "labels.grids=[]", test=0)
    assert given.remaining([FIRST, record("train", 100, 5.0, 0)]) == 0
    assert given.said([FIRST, record("train", 100, 5.0, 0)]) == ""


def test_views_that_were_seen_before_cost_next_to_nothing():
    knobs = ("train.epochs=8", "consistency.mu=0", "relabel.student=training", "student.head=ridge")
    given = forecast(*knobs, looks_once=True, keeps_features=True)
    asked = {(p.name, p.epoch): sum(p.views.values()) for p in given.plan()}
    # the head saw each plain view: half of them are new in the first epoch, then a half of that half, and so on
    for epoch, share in enumerate((1 / 2, 1 / 4, 1 / 8, 1 / 16)):
        assert asked["train", epoch] == pytest.approx(DECODED + (1 - DECODED) * share, abs=0.12)
    assert [asked["relabel", epoch] for epoch in (2, 3, 7)] == [1, READ, READ]
    assert [asked["evaluate", epoch] for epoch in (0, 1, 7)] == [1, DECODED, DECODED]
    looked = {(p.name, p.epoch): given._seconds(p, [FIRST, record("first head", 100, 50.0)]) for p in given.plan()}
    assert looked["train", 0] == pytest.approx(50 * asked["train", 0])
    assert looked["evaluate", 0] == pytest.approx(25)
    records = [FIRST, record("train", 100, 100.0, 0), record("relabel", 100, 10.0, 2)]
    left = {(p.name, p.epoch): given._seconds(p, records) for p in given.plan()}
    assert left["train", 1] == pytest.approx(100 * asked["train", 1] / asked["train", 0])
    assert left["relabel", 3] == pytest.approx(10 * READ)


def test_an_epoch_that_is_no_longer_planned_is_taken_as_it_was():
    given = forecast("train.epochs=2", "relabel.epochs=0", least={}, test=0, keeps_features=True)
    (left,) = [
        given._seconds(p, [record("train", 100, 7.0, 9)]) for p in given.plan() if (p.name, p.epoch) == ("train", 1)
    ]
    assert left == pytest.approx(7.0)
