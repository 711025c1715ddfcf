"""The script for a card: what it plans, that nothing stops it, and what it leaves behind."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import on_a_card  # noqa: E402
from card import demo_drift, planning, profile_pass, results, running, table  # noqa: E402
from card.steps import PYTHON, RESULT, XML, Step  # noqa: E402

PLENTY = 1000.0


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(running, "SHORTEST", 0.5)
    monkeypatch.setattr(running, "GRACE", 1.0)


def script(name: str, code: str, limit: float = 30.0, **more) -> Step:
    return Step(name, "rates", (PYTHON, "-c", code, RESULT), limit, **more)


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["on_a_card.sh", *map(str, arguments)])
    code = on_a_card.main()
    return code, *capsys.readouterr()


GOOD = "import json, sys; json.dump({'matmul_flops': {'fp32': 2e12}, 'copy_bytes_per_s': {}}, open(sys.argv[1], 'w'))"


def test_the_plan_has_every_teacher_and_each_command_exists(monkeypatch, capsys, tmp_path):
    code, printed, _ = call(monkeypatch, capsys, "--dry-run", "--mini-clip", tmp_path, "--data-root", tmp_path)
    assert code == 0, printed
    for words in ("ViT-B-16", "ViT-L-14", "RN50x64", tmp_path.name, "bench train", "profile", "doctor", "memcheck"):
        assert words in printed
    assert "BROKEN" not in printed
    assert printed.count(f"--data-root {tmp_path}") >= 5
    assert "0 commands do not exist" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-m", "ccd_fast", "bench", "nothing"), "no command bench nothing"),
        (("-m", "ccd_fast", "bench", "engine", "--gone", "1"), "--gone"),
        ((str(ROOT / "benchmarks/card/gone.py"), "--out", "x"), "no such file"),
        ((str(ROOT / "benchmarks/card/rates.py"), "--out", "x", "--gone"), "--gone"),
        (("-m", "pytest", "tests/test_gone.py"), "no such file"),
    ],
)
def test_a_command_that_does_not_exist_is_found(words, said):
    assert said in planning.missing_command(Step("wrong", "rates", (PYTHON, *words), 10))


def test_every_file_with_a_test_for_a_gpu_is_run():
    kernels, others = planning.gpu_tests()
    assert "tests/kernels/test_kernels_gpu.py" in kernels
    assert {"tests/views/test_views_gpu.py", "tests/test_pass_gpu.py", "tests/test_nccl.py"} <= set(others)


def test_without_a_card_it_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, printed, err = call(monkeypatch, capsys)
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert "no NVIDIA card here" in err


def test_what_lacks_is_left_out_and_says_why(tmp_path):
    clock, without = running.Clock(PLENTY), {"needs": ("no_such_module", "sys")}
    assert running.run_step(script("x", GOOD, **without), "cuda", clock, tmp_path).why == "no_such_module not installed"
    assert (
        running.run_step(script("x", GOOD, tool="no-such-tool"), "cuda", clock, tmp_path).why
        == "no-such-tool is not here"
    )
    record = running.run_step(script("x", GOOD, on_card=True), "cpu", clock, tmp_path)
    assert (record.status, record.why) == ("left out", "it says nothing without a card")


def run(steps, tmp_path, minutes=1.0, resume=False):
    arguments = ["--device", "cpu", "--tiny", "--minutes", str(minutes), "--out", str(tmp_path / "out")]
    given = on_a_card.options().parse_args(arguments)
    report = results.Report(tmp_path / "out", "cpu")
    if resume:
        report.go_on()
    return on_a_card.run_all(steps, given, report), report


def test_a_step_that_fails_or_hangs_or_dies_stops_no_other(tmp_path, capsys):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    steps = [
        script("fails", "raise ValueError('what went wrong')"),
        script("hangs", child, limit=2),
        script("dies", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        script("lies", "import sys; open(sys.argv[1], 'w').write('{')"),
        script("goes on", GOOD),
    ]
    start = time.monotonic()
    code, report = run(steps, tmp_path)
    assert time.monotonic() - start < 30
    assert code == 1
    assert [r.status for r in report.records] == ["failed", "out of time", "failed", "done", "done"]
    assert "what went wrong" in report.records[0].why
    assert report.records[1].why == "it was stopped after 2 s"
    assert "cannot be read" in report.records[3].why
    assert "3 of 5 steps failed: fails; hangs; dies" in capsys.readouterr().err
    kept = json.loads((tmp_path / "out" / results.FIGURES).read_text())["steps"]
    assert [step["name"] for step in kept] == ["fails", "hangs", "dies", "lies", "goes on"]
    page = (tmp_path / "out" / results.PAGE).read_text()
    assert "| fails | failed | exit code 1: ValueError: what went wrong |" in page
    assert "| matrix product, fp32 | 2.0 TFLOP/s | ceiling |" in page
    assert page.count("|---|---:|---|") == 1
    assert "what went wrong" in (tmp_path / "out" / results.WORDS).read_text()


def test_no_step_is_begun_when_the_time_is_over_and_what_runs_is_cut_short(tmp_path):
    steps = [script("long", "import time; time.sleep(60)", limit=60), script("after", GOOD)]
    start = time.monotonic()
    _, report = run(steps, tmp_path, minutes=2 / 60)
    assert time.monotonic() - start < 20
    assert [(r.status, r.why) for r in report.records] == [
        ("out of time", "it was stopped after 2 s"),
        ("left out", "no time was left for it"),
    ]


def test_resume_runs_only_what_is_not_done(tmp_path):
    mark = tmp_path / "runs"
    count = f"open({str(mark)!r}, 'a').write('x');" + GOOD
    run([script("good", count), script("bad", "1 / 0")], tmp_path)
    code, report = run([script("good", count), script("bad", GOOD)], tmp_path, resume=True)
    assert code == 0
    assert mark.read_text() == "x"
    assert sorted((r.name, r.status) for r in report.records) == [("bad", "done"), ("good", "done")]


def test_more_than_eight_files_are_an_error(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    for number in range(results.MOST_FILES - 2):
        (folder / f"{number}.txt").touch()
    with pytest.raises(RuntimeError, match="9 files, more than 8"):
        run([script("good", GOOD)], tmp_path)


def test_the_script_runs_from_anywhere(tmp_path):
    command = [
        ROOT / "benchmarks" / "on_a_card.sh",
        "--device",
        "cpu",
        "--tiny",
        "--only",
        "rates",
        "--out",
        tmp_path / "out",
    ]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "rates of the card: done" in done.stdout
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["README.md", "log.txt", "results.json"]
    assert "| copy within the memory" in (tmp_path / "out" / "README.md").read_text()
    again = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 2
    assert "--resume goes on with it" in again.stderr


@pytest.mark.parametrize(
    ("kind", "file", "words"),
    [
        ("engine", "cpu-engine-vit-b-32.json", "of a matrix product"),
        ("kernels", "cpu-kernels.json", "of a copy"),
        ("decode", "cpu-decode.json", "of the bare library"),
        ("train", "cpu-bench-train.json", "times as long as an epoch with consistency"),
    ],
)
def test_figures_become_rows_with_what_they_are_beside(kind, file, words):
    found = json.loads((ROOT / "benchmarks" / "results" / file).read_text())
    rows = table.rows_of(running.Record("x", kind, "done", result=found))
    assert len(rows) >= 3
    assert any(words in row[2] for row in rows)


def test_figures_of_another_form_are_named_and_hide_nothing():
    rows = table.rows_of(running.Record("x", "engine", "failed", "exit code 1", result={"rows": []}))
    assert rows == [("x", "failed", "exit code 1"), ("x", "not readable", "KeyError: 'teacher'")]


def test_what_became_of_each_test_is_read(tmp_path):
    (tmp_path / "test_three.py").write_text(
        "import pytest\ndef test_good(): pass\ndef test_bad(): assert 1 == 2, 'no'\n"
        "@pytest.mark.skip('no card')\ndef test_left(): pass\n"
    )
    command = (
        PYTHON,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
        f"--junitxml={XML}",
        f"--rootdir={tmp_path}",
    )
    record = running.run_step(Step("t", "tests", command, 60), "cpu", running.Clock(PLENTY), tmp_path)
    assert record.status == "failed"
    assert (record.result["tests"], record.result["passed"]) == (3, 1)
    assert list(record.result["failed"]) == ["test_three.test_bad"]
    assert record.result["skipped"] == {"no card": 1}


def event(category, name, begin, lasts, stream=7):
    return {"cat": category, "name": name, "ts": begin, "dur": lasts, "tid": stream, "args": {"stream": stream}}


def test_the_card_is_idle_where_no_kernel_and_no_copy_runs():
    events = [
        event("user_annotation", profile_pass.MARK, 1000, 1000),
        event("gpu_user_annotation", profile_pass.MARK, 1000, 1000),  # the mark again, on the card's own line
        event("kernel", "before", 500, 100),
        event("kernel", "gemm", 1100, 300),
        event("kernel", "gemm", 1300, 200, stream=13),  # beside the first for 100
        event("gpu_memcpy", "copy", 1900, 300),  # ends behind the pass
        event("cpu_op", "aten::add", 1000, 1000),
    ]
    found = profile_pass.read_trace(events)
    assert found["seconds"] == pytest.approx(1e-3)
    assert found["busy"] == pytest.approx(0.5)
    assert found["idle"] == pytest.approx(0.5)
    assert found["busy_by_stream"] == {"7": pytest.approx(0.4), "13": pytest.approx(0.2)}
    assert found["kernels"][0] == {"name": "gemm", "seconds": pytest.approx(5e-4), "calls": 2}
    assert profile_pass.read_trace(events[:1])["idle"] is None
    with pytest.raises(ValueError, match="0 marks"):
        profile_pass.read_trace(events[1:])


def test_the_drift_of_a_table():
    theirs = np.array([[0.0, 0.5], [0.2, 0.1]], dtype=np.float32)
    ours = np.array([[0.0, 0.5], [0.1, 0.2]], dtype=np.float32)
    found = demo_drift.drift(ours, theirs)
    assert found == {"mean": pytest.approx(0.05), "max": pytest.approx(0.1), "far": 0.5, "other_class": 0.5}
    assert demo_drift.drift(theirs, theirs) == {"mean": 0, "max": 0, "far": 0, "other_class": 0}
