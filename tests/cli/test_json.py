"""What a program reads: JSON on standard output and nothing else there."""

import json

import pytest

from ccd_fast.cli import tables
from ccd_fast.studies.seed_table import Column, SeedTable

WITH_TABLES = (
    *("train", "demo", "evaluate", "predict", "label", "ablate", "reproduce", "build-engines", "doctor", "datasets"),
    *("verify", "bench engine", "bench decode", "bench kernels", "bench relabel", "bench train"),
)


@pytest.mark.parametrize("command", WITH_TABLES)
def test_every_command_that_prints_a_table_has_json(ccd, command):
    code, out, _ = ccd(*command.split(), "--help")
    assert code == 0
    assert "--json" in out


def test_metrics_as_json(ccd, trained):
    code, out, _ = ccd("evaluate", trained[0], "--json")
    assert code == 0
    found = json.loads(out)
    metrics = found["metrics"]
    assert list(metrics) == ["student", "zero-shot teacher", "teacher, debiased"]
    assert list(found["above"]) == list(found["intervals"])[1:] == list(metrics)[1:]
    assert 0 <= metrics["student"]["mean_average_precision"] <= 1


def test_predictions_as_json(ccd, trained, photo_folder):
    code, out, _ = ccd("predict", trained[0], photo_folder / "images" / "part0", "--json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 12
    assert all(set(row["probabilities"]) == {"cat", "dog", "traffic light", "boat"} for row in rows)


def test_a_run_s_summary_as_json(ccd, trained):
    code, out, _ = ccd("train", "--resume", "--out", trained[0], "--json")
    assert code == 0
    assert json.loads(out) == json.loads((trained[0] / "summary.json").read_text())


def test_a_benchmark_as_json_says_on_which_machine(ccd):
    code, out, _ = ccd("bench", "kernels", "--rows", "20", "--classes", "5", "--repeats", "1", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["images"] == 20
    assert "torch" in result["machine"]["packages"]


def test_a_table_over_seeds_as_json(capsys):
    table = SeedTable("t", "a title", (Column("mAP"), Column("paper", published=True)), (("full", ((0.5, 0.75), ())),))
    tables.give([table], as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"name": "t", "title": "a title", "rows": {"full": {"mAP": [0.5, 0.75], "paper": []}}, "notes": []}
    ]
