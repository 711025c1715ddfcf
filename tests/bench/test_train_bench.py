"""The benchmark of training: epochs, their operations, and the relabel pass beside them."""

import json
import sys

import pytest
import torch
from torch import nn

from ccd_fast.bench import maps, measure
from ccd_fast.bench import relabel as relabelling
from ccd_fast.bench import train as bench
from ccd_fast.cli import main
from ccd_fast.errors import UserError
from ccd_fast.student.network import Student

pytestmark = pytest.mark.usefixtures("cache")

NAMES = ("cat", "dog", "traffic light", "boat")


class OneConvolution(nn.Module):
    """A backbone whose operations can be counted by hand."""

    def __init__(self, features, groups):
        super().__init__()
        self.num_features = features
        self.convolution = nn.Conv2d(3, features, 4, stride=4, bias=False, groups=groups)

    def forward_features(self, pixels):
        return self.convolution(pixels)


@pytest.mark.parametrize(("features", "groups"), [(5, 1), (6, 3)])
def test_operations_are_those_of_the_forward_and_the_backward_pass(features, groups):
    net = Student(OneConvolution(features, groups), 7, 3.0, (0.5,) * 3, (0.5,) * 3)
    first, head = 2 * 8 * 8 * features * (3 // groups * 4 * 4), 2 * 8 * 8 * 7 * features
    # backward: the gradients of both weights and of the head's input; nobody asks for that of the pixels
    assert bench.operations(net, 32) == (first + head) + (first + 2 * head)


def test_epochs_and_pass_are_measured_on_the_same_images(photo_folder, tiny_clip, monkeypatch):
    monkeypatch.setitem(measure.MATMUL_SIDE, "cpu", 64)
    load = relabelling.open_load(photo_folder, 12, NAMES, str(tiny_clip), 8, "test_resnet", "none", 64, "pillow")
    with pytest.raises(UserError, match="12 images are fewer than a batch of 16"):
        bench.measure_training(load, load.recipe, repeats=1)
    before = {key: value.clone() for key, value in load.student.state_dict().items()}
    recipe = load.recipe.model_copy(update={"train": load.recipe.train.model_copy(update={"batch_size": 5})})
    found = bench.measure_training(load, recipe, repeats=2)
    json.dumps(found)
    assert all(torch.equal(before[key], value) for key, value in load.student.state_dict().items())
    assert (found["images"], found["batch_size"], found["precision"], found["compiled"]) == (12, 5, "fp32", False)
    assert set(found["maps_over_epoch"]) == {"later", "boxes_of_training"}
    plain, consistent = found["epochs"]
    assert consistent["flop_per_image"] == 2 * plain["flop_per_image"]
    for row in (plain, consistent):
        assert row["n"] == 2
        assert row["images_per_s"] == pytest.approx(12 / row["median_s"])
        assert row["flops"]["epoch"] == pytest.approx(row["images_per_s"] * row["flop_per_image"])
        assert row["of_matmul"]["epoch"] == pytest.approx(row["flops"]["epoch"] / found["matmul_flops"])
        assert row["flops"]["steps"] > row["flops"]["epoch"]  # without decoding
        assert all(share > 0 for share in row["share"].values())
    assert found["relabel"]["crops"] > 0
    assert found["relabel"]["images_per_s"] == pytest.approx(12 / found["relabel"]["median_s"])
    assert str(tiny_clip) not in json.dumps(found)


def test_the_relabel_pass_is_held_against_the_epoch_with_consistency(monkeypatch, photo_folder, tiny_clip):
    monkeypatch.setattr(measure, "matmul_rate", lambda *_: 1.0)
    load = relabelling.open_load(photo_folder, 4, NAMES, str(tiny_clip), 8, "test_resnet", "none", 32, "pillow")
    seconds = {
        bench.PLAIN: 2.0,
        bench.CONSISTENT: 4.0,
        relabelling.RELABEL_PASS: 12.0,
        maps.LATER: 1.0,
        maps.UNASKED: 0.5,
    }

    def pretend(calls, repeats, device):
        assert device == "cpu"
        for call in calls.values():
            call()
        return {name: measure.Timing((seconds[name],)) for name in calls}

    monkeypatch.setattr(measure, "in_turn", pretend)
    recipe = load.recipe.model_copy(update={"train": load.recipe.train.model_copy(update={"batch_size": 2})})
    found = bench.measure_training(load, recipe, repeats=1)
    assert found["relabel_over_epoch"] == 3
    assert found["maps_over_epoch"] == {"later": 0.25, "boxes_of_training": 0.125}
    assert found["consistency_costs"] == 2
    assert [row["images_per_s"] for row in found["epochs"]] == [2, 1]


def test_the_command_prints_the_epochs_and_writes_json(photo_folder, tiny_clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(measure.MATMUL_SIDE, "cpu", 64)
    out, classes = tmp_path / "train.json", photo_folder / "classes.txt"
    command = ["bench", "train", "--data-root", photo_folder, "--classes", classes, "--teacher", tiny_clip]
    command += ["--student", "test_resnet", "--image-size", 32, "--images", 6, "--repeats", 1, "--views", "pillow"]
    monkeypatch.setattr(sys, "argv", ["ccd-fast", *map(str, command), "--batch-size", "3", "--out", str(out)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    printed = capsys.readouterr().out
    for words in ("epoch with consistency", "matrix product, fp32", "relabel pass (", "times as long as an epoch with"):
        assert words in printed
    content = json.loads(out.read_text())
    assert (content["images"], content["batch_size"]) == (6, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--precision", "int8"), "--precision int8: must be one of"), (("--views", "gone"), "--views gone: must be")],
)
def test_what_cannot_be_had_is_one_line(options, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ccd-fast", "bench", "train", *options])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
