"""The script for a card: its plan fits, limits lose nothing, what is brought arrives. ``make card-trial`` runs it."""

import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import on_a_card  # noqa: E402
from card import children, limits, page, per_test, pieces, plan, sensors, setting, worker  # noqa: E402
from card.ledger import Ledger, LeftOut  # noqa: E402
from card.plan import Part  # noqa: E402

PLENTY = 60.0
HANGS = {"hangs": 0.5}
"""Limits of parts."""


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["on_a_card.sh", *map(str, arguments)])
    code = on_a_card.main()
    return code, *capsys.readouterr()


# The plan


def test_the_parts_fit_and_what_must_not_be_lost_comes_in_the_first_call():
    parts = plan.planned()
    assert plan.wanted_seconds(parts) <= 60 * plan.MINUTES
    last = max(place for place, part in enumerate(parts) if part.must)
    assert plan.wanted_seconds(parts[: last + 1]) <= 60 * plan.CALL_MINUTES
    for part in parts:
        tree = ast.parse((ROOT / "benchmarks" / "card" / f"{part.module}.py").read_text())
        made = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "measure"]
        assert [len(function.args.args) for function in made] == [1], part.module


def granted(minutes: float) -> dict[str, float]:
    """What each part gets if each takes all that it gets."""
    left, found, parts = 60 * minutes, {}, plan.planned()
    for place, part in enumerate(parts):
        found[part.name], _ = plan.grant(part, parts[place + 1 :], left)
        left -= found[part.name]
    return found


@pytest.mark.parametrize(
    ("minutes", "lost"),
    [
        (12.0, []),
        (11.0, ["demo world, CPU and card"]),
        (10.3, ["sanitizer", "demo world, CPU and card"]),
        (9.4, ["training steps", "sanitizer", "demo world, CPU and card"]),
        (7.9, ["tests for a GPU", "training steps", "sanitizer", "demo world, CPU and card"]),
    ],
)
def test_when_time_is_short_the_last_parts_are_lost_first_and_the_engines_and_passes_never(minutes, lost):
    found = granted(minutes)
    assert [name for name, seconds in found.items() if not seconds] == lost
    assert all(found[part.name] == part.limit for part in plan.PARTS if part.must)


def test_early_parts_give_way_to_what_must_not_be_lost():
    part, later = Part("early", "x", 40), [Part("teacher", "x", 100, must=True)]
    assert plan.grant(part, later, 200) == (40, "")
    assert plan.grant(part, later, 125) == (25, "")
    assert plan.grant(part, later, 105) == (0, "its time is kept for what must not be lost")
    assert plan.grant(later[0], [], 30) == (30, "")


def test_the_dry_run_lists_parts_limits_and_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(plan, "PARTS", (*plan.PARTS, Part("odd", "x", 1, ("no_such_module", "open_clip"))))
    monkeypatch.setattr(pieces, "brought", lambda folder: {"open_clip"})
    monkeypatch.setattr(sensors, "name", lambda: "cpu")
    monkeypatch.setattr(plan, "is_installed", lambda name: name not in ("no_such_module", "open_clip"))
    code, printed, _ = call(monkeypatch, capsys, "--dry-run", "--minutes", "12")
    assert code == 1
    assert "13 odd [1 s at most]: MISSING no_such_module" in printed
    assert "7 relabel passes [150 s at most, must not be lost]: would run; 1 modules come from .wheels" in printed
    assert "they fit into 12" in printed
    assert "and 1.0 more for what only takes time that is left" in printed  # the demo world
    assert "no NVIDIA card is here" in printed
    assert "do NOT fit into 5" in call(monkeypatch, capsys, "--dry-run", "--minutes", "5")[1]


def test_without_a_card_it_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, printed, err = call(monkeypatch, capsys)
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert "no NVIDIA card here" in err
    assert call(monkeypatch, capsys, "--only", "nothing")[0] == 2


# The ledger


def test_a_figure_is_on_the_disk_at_once_and_a_line_that_was_cut_off_hides_no_other(tmp_path):
    files = tmp_path / "a" / "figures.jsonl", tmp_path / "b.jsonl"
    ledger = Ledger(*files, card=lambda: {"clocks.sm MHz": 1980.0})
    ledger.begin("rates", 15)
    ledger.figure("copy", 3e12, "B/s", repeats=[3e12, 4e12])
    for file in files:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert lines[0]["card"] == {"clocks.sm MHz": 1980.0}
        assert (lines[1]["what"], lines[1]["value"], lines[1]["repeats"]) == ("copy", 3e12, [3e12, 4e12])
    with files[0].open("a") as end:
        end.write('{"event": "figu')
    again = Ledger(*files)
    assert again.unfinished()["part"] == "rates"
    assert not again.is_over("rates")
    again.part = "rates"
    again.write("end", status="done", why="", seconds=2)  # on a line of its own
    assert (again.is_over("rates"), again.seconds(), again.unfinished()) == (True, 2, None)


def test_a_later_call_goes_on_with_what_stayed_and_overwrites_no_other_run(tmp_path):
    kept, figures = tmp_path / "work" / "kept.jsonl", tmp_path / "out" / "figures.jsonl"
    assert not on_a_card.begun(True, kept, figures)
    kept.parent.mkdir()
    kept.write_text("one\n")
    assert not on_a_card.begun(True, kept, figures)  # a call finds its folder empty
    assert figures.read_text() == "one\n"
    figures.write_text("one\ntwo\n")
    assert not on_a_card.begun(True, kept, figures)
    assert kept.read_text() == "one\ntwo\n"
    figures.write_text("of another run\n")
    assert "another run" in on_a_card.begun(True, kept, figures)
    assert "--resume goes on" in on_a_card.begun(False, kept, figures)
    assert (kept.read_text(), figures.read_text()) == ("one\ntwo\n", "of another run\n")


# One process


def setting_of(tmp_path) -> setting.Setting:
    return setting.Setting("cpu", True, tmp_path, Ledger(tmp_path / "figures.jsonl"))


def parts_of(monkeypatch, **functions) -> list[Part]:
    """Parts of these names that call these functions."""
    for name, function in functions.items():
        monkeypatch.setitem(sys.modules, f"card.fake_{name}", SimpleNamespace(measure=function))
    return [Part(name, f"fake_{name}", HANGS.get(name, PLENTY)) for name in functions]


def test_a_part_that_hangs_or_fails_loses_none_of_its_figures_and_stops_no_other(monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "SHORTEST", 0)

    def hangs(given):
        given.ledger.figure("before it hung", 1)
        while True:
            with contextlib.suppress(Exception):  # which must not swallow the stop
                time.sleep(60)

    def fails(given):
        given.ledger.figure("before it failed", 2)
        raise ValueError("what went wrong\nand more")

    def exits(given):
        sys.exit("no such file")

    def nothing(given):
        raise LeftOut("there is no card")

    parts = parts_of(monkeypatch, hangs=hangs, fails=fails, exits=exits, nothing=nothing, good=lambda given: None)
    parts.append(Part("lacks", "x", 1, ("no_such_module",)))
    given = setting_of(tmp_path)
    start = time.monotonic()
    assert worker.run_parts(parts, given, limits.Clock(60)) == 0
    assert time.monotonic() - start < limits.GRACE
    ends = {name: (end["status"], end["why"]) for name, end in given.ledger.ends().items()}
    assert ends == {
        "hangs": ("out of time", "it was stopped after 0 s"),
        "fails": ("failed", "ValueError: what went wrong"),
        "exits": ("failed", "SystemExit: no such file"),
        "nothing": ("left out", "there is no card"),
        "good": ("done", ""),
        "lacks": ("left out", "no_such_module not installed"),
    }
    assert [line["value"] for line in given.ledger.lines() if line["event"] == "figure"] == [1, 2]


def test_what_is_interrupted_or_left_out_is_tried_again_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "SHORTEST", 0)
    ran = []

    def interrupted(given):
        ran.append("interrupted")
        if len(ran) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    names = {"first": lambda given: ran.append("first"), "interrupted": interrupted}
    parts = parts_of(monkeypatch, **names, last=lambda given: ran.append("last"))
    given = setting_of(tmp_path)
    assert worker.run_parts(parts, given, limits.Clock(60)) == worker.INTERRUPTED
    assert worker.run_parts(parts, given, limits.Clock(0)) == 0  # no time: all are left out
    assert worker.run_parts(parts, given, limits.Clock(60)) == 0
    assert ran == ["first", "interrupted", "interrupted", "last"]


def test_a_part_can_ask_for_a_new_process(monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "SHORTEST", 0)
    parts = parts_of(monkeypatch, first=lambda given: None, second=lambda given: None)
    parts[0] = Part("first", "fake_first", 1, anew=True)
    given = setting_of(tmp_path)
    assert [worker.run_parts(parts, given, limits.Clock(60)) for _ in range(2)] == [worker.ANEW, 0]


# Processes

FAKES = """
    import os, signal, sys, time
    from types import SimpleNamespace
    from card import limits, plan, worker

    def hangs_outside_python(given):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as a device that never answers
        given.ledger.figure("before", 1)
        time.sleep(60)

    def dies(given):
        os.kill(os.getpid(), signal.SIGSEGV)

    fakes = {"hangs": hangs_outside_python, "dies": dies, "good": lambda given: given.ledger.figure("after", 2)}
    for name, function in fakes.items():
        sys.modules[f"card.fake_{name}"] = SimpleNamespace(measure=function)
    plan.PARTS = tuple(plan.Part(name, f"fake_{name}", 0.5 if name == "hangs" else 60) for name in fakes)
    plan.SHORTEST = 0
    limits.GRACE = 0.2
    if __name__ == "__main__":
        sys.exit(worker.main())
"""


def test_a_process_that_hangs_or_dies_is_replaced_and_the_next_parts_run(monkeypatch, tmp_path, capsys):
    (tmp_path / "fake_worker.py").write_text(textwrap.dedent(FAKES))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(on_a_card, "WORKER", "fake_worker")
    monkeypatch.setattr(on_a_card, "START", time.monotonic())
    parts = tuple(Part(name, f"fake_{name}", PLENTY) for name in ("hangs", "dies", "good"))
    out, kept = tmp_path / "out", tmp_path / "kept.jsonl"
    given = on_a_card.options().parse_args(["--device", "cpu"])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with (tmp_path / "said").open("w") as said:
            monkeypatch.setattr(sys, "stdout", said)
            assert on_a_card.run_all(parts, given, out, kept) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    ends = Ledger(kept).ends()
    assert [end["status"] for end in ends.values()] == ["died", "died", "done"]
    assert "ended with 1" in ends["hangs"]["why"]
    assert "SIGSEGV" in ends["dies"]["why"]
    assert "hangs_outside_python" in (out / "log.txt").read_text()  # where it stood
    assert kept.read_text() == (out / "figures.jsonl").read_text()
    assert "| good | after | 2 |" in (out / page.PAGE).read_text()
    assert "2 of 3 parts went wrong: hangs; dies" in capsys.readouterr().err


CHILD = """
    import os, signal, sys, time
    def asked(number, frame):
        print("asked by", signal.Signals(number).name, flush=True)
        if number == {last}:
            sys.exit(3)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, asked)
    os.kill(os.getppid(), signal.SIGALRM)  # the limit of the part that started it is over
    while True:
        time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("last", "said"),
    [("signal.SIGINT", ["SIGINT"]), ("signal.SIGTERM", ["SIGINT", "SIGTERM"]), ("None", ["SIGINT", "SIGTERM"])],
)
def test_a_program_is_asked_by_sigint_before_sigterm_and_then_made_to_end(tmp_path, last, said):
    command = [sys.executable, "-c", textwrap.dedent(CHILD).format(last=last)]
    log = tmp_path / "log"
    with pytest.raises(limits.OutOfTime), limits.within(PLENTY):
        children.run(command, log, PLENTY, grace=0.5)
    assert log.read_text() == "".join(f"asked by {name}\n" for name in said)


def test_a_program_has_a_limit_of_its_own_and_leaves_no_other_behind(tmp_path):
    nested = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    log = tmp_path / "log"
    assert children.run([sys.executable, "-c", nested], log, 0.5, grace=0.3) == children.OUT_OF_TIME
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text().split()[0]), 0)
    assert children.run([sys.executable, "-c", "import sys; sys.exit(3)"], log, PLENTY) == 3


SOME_TESTS = """
    import os, pytest, signal, time
    def test_good(): pass
    def test_bad(): assert 1 == 2, "no"
    @pytest.mark.skip("no card")
    def test_left(): pass
    def test_long():
        os.kill(os.getppid(), signal.SIGALRM)  # the limit of the part that started it is over
        time.sleep(60)
"""


def test_each_test_is_a_line_and_one_that_is_cut_off_hides_no_other(tmp_path):
    (tmp_path / "test_some.py").write_text(textwrap.dedent(SOME_TESTS))
    (tmp_path / "test_unreadable.py").write_text("import no_such_module\n")
    ledger = Ledger(tmp_path / "figures.jsonl")
    ledger.part = "tests"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "card.per_test"]
    environment = {**per_test.environment(ledger), "PYTHONPATH": str(ROOT / "benchmarks"), "PYTEST_ADDOPTS": ""}
    words += ["--continue-on-collection-errors", f"--rootdir={tmp_path}", str(tmp_path)]
    with pytest.raises(limits.OutOfTime), limits.within(PLENTY):  # which is over at the last test
        children.run(words, tmp_path / "log", PLENTY, tmp_path, environment)
    found = {line["what"].split("::")[-1]: (line["value"], line["note"]) for line in ledger.lines()}
    assert found["test_good"] == ("passed", "")
    assert found["test_bad"] == ("failed", "AssertionError: no")
    assert found["test_left"] == ("skipped", "Skipped: no card")
    assert found["test_unreadable.py"][0] == "error"
    assert "no_such_module" in found["test_unreadable.py"][1]
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text()  # it was asked, and could say so


def test_the_script_runs_from_anywhere(tmp_path):
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    words = [str(ROOT / "benchmarks" / "on_a_card.sh"), "--dry-run", "--only", "rates"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "1 rates of the card [15 s at most, must not be lost]: would run" in done.stdout
