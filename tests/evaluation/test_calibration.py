"""What probabilities mean: measured, mended without labels, and by what a person has told of the label table."""

import pytest
import torch

from ccd_fast.errors import UserError
from ccd_fast.evaluation import calibration
from ccd_fast.evaluation.calibration import Calibration, reliability


def world(count=3000, classes=4, seed=0):
    """Chances and a truth drawn from them, (N, C)."""
    generator = torch.Generator().manual_seed(seed)
    chance = torch.sigmoid(2 * torch.randn((count, classes), generator=generator) - 1.5)
    return chance, torch.rand(chance.shape, generator=generator) < chance


def test_the_error_is_the_distance_of_what_is_said_from_what_is_found():
    said = torch.tensor([[0.9] * 10, [0.1] * 10]).T
    truth = torch.tensor([[True] * 5 + [False] * 5, [True] + [False] * 9]).T
    found = reliability(said, truth)
    assert found.error == pytest.approx((0.4 + 0.0) / 2)
    assert found.entries == [10, 10]
    assert found.found == pytest.approx([0.1, 0.5])
    chance, truth = world()
    assert reliability(chance, truth).error < 0.02 < reliability(chance**0.5, truth).error


def test_a_student_that_says_too_much_is_mended_by_labels_that_do_not():
    chance, truth = world()
    loud = torch.sigmoid(0.5 * torch.logit(chance) + 1)
    line = calibration.fit(loud, chance)
    assert line.scale == pytest.approx(2, rel=0.1)
    assert reliability(line(loud), truth).error < 0.02 < reliability(loud, truth).error


def test_labels_that_the_teacher_s_temperature_has_softened_are_sharpened():
    chance, truth = world()
    softened = chance ** (1 / 1.75)
    line = calibration.fit(softened, softened, temperature=2.5)
    assert reliability(line(softened), truth).error < 0.03 < 0.1 < reliability(softened, truth).error


def test_labels_that_say_too_much_are_mended_by_what_a_person_has_told_of_them():
    chance, truth = world()
    labels = torch.sigmoid(torch.logit(chance) + torch.tensor([2.0, 2.0, 1.0, 0.0]))
    told = torch.zeros(chance.shape, dtype=torch.int8)
    told[:200] = torch.where(truth[:200], 1, -1).to(torch.int8)
    learned = torch.where(told == 0, labels, (told == 1).float().clamp(0.02, 0.98))  # the student knows these by heart
    alone, mended = calibration.fit(labels, labels), calibration.fit(learned, labels, told)
    error = [reliability(line(labels[200:]), truth[200:]).error for line in (alone, mended)]
    assert error[1] < 0.03 < 0.1 < error[0]
    assert (alone.known, mended.known) == (0, 200)


def test_what_is_known_in_part_says_nothing_as_which_part_it_is_would_decide():
    chance, truth = world()
    told = torch.zeros(chance.shape, dtype=torch.int8)
    told[:200] = truth[:200].to(torch.int8)  # what is there, as a list of labels tells
    for few in (told, torch.where(torch.arange(3000)[:, None] < 19, torch.where(truth, 1, -1), 0)):
        line = calibration.fit(chance, chance, few)
        assert line.known == 0
        assert line.scale == pytest.approx(1, rel=0.05)
        assert line.shift.abs().max() < 0.1


def test_each_class_keeps_its_order_and_what_its_mapped_threshold_gives():
    generator = torch.Generator().manual_seed(1)
    raw = torch.rand((500, 3), generator=generator)
    limits = raw[[3, 50, 499], [0, 1, 2]]  # thresholds are scores of photographs
    for scale, shift in ((0.3, -3.0), (1.0, 0.0), (2.0, 1.0)):
        line = Calibration(scale, torch.tensor([shift, 0.0, -shift], dtype=torch.float64))
        assert torch.equal(line(raw) >= line(limits), raw >= limits)
    assert line(torch.tensor([[0.0, 1.0, 0.0]])).tolist() == [[0.0, 1.0, 0.0]]


def test_of_a_few_photographs_nothing_is_said():
    raw = torch.rand((49, 3), generator=torch.Generator().manual_seed(0))
    assert calibration.fit(raw, raw) is calibration.fit(raw[:0], raw[:0]) is None


def test_it_is_read_back_and_what_no_run_wrote_is_refused():
    line = Calibration(1.5, torch.tensor([-1.0, 0.25], dtype=torch.float64), 7)
    record = line.record(["cat", "dog"])
    again = Calibration.of_record(record, ["cat", "dog"], "here")
    assert (again.scale, again.shift.tolist(), again.known) == (1.5, [-1.0, 0.25], 7)
    for wrong in ({"scale": 1}, {**record, "scale": -1}, {**record, "shift": {"cat": 0}}):
        with pytest.raises(UserError, match="here: not what a run of ccd-fast wrote"):
            Calibration.of_record(wrong, ["cat", "dog"], "here")
