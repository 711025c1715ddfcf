"""What a program reads: JSON on standard output and nothing else there; and plain text where no terminal is."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from test_commands import arguments, ccd, trained  # noqa: F401 - fixtures

from ccd_fast.cli import tables
from ccd_fast.studies.seed_table import Column, SeedTable

WITH_TABLES = (
    *("train", "demo", "evaluate", "predict", "label", "ablate", "reproduce", "build-engines", "doctor", "datasets"),
    *("verify", "bench engine", "bench decode", "bench kernels", "bench relabel", "bench train"),
)


@pytest.mark.parametrize("command", WITH_TABLES)
def test_every_command_that_prints_a_table_has_json(ccd, command):  # noqa: F811
    code, out, _ = ccd(*command.split(), "--help")
    assert code == 0
    assert "--json" in out


def test_metrics_as_json(ccd, trained):  # noqa: F811
    code, out, _ = ccd("evaluate", trained[0], "--json")
    assert code == 0
    metrics = json.loads(out)["metrics"]
    assert set(metrics) == {"student", "zero-shot teacher"}
    assert 0 <= metrics["student"]["mean_average_precision"] <= 1


def test_predictions_as_json(ccd, trained, photo_folder):  # noqa: F811
    code, out, _ = ccd("predict", trained[0], photo_folder / "images" / "part0", "--json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 12
    assert all(set(row["probabilities"]) == {"cat", "dog", "traffic light", "boat"} for row in rows)


def test_a_run_s_summary_as_json(ccd, trained):  # noqa: F811
    code, out, _ = ccd("train", "--resume", "--out", trained[0], "--json")
    assert code == 0
    assert json.loads(out) == json.loads((trained[0] / "summary.json").read_text())


def test_a_benchmark_as_json_says_on_which_machine(ccd):  # noqa: F811
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


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals of POSIX")
@pytest.mark.parametrize("no_color", [True, False])
def test_no_color_is_heeded_on_a_terminal(no_color):
    """Give doctor, whose states are coloured, a terminal of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
    environment |= {"TERM": "xterm-256color", **({"NO_COLOR": "1"} if no_color else {})}
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "ccd_fast", "doctor"], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    said = b""
    try:
        while chunk := os.read(leader, 65536):
            said += chunk
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    process.wait(120)
    assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9]", said)) is not no_color


def test_not_on_a_terminal_there_are_plain_lines():
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    done = subprocess.run([sys.executable, "-m", "ccd_fast", "doctor"], capture_output=True, env=environment, check=False)
    assert done.stdout
    assert b"\x1b" not in done.stdout + done.stderr
