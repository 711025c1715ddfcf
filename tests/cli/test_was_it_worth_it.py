"""``ccd-fast evaluate``: was it worth it?"""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ccd_fast.recipes import config

COLUMNS = ["student", "zero-shot teacher", "teacher, debiased"]


def rows_of(out):
    """The rows of the table by their first cell."""
    return {line[0]: line[1:] for line in (re.split(" {2,}", line) for line in out.splitlines())}


def test_what_cannot_be_measured_is_refused_before_torch_is_loaded(trained, photo_folder, tmp_path):
    rows = (photo_folder / "labels.csv").read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join([rows[0], *(row for row in rows if ",train," in f"{row},")]) + "\n")
    refused = {
        ("evaluate", trained[0], "--truth", tmp_path / "train.csv"): "--split train",
        ("predict", trained[0], tmp_path / "nothing"): "no such file",
    }
    for words, said in refused.items():
        code = f"import sys\nfrom ccd_fast.cli import main\nsys.argv = {['ccd-fast', *map(str, words)]!r}\n"
        code += "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
        seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (seen.returncode, seen.stdout) == (2, "False\n"), seen.stderr
        assert said in seen.stderr


def test_every_class_and_the_mean_are_printed(ccd, trained):
    code, out, _ = ccd("evaluate", trained[0])
    assert code == 0
    for word in ("cat", "traffic light", "mAP", "CF1", "OF1", "CP (each class's own threshold)", "OR", "12 images"):
        assert word in out


def test_teacher_and_pseudo_labels_stand_beside_the_student_as_the_run_measured_them(ccd, trained):
    summary = json.loads((trained[0] / "summary.json").read_text())
    labels = {"mAP": "mean_average_precision", "OF1": "overall_f1", "recall by class, CR": "class_recall"}
    beside = COLUMNS if config.of_run(trained[0]).labels.grids else COLUMNS[:2]  # else they are the first pseudo-labels
    of_training = [*beside, "first pseudo-labels", "pseudo-labels after the updates"]
    for split, names in (("test", COLUMNS), ("train", of_training)):
        code, out, err = ccd("evaluate", trained[0], "--split", split)
        assert code == 0
        assert "opening its engine" not in err  # the teacher need not look
        rows = rows_of(out)
        assert rows["class"] == names
        measured = [name for name in names[1:] if f"{name}, {split}" in summary["metrics"]]
        assert measured == [name for name in names[1:] if name != "teacher, debiased"]
        for label, key in labels.items():
            kept = [f"{100 * summary['metrics'][f'{name}, {split}'][key]:.1f}" for name in measured]
            assert [rows[label][names.index(name)] for name in measured] == kept
        assert len(rows["boat"]) == len(names)


def test_what_a_person_knows_comes_first_with_intervals(ccd, trained):
    found = json.loads(ccd("evaluate", trained[0], "--json")[1])
    out = ccd("evaluate", trained[0])[1]
    first, second = out.splitlines()[:2]
    assert first == "12 images; the student was trained on none of them"
    share = found["metrics"]["student"]["overall_recall"]
    low, high = found["intervals"]["student"]["overall_recall"]
    assert low <= share <= high
    said = f"student {100 * share:.1f} ({100 * low:.1f} … {100 * high:.1f}); zero-shot teacher "
    assert second.startswith(f"of the labels that are there, so many are found: {said}")
    assert out.index("of the labels that are given") < out.index("mAP, student against zero-shot teacher: ")
    assert rows_of(out)["mAP, 95% interval"][0].count(" … ") == 1
    train = ccd("evaluate", trained[0], "--split", "train")[1]
    assert "trained on all of them (without their labels), so that its figures flatter" in train


def test_another_threshold_changes_everybody_s_recall_and_nobody_s_order(ccd, trained):
    usual, low = (json.loads(ccd("evaluate", trained[0], *more, "--json")[1]) for more in ([], ["--threshold", 0.0]))
    for name in COLUMNS:
        assert low["metrics"][name]["overall_recall"] == 1
        assert low["metrics"][name]["average_precision"] == usual["metrics"][name]["average_precision"]


def test_classes_with_few_positives_are_named_and_left_out_where_that_is_wanted(ccd, trained):
    usual = json.loads(ccd("evaluate", trained[0], "--json")[1])
    counts = usual["fewer_than_10_positives"]
    least = sorted(set(counts.values()))[1]  # of 12 photographs: every class has few
    found = json.loads(ccd("evaluate", trained[0], "--json", "--min-positives", least)[1])
    assert found["left_out"] == {name: count for name, count in counts.items() if count < least}
    student = found["metrics"]["student"]
    assert student["mean_average_precision"] == pytest.approx(np.mean(list(student["average_precision"].values())))
    assert set(student["average_precision"]) == set(usual["metrics"]["student"]["average_precision"]) - set(
        found["left_out"]
    )


def test_student_and_teacher_together_stand_beside_with_what_they_cost(ccd, trained):
    code, out, _ = ccd("evaluate", trained[0], "--ensemble")
    assert code == 0
    rows = rows_of(out)
    assert rows["class"][-1] == "student and teacher together"
    assert "mAP, student against student and teacher together: " in out
    assert "it needs the teacher for every photograph, which took " in out


def test_photographs_that_the_run_has_not_seen_are_shown_to_the_teacher(ccd, trained, photo_folder, tmp_path):
    """The same photographs elsewhere: what is measured anew is what the run had measured."""
    elsewhere = tmp_path / "photos"
    shutil.copytree(photo_folder, elsewhere)
    given = ["--data-root", elsewhere, "--truth", elsewhere / "labels.csv", "--json"]
    code, out, err = ccd("evaluate", trained[0], *given)
    assert code == 0, err
    assert "opening its engine" in err
    own = json.loads(ccd("evaluate", trained[0], "--json")[1])
    assert json.loads(out)["metrics"] == own["metrics"]
    alone = ccd("evaluate", trained[0], *given, "--alone")
    assert list(json.loads(alone[1])["metrics"]) == ["student"]
    assert "opening its engine" not in alone[2]


def test_labels_that_are_known_only_after_the_run_measure_it_all(ccd, trained, photo_folder, tmp_path):
    """Known labels without a split are of photographs that were trained on, and of others."""
    rows = (photo_folder / "labels.csv").read_text().splitlines()
    without_split = [",".join((row.split(",")[0], row.split(",")[2])) for row in rows]
    (tmp_path / "known.csv").write_text("\n".join(without_split) + "\n")
    code, out, err = ccd("evaluate", trained[0], "--truth", tmp_path / "known.csv")
    assert code == 0, err
    assert rows_of(out)["class"] == COLUMNS
    assert out.startswith("36 images; the student was trained on 24 of them (without their labels)")
    (tmp_path / "known.csv").write_text("\n".join(without_split[:20]) + "\n")
    out = ccd("evaluate", trained[0], "--truth", tmp_path / "known.csv")[1]
    assert rows_of(out)["class"][-2:] == ["first pseudo-labels", "pseudo-labels after the updates"]


def test_an_older_run_that_has_kept_no_scores_is_measured_anew(ccd, trained, tmp_path):
    older = shutil.copytree(trained[0], tmp_path / "run")
    own = json.loads(ccd("evaluate", older, "--json")[1])
    shutil.rmtree(older / "scores")
    code, out, err = ccd("evaluate", older, "--json")
    assert code == 0, err
    assert json.loads(out) == own
