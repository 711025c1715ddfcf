"""The whole method on small trees of the benchmarks, by the command itself, and what a trained run can do then."""

import json
from pathlib import Path

import pytest
from benchmark_trees import BENCHMARKS, TEST, TRAIN

from ccd_fast.outputs import trained

SMALL = (
    "student.image_size=64",
    "student.relabel_image_size=same",
    "train.batch_size=8",
    "teacher.batch_size=8",
    "train.epochs=2",
    "labels.max_entropy=5",
)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_trained_on_and_evaluated(name, benchmark_root, tiny_clip, ccd, tmp_path, monkeypatch):
    dataset = name.split()[0]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / dataset).symlink_to(benchmark_root(name))
    monkeypatch.delenv("CCD_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    out = Path("runs", dataset)
    knobs = [part for knob in (*SMALL, "train.warmup_epochs=1") for part in ("--set", knob)]
    model = ["--teacher", tiny_clip, "--student", "test_efficientnet", "--student-weights", "none"]
    code, printed, said = ccd("train", "--dataset", dataset, *model, *knobs)
    assert code == 0, said
    recipe = {"coco2017": "coco"}.get(dataset, dataset)
    assert f"{dataset} in data/{dataset}, recipe {recipe}; the run goes to {out}\n" in said
    assert "student, chosen epoch, test" in printed
    description = json.loads((out / "run.json").read_text())
    assert description["dataset"] == dataset
    assert description["images"] == {"train": TRAIN, "test": TEST}
    assert (out / "quarantine.csv").read_text() == "path,reason\n"

    assert [len(trained.load(out).source.load(split)) for split in ("train", "test")] == [TRAIN, TEST]
    for split, images in (("test", TEST), ("train", TRAIN)):
        code, printed, said = ccd("evaluate", out, "--split", split)
        assert code == 0, said
        assert f"{images} images" in printed
    code, _, said = ccd("evaluate", out, "--truth", tmp_path / "labels.csv")
    assert code == 2
    assert "has its own" in said
    assert ccd("train", "--resume", "--out", out)[0] == 0
