"""The benchmark of the relabel pass, its command, and the baseline that it is held against."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from ccd_fast.bench import maps
from ccd_fast.bench import relabel as bench
from ccd_fast.bench.measure import Timing
from ccd_fast.cli import main
from ccd_fast.errors import UserError
from ccd_fast.views import installed_backends

pytestmark = pytest.mark.usefixtures("cache")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "relabel_against_baseline.py"
NAMES = ("cat", "dog", "traffic light", "boat")


def opened(photo_folder, tiny_clip, views="pillow", images=12):
    return bench.open_load(photo_folder, images, NAMES, str(tiny_clip), 8, "test_resnet", "none", 64, views)


@pytest.fixture(autouse=True)
def a_device_of_known_speed(monkeypatch):
    """The speed of a matrix product takes seconds to measure, and has tests of its own."""
    monkeypatch.setattr(bench.measure, "matmul_rate", lambda *_: 1e12)


@pytest.fixture(scope="module")
def load(photo_folder, tiny_clip, cache):
    return opened(photo_folder, tiny_clip)


@pytest.mark.parametrize("views", installed_backends())
def test_everything_is_measured_and_the_ratios_are_of_the_same_rounds(photo_folder, tiny_clip, views):
    found = bench.measure_relabel(opened(photo_folder, tiny_clip, views), repeats=1)
    json.dumps(found)
    stages = {row["stage"]: row for row in found["stages"]}
    assert tuple(stages) == bench.STAGES
    for row in stages.values():
        assert row["over_bare"] == pytest.approx(row["median_s"] / row["bare"]["median_s"])
    assert sum(row["share_of_sum"] for row in stages.values()) == pytest.approx(1)
    assert found["sum_of_stages_s"] == pytest.approx(sum(row["median_s"] for row in stages.values()))
    assert found["pass_over_sum"] == pytest.approx(found["pass"]["median_s"] / found["sum_of_stages_s"])
    assert found["efficiency"] == pytest.approx(found["engine_alone"]["median_s"] / found["pass"]["median_s"])
    both = found["engine_and_student_alone"]["median_s"]
    assert found["efficiency_of_both"] == pytest.approx(both / found["pass"]["median_s"])
    assert found["boxes_unmoved"]["cache_hits"] == 1
    seen = found["maps"]
    for name in ("first", "later", "boxes_of_training"):
        assert seen[name]["times_as_fast"] == pytest.approx(found["pass"]["median_s"] / seen[name]["median_s"])
    eight = seen["first"]["median_s"] + 7 * seen["later"]["median_s"]
    expected = pytest.approx(8 * found["pass"]["median_s"] / eight)
    assert seen["times_as_fast_over_all_updates"]["later"] == expected
    assert seen["bytes"] >= 12 * 2 * seen["numbers"]
    assert (found["images"], found["views"]) == (12, views)
    assert 0 < found["distinct_crops"] <= found["crops"]
    assert str(tiny_clip) not in json.dumps(found)


def test_the_stages_alone_hand_on_what_the_pass_computes(load):
    alone = bench.Alone(load)
    alone.update()
    assert torch.equal(alone.labels.table, load.update()[0])


def test_a_pass_from_the_boxes_of_steps_gives_what_the_student_s_look_gives(load, tmp_path):
    passes = maps.open_passes(load, None, tmp_path)
    assert torch.equal(passes.unasked()[0], passes.later()[0])
    assert torch.equal(passes.first()[0], passes.later()[0])
    assert not torch.equal(passes.later()[0], load.labels().table)


def test_the_steady_rate_is_the_slope_between_two_passes():
    whole, part = Timing((5.0, 6.0, 5.0)), Timing((2.0, 2.0, 3.0))  # a second each is the pass's beginning and end
    assert bench.steady(whole, part, images=30, crops=90) == {"images_per_s": 10.0, "crops_per_s": 30.0}
    assert bench.steady(part, whole, images=30, crops=90) is None


def test_a_ratio_is_the_median_of_the_rounds():
    assert bench.ratio(Timing((2.0, 30.0, 8.0)), Timing((1.0, 10.0, 2.0))) == 3


def test_images_that_cannot_be_read_are_left_out(photo_folder, tiny_clip, tmp_path):
    good = sorted(photo_folder.rglob("*.jpg"))[0]
    (tmp_path / "b.jpg").write_bytes(good.read_bytes())
    (tmp_path / "a.jpg").write_bytes(b"rubbish")
    assert opened(tmp_path, tiny_clip).images.paths == ("b.jpg",)
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(UserError, match="no image in it that can be read"):
        opened(tmp_path, tiny_clip)


def test_the_command_prints_the_pass_and_writes_json(photo_folder, tiny_clip, tmp_path, monkeypatch, capsys):
    out, classes = tmp_path / "relabel.json", photo_folder / "classes.txt"
    command = ["bench", "relabel", "--data-root", photo_folder, "--classes", classes, "--teacher", tiny_clip]
    command += ["--student", "test_resnet", "--image-size", 64, "--images", 6, "--repeats", 1, "--views", "pillow"]
    monkeypatch.setattr(sys, "argv", ["ccd-fast", *map(str, command), "--out", str(out)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    printed = capsys.readouterr().out
    for words in (
        "engine alone (",
        "over the sum of its stages",
        "boxes unmoved",
        "decode",
        "maps of a view of 64 pixels",
    ):
        assert words in printed
    assert json.loads(out.read_text())["images"] == 6


@pytest.mark.parametrize(("option", "said"), [("--views", "--views gone: must be one of"), ("--data-root", "no such")])
def test_what_cannot_be_had_is_one_line(option, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ccd-fast", "bench", "relabel", option, "gone", "--teacher", "RN50/random"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("relabel_against_baseline", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_baseline_draws_the_labels_that_the_pass_draws(load, script):
    ours, (theirs, before) = load.update()[0], (script.plain_update(script.baseline(), load), load.labels().table)
    assert (ours - theirs).abs().max() < script.LARGEST_DIFFERENCE
    assert (ours - before).abs().max() > 0.1


def test_the_baseline_knows_nothing_of_the_package(script):
    assert "import ccd_fast" not in script.BASELINE.read_text()
    assert "from ccd_fast" not in script.BASELINE.read_text()


def test_both_are_timed_in_turn_and_compared(load, script):
    found = script.compare(load, rounds=1)
    json.dumps(found)
    assert found["times_as_fast"] == pytest.approx(found["baseline"]["median_s"] / found["ccd_fast"]["median_s"])
    assert found["tables_with_pillow"]["beyond"] == 0
