"""``ccd-fast predict``: one form of output, and options that do what their names say."""

import csv
import io
import json
import os
import re
import shutil

import numpy as np
import pyarrow.parquet
import pytest
import torch

import ccd_fast
from ccd_fast.datasets import load
from ccd_fast.evaluation import scores
from ccd_fast.outputs import decisions
from ccd_fast.outputs import trained as outputs
from ccd_fast.outputs.teacher_looks import debiased
from ccd_fast.recipes import config

NAMES = ("cat", "dog", "traffic light", "boat")


@pytest.fixture
def part(photo_folder):
    return photo_folder / "images" / "part1"


def read(file):
    return list(csv.DictReader(file.open(newline="", encoding="utf-8")))


def limits_of(run):
    return dict(zip(NAMES, outputs.load(run).thresholds().tolist(), strict=True))


def test_csv_and_json_lines_have_labels_and_paths_relative_to_the_folder(ccd, trained, part, tmp_path):
    code, out, err = ccd("predict", trained[0], part, "--out", tmp_path / "p.csv")
    assert (code, out) == (0, "")
    assert f"written to {tmp_path / 'p.csv'}; paths are relative to {part}\n" in err
    assert ccd("predict", trained[0], part, "--out", tmp_path / "p.jsonl")[0] == 0
    limits = limits_of(trained[0])
    rows, lines = read(tmp_path / "p.csv"), [json.loads(line) for line in (tmp_path / "p.jsonl").open()]
    assert [row["path"] for row in rows] == sorted(file.name for file in part.iterdir())
    for row, line in zip(rows, lines, strict=True):
        assert row["path"] == line["path"]
        assert {name: float(row[name]) for name in NAMES} == pytest.approx(line["probabilities"], abs=1e-6)
        likely = [name for name in NAMES if line["probabilities"][name] >= limits[name]]
        assert row["labels"] == "|".join(likely)
        assert line["labels"] == likely


def test_a_calibration_maps_probabilities_and_changes_no_label(ccd, trained, part, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    line = {"scale": 1.5, "shift": dict(zip(NAMES, (-2.0, -1.0, 0.0, 1.0), strict=True)), "known": 0}
    (run / "calibration.json").write_text(json.dumps({"best": line}))
    for name, of in (("raw", trained[0]), ("now", run)):
        for more in ([], ["--ensemble"]):
            assert ccd("predict", of, part, *more, "--out", tmp_path / f"{name}{len(more)}.csv")[0] == 0
    raw, now = (read(tmp_path / f"{name}0.csv") for name in ("raw", "now"))
    assert [row["labels"] for row in now] == [row["labels"] for row in raw]
    mapped = outputs.load(run).calibrated(torch.tensor([[float(row[name]) for name in NAMES] for row in raw]))
    written = np.array([[float(row[name]) for name in NAMES] for row in now])
    np.testing.assert_allclose(written, mapped.numpy(), atol=1e-5)
    assert np.abs(written - [[float(row[name]) for name in NAMES] for row in raw]).max() > 0.1
    assert read(tmp_path / "now1.csv") == read(tmp_path / "raw1.csv")  # the ensemble is of what the student says itself
    photographs = ccd_fast.load(run).predict(part)
    assert [list(of_one.values()) for of_one in photographs.values()] == [pytest.approx(r, abs=1e-5) for r in written]
    found = [json.loads(ccd("evaluate", each, "--alone", "--json")[1]) for each in (trained[0], run)]
    for key in ("mean_average_precision", "class_f1", "overall_f1"):
        before, after = (each["metrics"]["student"][key] for each in found)
        assert after == pytest.approx(before, abs=1e-6)
    assert any("expected calibration error" in note and "by the sigmoid alone" in note for note in found[1]["notes"])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_written_reads_back_as_truth(ccd, trained, photo_folder, tmp_path, ending):
    out = tmp_path / f"p.{ending}"
    assert ccd("predict", trained[0], photo_folder / "images", "--out", out, "--threshold", 0.4)[0] == 0
    images = load("folder", photo_folder / "images", "test", photo_folder / "classes.txt", out)
    written = pyarrow.parquet.read_table(out).to_pydict() if ending == "parquet" else None
    columns = written or {name: [row[name] for row in read(out)] for name in ("path", *NAMES)}
    assert list(images.paths) == columns["path"]
    limits = np.array([[float(columns[name][row]) for name in NAMES] for row in range(len(images))]) >= 0.4
    np.testing.assert_array_equal(images.truth, limits)


def test_label_studio_s_tasks_and_their_interface_are_written_too(ccd, trained, part, tmp_path):
    code, _, err = ccd("predict", trained[0], part, "--out", tmp_path / "t.json", "--format", "label-studio")
    assert code == 0, err
    assert len(json.loads((tmp_path / "t.json").read_text())) == 12
    assert (tmp_path / "t.xml").is_file()


def labels_of(ccd, run, part, file, *options):
    code, _, err = ccd("predict", run, part, "--out", file, "--overwrite", *options)
    assert code == 0, err
    return [[label for label in row["labels"].split("|") if label] for row in read(file)], read(file)


def test_top_k_and_threshold_do_what_their_names_say(ccd, trained, part, tmp_path):
    file = tmp_path / "p.csv"
    two, rows = labels_of(ccd, trained[0], part, file, "--top-k", 2)
    for labels, row in zip(two, rows, strict=True):
        assert set(labels) == set(sorted(NAMES, key=lambda name: -float(row[name]))[:2])
    values = sorted(float(row[name]) for row in rows for name in NAMES)
    limit = (values[23] + values[24]) / 2
    from_there, rows = labels_of(ccd, trained[0], part, file, "--threshold", limit)
    assert [set(labels) for labels in from_there] == [{n for n in NAMES if float(row[n]) >= limit} for row in rows]
    assert max(map(len, from_there)) > 1
    both, _ = labels_of(ccd, trained[0], part, file, "--threshold", limit, "--top-k", 1)
    assert [len(labels) for labels in both] == [min(len(labels), 1) for labels in from_there]


def test_the_table_shows_what_the_options_say_and_no_more(ccd, trained, part):
    out = ccd("predict", trained[0], part, "--top-k", 1)[1]
    assert all(len(re.findall(r" [01]\.\d\d", line)) == 1 for line in out.splitlines() if ".jpg" in line)
    out = ccd("predict", trained[0], part, "--threshold", 1)[1]
    assert all(line.rstrip().endswith("–") for line in out.splitlines() if ".jpg" in line)
    out = ccd("predict", trained[0], part)[1]
    assert all(len(re.findall(r" [01]\.\d\d", line)) >= 3 for line in out.splitlines() if ".jpg" in line)


def test_a_threshold_that_misses_a_class_is_told_of(ccd, trained, photo_folder, monkeypatch):
    monkeypatch.setattr(decisions, "TOLD_FROM", 10)
    own = ccd("predict", trained[0], photo_folder / "images")[2]
    given = ccd("predict", trained[0], photo_folder / "images", "--threshold", 1)[2]
    assert "probably missed" not in own
    assert "probably missed, and found with the class's own threshold: " in given


def test_paths_of_several_things_are_relative_to_the_folder_that_holds_them_all(ccd, trained, photo_folder, tmp_path):
    images = photo_folder / "images"
    one = images / "part1" / "001.jpg"
    code, _, err = ccd("predict", trained[0], images / "part2", one, one, "--out", tmp_path / "p.csv")
    assert code == 0, err
    paths = [row["path"] for row in read(tmp_path / "p.csv")]
    assert paths[-1] == "part1/001.jpg"
    assert len(paths) == 13  # named twice, told of once
    assert all((images / path).is_file() for path in paths)


def test_json_on_the_screen_has_labels_and_the_paths_that_were_named(ccd, trained, part):
    rows = [json.loads(line) for line in ccd("predict", trained[0], part / "001.jpg", "--json")[1].splitlines()]
    assert [row["path"] for row in rows] == [str(part / "001.jpg")]
    limits = limits_of(trained[0])
    assert rows[0]["labels"] == [name for name in NAMES if rows[0]["probabilities"][name] >= limits[name]]


def test_student_and_teacher_together_are_the_mean_of_what_each_says(ccd, trained, photo_folder, tmp_path):
    def table(*arguments):
        assert ccd(*arguments, "--out", tmp_path / "x.parquet", "--overwrite")[0] == 0
        columns = pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pydict()
        return np.array([columns[name] for name in NAMES]), columns["path"]

    both, paths = table("predict", trained[0], photo_folder / "images", "--ensemble")
    student, of_student = table("predict", trained[0], photo_folder / "images")
    assert paths == of_student
    kept = scores.read(trained[0], "zero-shot teacher, train", NAMES)
    labels = debiased(trained[0], config.of_run(trained[0]), kept.table)
    seen = [(paths.index(path.removeprefix("images/")), row) for row, path in enumerate(kept.paths)]
    assert len(seen) == 24  # those that the teacher has seen in the training
    for place, row in seen:
        np.testing.assert_allclose(both[:, place], (student[:, place] + labels[row].numpy()) / 2, atol=1e-5)


def test_names_with_ends_of_lines_in_them_are_listed_and_told_whole(ccd, trained, part, tmp_path, monkeypatch):
    odd = [tmp_path / f"{name}.jpg" for name in ("a\nb", "a\x85b", "a\u2028b", "a\x0cb", "\r")]
    for file in odd:
        shutil.copy(part / "001.jpg", file)
    stdin = io.TextIOWrapper(io.BytesIO(b"\0".join(os.fsencode(file) for file in odd)))
    monkeypatch.setattr("sys.stdin", stdin)
    code, out, err = ccd("predict", trained[0], "-", "--json")
    assert code == 0, err
    assert [json.loads(line)["path"] for line in out.splitlines()] == [str(file) for file in odd]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(odd[2]) + b"\r\n/caf\xe9.jpg\n")))
    code, out, err = ccd("predict", trained[0], "-", "--json")
    assert [json.loads(line)["path"] for line in out.splitlines()] == [str(odd[2])]
    assert code == 2
    assert "its name is not UTF-8: rename it" in err
