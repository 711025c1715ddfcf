"""How near a stage is to what the device's arithmetic can do."""

import pytest
import torch
from torch import nn

from ccd_fast.engines import EmbedPixels, ImageTower, ceilings
from ccd_fast.runs.progress import Stage, Stages
from ccd_fast.student.network import Student


class Backbone(nn.Module):
    """A backbone whose operations can be counted by hand: 4 x 4 patches to 5 features."""

    num_features = 5

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 5, 4, stride=4, bias=False)

    def forward_features(self, pixels):
        return self.convolution(pixels)


@pytest.fixture
def student():
    return Student(Backbone(), 7, 3.0, (0.5,) * 3, (0.5,) * 3)


FIRST, HEAD = 2 * 8 * 8 * 5 * 48, 2 * 8 * 8 * 7 * 5


def test_a_look_and_a_training_step_are_counted_apart(student):
    assert ceilings.operations(student, 32) == FIRST + HEAD
    assert ceilings.operations(student, 32, training=True) == (FIRST + HEAD) + (FIRST + 2 * HEAD)


def test_a_frozen_backbone_has_no_gradients_to_count(student):
    student.backbone.requires_grad_(False)
    assert ceilings.operations(student, 32, training=True) == FIRST + 2 * HEAD


def test_counting_leaves_the_network_as_it_was(student):
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    student.eval()
    ceilings.operations(student, 32, training=True)
    assert not student.training
    assert all(torch.equal(before[name], tensor) for name, tensor in student.state_dict().items())
    assert all(p.grad is None and p.device.type == "cpu" for p in student.parameters())


def test_a_view_takes_at_least_its_operations_over_the_rate_of_a_product(student, monkeypatch):
    monkeypatch.setattr(ceilings, "ceiling", lambda device, precision: {("cpu", "fp32"): 1e6}[device, precision])
    assert ceilings.least_seconds(student, 32, "fp32", "cpu") == pytest.approx((FIRST + HEAD) / 1e6)


def test_convolutions_of_float32_are_measured_by_what_a_card_does_them_in(student, monkeypatch):
    rates = {("cuda", "tf32"): 4e6, ("cuda", "fp32"): 1e6, ("cuda", "bf16"): 8e6, ("cpu", "fp32"): 2e6}
    monkeypatch.setattr(ceilings, "ceiling", lambda device, arithmetic: rates[device, arithmetic])
    convolutions, products = ceilings._counted(student, 32, training=False)
    assert convolutions >= FIRST
    assert convolutions + products == FIRST + HEAD
    least = lambda *how: ceilings.least_seconds(student, 32, *how)  # noqa: E731
    assert least("fp32", "cuda") == pytest.approx(convolutions / 4e6 + products / 1e6)
    assert least("bf16", "cuda:1") == pytest.approx((FIRST + HEAD) / 8e6)
    assert least("fp32", "cpu") == pytest.approx((FIRST + HEAD) / 2e6)
    teacher = EmbedPixels(ImageTower("small", nn.Conv2d(3, 2, 32), 32, (0.5,) * 3, (0.5,) * 3, "bicubic"))
    assert ceilings.least_seconds(teacher, 32, "fp32", "cuda") == pytest.approx(2 * 2 * 3 * 32 * 32 / 1e6)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert least("fp32", "cuda") == pytest.approx((FIRST + HEAD) / 1e6)


def test_the_rate_of_tf32_is_that_of_products_in_it_and_the_setting_comes_back(monkeypatch):
    flags = torch.backends.cuda.matmul
    monkeypatch.setattr(ceilings, "matmul_rate", lambda *_, **__: 2.0 if flags.allow_tf32 else 1.0)
    assert ceilings.ceiling.__wrapped__("cuda", "tf32") == 2
    assert ceilings.ceiling.__wrapped__("cuda", "fp32") == 1
    assert not flags.allow_tf32


def stage_of(least, clock, monkeypatch):
    monkeypatch.setattr("ccd_fast.runs.progress.time.perf_counter", lambda: clock[0])
    return Stage("relabel", 10, lambda _: None, least=least)


def test_a_stage_says_how_near_it_is(monkeypatch):
    clock = [100.0]
    stage = stage_of({"teacher": 0.01, "student": 0.02}, clock, monkeypatch)
    assert stage.nearness() is None  # no network has seen anything
    stage.saw("teacher", 30)
    stage.saw("student", 5)
    stage.saw("student", 5)
    stage.advance(10)
    clock[0] += 2.0
    assert stage.nearness() == pytest.approx((30 * 0.01 + 10 * 0.02) / 2.0)
    assert stage.rates() == "5.0 images/s, 25% of a matrix product's speed"
    assert stage.record()["of_matmul"] == 0.25


def test_nothing_is_said_where_a_network_is_unknown(monkeypatch):
    clock = [100.0]
    stage = stage_of({"teacher": 0.01}, clock, monkeypatch)
    stage.saw("teacher", 30)
    stage.saw("student", 5)
    clock[0] += 2.0
    assert stage.nearness() is None
    assert "matrix" not in stage.rates()
    assert "of_matmul" not in stage.record()


def test_stages_hand_on_what_is_known_of_each(capsys):
    from rich.console import Console

    kept = []
    stages = Stages(Console(), kept.append, verbose=True)
    stages.least = {"train": {"training": 1.0}}
    for name in ("train", "draw"):
        with stages.stage(name, 1) as stage:
            stage.saw("training", 1)
            stage.advance(1)
    assert "of_matmul" in kept[0]
    assert "of_matmul" not in kept[1]
    assert "of a matrix product's speed" in capsys.readouterr().out
