import json

import pytest
import torch

from ccd_fast.errors import UserError
from ccd_fast.evaluation import Interval, compare
from ccd_fast.evaluation.comparison import told, verdict

NAMES = ("cat", "dog", "axolotl")


@pytest.fixture
def truth():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(80, 3, generator=generator) < 0.4
    truth[:, 2] = torch.arange(80) < 3
    return truth


def test_the_first_is_compared_with_the_others_on_the_same_draws(truth):
    noise = torch.rand(80, 3, generator=torch.Generator().manual_seed(1))
    good, bad = (0.6 * truth + 0.4 * noise), noise
    found = compare({"student": good, "teacher": bad}, truth, NAMES, 0.5)
    assert found.maps["student"].value == pytest.approx(found.metrics["student"].mean_average_precision)
    assert found.found["student"].value == pytest.approx(found.metrics["student"].overall_recall)
    assert found.right["student"].value == pytest.approx(found.metrics["student"].overall_precision)
    assert set(found.gains) == {"teacher"}
    assert found.gains["teacher"].low > 0
    said = "\n".join(found.sentences())
    assert "so many are found: student 100.0 (100.0 … 100.0); teacher " in said
    assert said.endswith("better")
    record = json.loads(json.dumps(found.record()))
    assert record["intervals"]["student"]["mean_average_precision"] == [found.maps["student"].low, 1.0]
    assert record["above"]["teacher"]["value"] == found.gains["teacher"].value


def test_classes_with_few_positives_are_named_and_may_be_left_out(truth):
    scores = truth.float()
    scores[:3, 2] = 0
    found = compare({"student": scores}, truth, NAMES, 0.5)
    assert found.few == {"axolotl": 3}
    assert "says little (--min-positives 10 leaves them out): axolotl (3)" in found.notes()[-1]
    less = compare({"student": scores}, truth, NAMES, 0.5, min_positives=10)
    assert less.metrics["student"].mean_average_precision == less.metrics["student"].overall_recall == 1
    assert list(less.metrics["student"].average_precision) == ["cat", "dog"]
    assert less.notes()[-1] == "left out, with fewer than 10 positives (--min-positives): axolotl (3)"


def test_that_too_few_classes_are_left_is_said_with_the_most_that_there_is(truth):
    truth[:, 0] = True
    with pytest.raises(UserError, match=r"--min-positives 60: fewer than two classes .* most has cat, 80"):
        compare({"student": truth.float()}, truth, NAMES, 0.5, min_positives=60)


def test_a_system_that_gives_nothing_has_no_share_that_is_right(truth):
    found = compare({"student": torch.zeros(80, 3)}, truth, NAMES, 0.5)
    assert "so many are right: student –" in "\n".join(found.sentences())
    assert found.record()["intervals"]["student"]["overall_precision"] == [None, None]


def test_a_difference_that_could_be_none_is_no_verdict():
    assert verdict(Interval(0.01, -0.01, 0.03)) == "these photographs cannot tell which is better"
    assert (verdict(Interval(0.02, 0.01, 0.03)), verdict(Interval(-0.02, -0.03, -0.01))) == ("better", "worse")
    assert told(Interval(0.021, 0.004, 0.038), sign=True) == "+2.1 (0.4 … 3.8)"
