"""What a person or a pipe sees: tables and colours on a terminal, plain lines elsewhere, no colour with NO_COLOR."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from ccd_fast.cli import screen

COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-9]")
"""Sets a colour of the text."""
DRAWN = re.compile(r"[\x1b\u2500-\u257f]")
"""What a terminal obeys, or lines around a table."""
MOVED = re.compile(rb"\x1b\[[0-9]*[A-K]")
"""Moves the cursor, or deletes a line."""

posix = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals of POSIX")


def on_a_terminal(*words, **environment):
    """Run ``ccd-fast`` with a terminal of its own, 100 columns wide; give all that it wrote there."""
    import pty

    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI", "FORCE_COLOR")}
    leader, follower = pty.openpty()
    given = {**kept, "TERM": "xterm-256color", "COLUMNS": "100", **environment}
    command = [sys.executable, "-m", "ccd_fast", *map(str, words)]
    process = subprocess.Popen(command, stdout=follower, stderr=follower, env=given)
    os.close(follower)
    said = b""
    try:
        while chunk := os.read(leader, 65536):
            said += chunk
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    process.wait(120)
    return said


@posix
def test_no_color_is_heeded_by_the_help():
    assert COLOUR.search(on_a_terminal("train", "--help"))
    assert not COLOUR.search(on_a_terminal("train", "--help", NO_COLOR="1"))


@posix
def test_a_terminal_gets_a_table_with_lines_and_a_bar(trained, photo_folder):
    said = on_a_terminal("predict", trained[0], photo_folder / "images" / "part1")
    assert all(drawn in said.decode() for drawn in "┃┓└"), "a table"
    assert MOVED.search(said)
    assert COLOUR.search(said)
    without = on_a_terminal("predict", trained[0], photo_folder / "images" / "part1", NO_COLOR="1")
    assert not COLOUR.search(without)


ELSEWHERE = {
    "train": "train --resume --out {run}",
    "evaluate": "evaluate {run} --split train",
    "predict": "predict {run} {photos}/images",
    "label": "label --data-root {photos} --classes {photos}/classes.txt --teacher {clip} --out {tmp}/labels.csv",
    "report": "report {run}",
    "export": "export {run} --out {tmp}/student.onnx",
    "build-engines": "build-engines --list",
    "datasets": "datasets",
    "verify": "verify --data-root {photos} --classes {photos}/classes.txt --truth {photos}/labels.csv",
    "recipe": "recipe folder",
    "doctor": "doctor",
    "bench kernels": "bench kernels --rows 20 --classes 5 --repeats 1",
    "help": "train --help",
    "a mistake": "train --out {tmp}/run",
    "a mistyped option": "train --owt {tmp}/run",
}
"""Every command that ends soon; ``demo``, ``ablate`` and ``reproduce`` print by the same functions."""


@pytest.mark.parametrize("what", ELSEWHERE)
def test_elsewhere_there_are_plain_lines(what, ccd, trained, photo_folder, tiny_clip, tmp_path, monkeypatch):
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    places = {"run": trained[0], "photos": photo_folder, "clip": tiny_clip, "tmp": tmp_path}
    _, out, err = ccd(*(word.format(**places) for word in ELSEWHERE[what].split()))
    assert out or err
    if what == "help":  # typer's own, which draws its boxes everywhere
        assert "\x1b" not in out + err
    else:
        assert not DRAWN.search(out + err)


def test_a_row_is_one_line_however_long(capsys):
    table = Table("photograph", "classes", title="a title")
    table.add_row("x" * 500, "cat 0.90, dog 0.10")
    screen.show(table)
    assert capsys.readouterr().out.splitlines() == [
        "a title",
        f"{'photograph':500}  classes",
        f"{'x' * 500}  cat 0.90, dog 0.10",
    ]


def test_every_command_prints_by_the_screen():
    """Another console on standard output would draw its tables into a pipe."""
    for file in Path(screen.__file__).parent.glob("*.py"):
        if file.name != "screen.py":
            assert set(re.findall(r"Console\((?!stderr=True)[^)]*\)", file.read_text())) == set(), file.name
