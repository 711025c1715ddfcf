"""``ccd-fast ablate`` and ``ccd-fast reproduce`` on small trees of the benchmarks, by the commands themselves."""

import csv
import json
import shutil

import pytest
from benchmark_trees import TEST, TRAIN

TINY = ("student.image_size=64", "student.relabel_image_size=same", "train.batch_size=8", "teacher.batch_size=8",
        "labels.max_entropy=5", "train.epochs=2", "train.warmup_epochs=1")  # fmt: skip


@pytest.fixture
def tiny(tiny_clip):
    knobs = [part for knob in TINY for part in ("--set", knob)]
    return ["--teacher", tiny_clip, "--student", "test_resnet", "--student-weights", "none", *knobs]


def table(file):
    return {row["row"]: row for row in csv.DictReader(file.open())}


def test_the_tables_of_voc12_stand_beside_the_paper_s_and_are_kept(benchmark_root, ccd, tiny, tmp_path):
    command = ["ablate", "--dataset", "voc12", "--data-root", benchmark_root("voc12"), *tiny, "--seeds", "0,1"]
    command += ["--out", tmp_path / "t", "--frozen", "--in-full", "2"]
    code, printed, said = ccd(*command, "--tables", "components,classes")
    assert code == 0, said
    assert "fully labelled" not in printed
    components = table(tmp_path / "t" / "components.csv")
    assert list(components) == [
        "zero-shot teacher",
        "no update",
        "update",
        "update and debias",
        "update and consistency",
        "update, debias and consistency",
        "update, debias and consistency, trained in full",
    ]
    assert all(row["n"] == "2" and row["test mAP, % deviation"] for row in components.values())
    assert components["update"]["paper, test mAP, %"] == "88.7000"
    classes = table(tmp_path / "t" / "classes.csv")
    assert classes["sofa"]["paper, with, %"] == "76.6000"
    assert "The student's backbone is frozen" in (tmp_path / "t" / "classes.md").read_text()
    cells = list(csv.DictReader((tmp_path / "t" / "cells.csv").open()))
    assert len(cells) == 12
    summary = json.loads((tmp_path / "t" / "runs" / "seed-1" / "update" / "summary.json").read_text())
    [own] = [cell for cell in cells if (cell["row"], cell["seed"]) == ("update", "1")]
    assert float(own["test_map"]) == summary["results"]["student, chosen epoch, test"]

    code, printed, said = ccd(*command, "--tables", "views")
    assert code == 0, said
    assert "2 of 12 trainings are finished already" in said  # the frozen ones
    assert "2 of 2 trainings are finished already" in said
    views = table(tmp_path / "t" / "views.csv")
    assert len(views) == 7
    assert float(views["the objects' own boxes"]["crops an image mean"]) > 0
    assert float(views["the cells of a grid"]["crops an image mean"]) == 9
    assert "paper" not in (tmp_path / "t" / "views.csv").read_text()


def test_nus_has_no_boxes_and_the_table_of_views_says_what_it_lacks(benchmark_root, ccd, tiny, tmp_path):
    command = ["ablate", "--dataset", "nus", "--data-root", benchmark_root("nus"), *tiny, "--seeds", "0"]
    code, printed, said = ccd(*command, "--out", tmp_path / "t", "--tables", "views")
    assert code == 0, said
    assert "Left out, as no boxes of the objects are known" in printed
    assert "one seed, so no deviation" in printed
    assert len(table(tmp_path / "t" / "views.csv")) == 4


@pytest.mark.parametrize(("name", "figure"), [("voc07", "91.0"), ("coco", "70.3"), ("nus", "44.5")])
def test_the_paper_s_line_is_run_in_one_command(benchmark_root, ccd, tiny, tmp_path, name, figure):
    command = ["reproduce", name, "--data-root", benchmark_root(name), *tiny, "--out", tmp_path / "r"]
    code, printed, said = ccd(*command)
    assert code == 0, said
    own = table(tmp_path / "r" / "reproduce.csv")["CCD (unsupervised)"]
    assert own["paper, test mAP, %"] == f"{figure}000"
    assert own["n"] == "1"
    assert float(own["test mAP, % mean"]) > 0
    assert "but for student.backbone" not in printed  # told in the sentence of its own
    assert f"recipe paper-{name}, but for teacher.batch_size=8" in printed
    assert f"{TRAIN} images" in printed
    assert "of officially" in printed
    code, _, said = ccd(*command)
    assert code == 0
    assert "1 of 1 trainings are finished already" in said


def test_a_dry_run_says_what_would_run_and_writes_nothing(benchmark_root, ccd, tiny, tmp_path):
    command = ["reproduce", "voc12", "--data-root", benchmark_root("voc12"), "--out", tmp_path / "r", "--dry-run"]
    code, printed, said = ccd(*command, "--seeds", "0,1")
    assert code == 0, said
    for words in ("RN50x64-quickgelu/openai: ", "resnet101, timm's ImageNet weights: ", f"{TRAIN} (officially 5,717)"):
        assert words in printed
    assert printed.count(f"10 epochs over {TRAIN} images; label updates: 1") == 2
    assert f"{TRAIN + TEST} whole images" in printed
    differs = next(line for line in printed.splitlines() if "unlike the paper" in line)
    assert f"{TRAIN} of 5,717 training images, {TEST} of 5,823 test images" in differs
    assert "train." not in differs
    assert not (tmp_path / "r").exists()
    assert "train.epochs=2" in ccd(*command, *tiny)[1]


def test_a_half_extracted_archive_is_refused_by_the_dry_run(benchmark_root, ccd, tmp_path):
    shutil.copytree(benchmark_root("voc12"), tmp_path / "tree")
    for file in sorted((tmp_path / "tree").rglob("*.jpg"))[:3]:
        file.unlink()
    code, _, err = ccd("reproduce", "voc12", "--data-root", tmp_path / "tree", "--dry-run")
    assert (code, err.count("\n")) == (2, 1)
    assert "images are not there, more than views.max_bad_frac = 0.01 allows" in err


MISTAKES = {
    "in full without frozen": (
        ["ablate", "--data-root", ".", "--out", "{tmp}/o", "--in-full", "2"],
        "--in-full: without --frozen every row is trained in full",
    ),
    "another data set": (["reproduce", "voc13", "--data-root", "."], "DATASET voc13: must be one of voc12, voc07"),
    "a wrong root": (["reproduce", "voc12", "--data-root", "{tmp}"], "{tmp}"),
    "no such root": (["reproduce", "nus", "--data-root", "{tmp}/gone", "--dry-run"], "{tmp}/gone: no such folder"),
    "a seed that is none": (["reproduce", "nus", "--data-root", ".", "--seeds", "1,a"], "must be whole numbers >= 0"),
    "a seed twice": (["reproduce", "nus", "--data-root", ".", "--seeds", "1,1"], "give each once"),
    "a seed in --set": (["reproduce", "nus", "--data-root", ".", "--set", "seed=4"], "give it as --seeds"),
    "a table that is none": (
        ["ablate", "--data-root", ".", "--out", "{tmp}/o", "--tables", "view"],
        "did you mean 'views'",
    ),
    "no root to ablate": (["ablate", "--data-root", "{tmp}/gone", "--out", "{tmp}/o"], "{tmp}/gone: no such folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_nothing_is_written(ccd, tmp_path, mistake):
    arguments, said = MISTAKES[mistake]
    code, out, err = ccd(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert (code, err.count("\n"), out) == (2, 1, "")
    assert said.format(tmp=tmp_path) in err
    assert list(tmp_path.iterdir()) == []


def test_another_teacher_than_open_clip_knows_is_named_by_the_dry_run(benchmark_root, ccd):
    command = ["reproduce", "voc12", "--data-root", benchmark_root("voc12"), "--dry-run", "--teacher", "RN50x65/openai"]
    code, _, err = ccd(*command)
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean 'RN50x64'" in err
