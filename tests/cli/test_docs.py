"""What README and docs/ say can be done, done: commands, examples, names of functions and files, the rooms, links.

Commands stand in ``sh`` blocks. What CONTRIBUTING.md says of them holds here: ``ccd-fast`` is run in a small world, but
for what takes minutes, which is checked against the command line and the recipes.
"""

import importlib
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from test_house import FLOORS

import ccd_fast
from ccd_fast.cli.app import app
from ccd_fast.datasets import DATASETS, load
from ccd_fast.datasets.whereabouts import recipe_of
from ccd_fast.recipes import config
from ccd_fast.systems import SYSTEMS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
]
MARKS = ("downloads", "long")
LONG = ("train", "demo", "ablate", "compare", "reproduce", "bench", "build-engines")
"""Commands of which only the command line is checked."""
TRAINED_HERE = "ccd-fast train --data-root ~/photos --classes classes.txt --out runs/mine"
"""The training of tutorial and README that is run, with a small teacher and student."""
BY_BASH = ("printf", "mkdir", "cp", "ls")
NOT_RUN = ("make ", "python benchmarks", "python -m", "torchrun ")
MAY_FIND_FAULTS = ("verify", "doctor")
"""They end with 1 where something is wrong, and the small trees have not the official number of images."""

sys.path.insert(0, str(ROOT / "tests" / "datasets"))  # its makers of small trees


class Block(NamedTuple):
    """A fenced block: where it stands, its language, the mark in the comment above it, and its text."""

    where: str
    language: str
    mark: str
    text: str


def blocks(document: Path) -> list[Block]:
    found, mark, lines = [], "", document.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("```"):
            end = next(k for k in range(at + 1, len(lines)) if lines[k].startswith("```"))
            text = "\n".join(lines[at + 1 : end])
            found.append(Block(f"{document.name}:{at + 1}", line[3:].strip(), mark, text))
            at = end
        if line.strip():
            comment = re.fullmatch(r"<!-- (\w+) -->", line.strip())
            mark = comment[1] if comment else ""
        at += 1
    return found


def commands(text: str) -> list[str]:
    """Split a block into commands: lines joined at their backslashes, without comments, split at ``&&``."""
    joined = re.sub(r"\\\n\s*", "", text)
    bare = (re.sub(r"(^|\s)#\s.*$", "", line).strip() for line in joined.splitlines())
    return [part.strip() for line in bare if line for part in line.split("&&")]


def command_of(words: list[str]):
    """Find the command of ``ccd-fast``; give it and the words behind its name."""
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def check_options(words: list[str]) -> None:
    """See that a command and its options exist, and that its knobs are knobs."""
    command, rest = command_of(words)
    assert not hasattr(command, "commands") or not rest or rest[0].startswith("-"), f"no command {rest[0]!r}"
    valid = {option for param in command.params for option in param.opts} | {"--help"}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= valid
    for before, word in pairwise(rest):
        assert before != "--set" or "…" in word or word.partition("=")[0] in config.knobs() | {"seed": ""}, word


def check_line(words: list[str]) -> None:
    """See that a command line is whole: every option, argument and value of it, and the recipe that it means."""
    check_options(words)
    if any("…" in word for word in words):
        return
    command, rest = command_of(words)
    given = command.make_context("ccd-fast", list(rest)).params
    named = given.get("recipe") or (
        "set_" in given and given.get("dataset") in DATASETS and recipe_of(given["dataset"])
    )
    if named in config.built_in():
        config.load(named, given["set_"] or [])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_command_of_a_document_is_one(document):
    for block in blocks(document):
        if block.language != "sh":
            continue
        assert block.mark in ("", *MARKS), block.where
        for command in commands(block.text):
            words = shlex.split(command)
            try:
                if words[0] == "ccd-fast":
                    check_line(
                        [word for word in words[1:] if word != ">"] if ">" not in words else words[1 : words.index(">")]
                    )
                elif words[0] == "torchrun":
                    check_line(words[words.index("ccd_fast") + 1 :])
                elif words[0] == "make":
                    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
                elif words[:2] == ["python", "-m"]:
                    assert importlib.util.find_spec(words[2]) is not None
                elif words[0] == "python" and words[1] != "-c":
                    assert (ROOT / words[1]).is_file()
                elif words[0].endswith(".sh"):
                    assert os.access(ROOT / words[0], os.X_OK)
                else:
                    known = words[0] in (*BY_BASH, "python") or re.match(r"\w+=", command)
                    assert known or block.mark == "downloads", "unknown to this test"
            except Exception as error:
                raise AssertionError(f"{block.where}: {command}: {error}") from error


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_commands_in_the_text_are_commands_too(document):
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for said in re.findall(r"`ccd-fast ([^`]+)`", text):
        words = said.replace("RUN", "run").split()
        if words[0] != "COMMAND":
            check_options(words)


@pytest.fixture
def world(photo_folder, trained, tmp_path, monkeypatch):
    """A home with photographs as the documents name them, in a folder that a person works in."""
    from benchmark_trees import make_benchmark
    from shard_maker import write_shard

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    pictures = sorted((photo_folder / "images").rglob("*.jpg"))
    for name in ("photos/holiday/1.jpg", "photos/holiday/2.jpg", "photos/holiday.jpg", "new.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures[len(name)], name)
    shutil.copytree(photo_folder / "images", "photos/2024")
    shutil.copy(photo_folder / "classes.txt", "classes.txt")
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            Path("by-class", split, name).mkdir(parents=True)
            shutil.copy(pictures[len(split) + len(name)], Path("by-class", split, name, "1.jpg"))
    write_shard(Path("shards/train-0.tar"), {"1.jpg": pictures[0].read_bytes(), "1.cls": "0"})
    make_benchmark(Path("data"), "voc12")
    return tmp_path


def run(ccd, where: str, command: str, more: list[str]) -> None:
    """Run a command: ``ccd-fast`` in this process, its words expanded by bash; others by bash."""
    if assigned := re.match(r"(\w+)=", command):
        shown = subprocess.run(
            ["bash", "-c", f'set -e; {command}; printf %s "${assigned[1]}"'], capture_output=True, text=True, check=True
        )
        os.environ[assigned[1]] = shown.stdout
        return
    if not command.startswith("ccd-fast "):
        subprocess.run(["bash", "-c", command], check=True, capture_output=True)
        return
    command, _, target = command.partition(" > ")
    expanded = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True)
    words = expanded.stdout.split("\0")[1:-1]
    code, out, err = ccd(*words, *more)
    allowed = (0, 1) if words[0] in MAY_FIND_FAULTS else (0,)
    assert code in allowed, f"{where}: {command}: {err}"
    if target:
        Path(target.strip()).write_text(out)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("document", DOCUMENTS[:-1], ids=lambda d: d.name)
def test_the_commands_of_a_document_run(document, world, trained, tiny_clip, ccd, monkeypatch):
    small = ["--teacher", str(tiny_clip), "--set", "teacher.batch_size=8"]
    student = [
        "--student",
        "test_resnet",
        "--student-weights",
        "none",
        "--set",
        "student.image_size=64",
        "--set",
        "train.epochs=2",
    ]
    monkeypatch.setattr(os, "environ", os.environ.copy())
    text = document.read_text(encoding="utf-8")
    for name in set(re.findall(r"\bruns/[\w-]+", text)):
        if name != "runs/mine" or TRAINED_HERE not in text:
            shutil.copytree(trained[0], name)
    for block in blocks(document):
        if block.mark:
            continue
        if block.language == "sh":
            for command in commands(block.text):
                word = command.split()[1] if command.startswith("ccd-fast ") else ""
                if command == TRAINED_HERE:
                    run(ccd, block.where, command, [*small, *student])
                elif word not in LONG and not command.startswith(
                    ("make ", "python benchmarks", "python -m", "torchrun ")
                ):
                    run(ccd, block.where, command, small if word == "label" and "--run" not in command else [])
        elif block.language == "python":
            run_python(block, tiny_clip, monkeypatch, ccd)


def run_python(block: Block, tiny_clip, monkeypatch, ccd) -> None:
    """Run an example; a training in it gives the run that is there, and labels are a small teacher's."""
    if "sys.argv[1]" in block.text:
        if "student.onnx" in block.text and not Path("runs/mine/student.onnx").exists():
            run(ccd, block.where, "ccd-fast export runs/mine", [])
        told = subprocess.run(
            [sys.executable, "-c", block.text, "new.jpg"], capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, f"{block.where}: {told.stderr}"
        return
    train, label = ccd_fast.train, ccd_fast.label

    def trained_before(*arguments, **options):
        given = inspect.signature(train).bind(*arguments, **options).arguments
        return ccd_fast.load(given["out"])

    with monkeypatch.context() as patched:
        patched.setattr("ccd_fast.api.train", trained_before)
        patched.setattr(
            "ccd_fast.api.label", lambda *a, **k: label(*a, **{"teacher": str(tiny_clip), "quiet": True, **k})
        )
        exec(compile(block.text, block.where, "exec"), {})


def test_the_data_set_of_the_example_is_read(tmp_path):
    (example,) = (b.text for b in blocks(ROOT / "docs" / "EXTENDING.md") if b.language == "python")
    for name in ("cat_0001.jpg", "boat_0010.jpg", "dog_0002.jpg"):
        (tmp_path / name).write_bytes(b"p")
    try:
        exec(compile(example, "EXTENDING.md", "exec"), {})
        train, test = (load("pets", tmp_path, split) for split in ("train", "test"))
    finally:
        DATASETS.pop("pets", None)
    assert train.paths == ("cat_0001.jpg", "dog_0002.jpg")
    assert test.truth.tolist() == [[True, False, False]]


PACKAGE = ROOT / "ccd_fast"
NAME = re.compile(r"[a-z_]+(?:\.\w+)+")
DATA = (
    ".json",
    ".csv",
    ".toml",
    ".yml",
    ".md",
    ".txt",
    ".jsonl",
    ".npy",
    ".html",
    ".safetensors",
    ".pt",
    ".onnx",
    ".pbtxt",
)
"""Endings of files that a run writes, or that a person has."""
CODE = (".py", ".cu")
FOREIGN = ("torch",)
"""Other packages whose names look alike."""


def place(name: str) -> tuple[str, list[str]]:
    """Split a dotted name into its module, as far as there are files for it, and what is to be found in there."""
    parts = name.removeprefix("ccd_fast.").split(".")
    for last in range(len(parts), 0, -1):
        path = PACKAGE.joinpath(*parts[:last])
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            return ".".join(["ccd_fast", *parts[:last]]), parts[last:]
    return "ccd_fast", parts


def found(name: str) -> object:
    """Find what a name means, at that very place; None where there is nothing."""
    module, parts = place(name)
    here = importlib.import_module(module)
    for part in parts:
        here = getattr(here, part, getattr(here, "__annotations__", {}).get(part))  # a field has no value in its class
    return here


def is_defined_there(name: str) -> bool:
    """Tell whether a class or function is written in the file that its name says, and is not handed on from another."""
    return getattr(found(name), "__module__", "") == place(name)[0]


def exists(name: str) -> bool:
    return name in config.knobs() or name.endswith(DATA) or found(name) is not None


@pytest.mark.parametrize(
    ("name", "there", "written_there"),
    [
        ("labels.bias.class_bias", True, True),
        ("ccd_fast.labels.bias.class_bias", True, True),
        ("teacher.clip.Teacher.similarities", True, True),
        ("kernels.score", True, False),  # handed on
        ("labels.table.class_bias", True, False),  # imported
        ("losses.label_loss", False, False),  # the room is missing
        ("labels.bias.class_bia", False, False),
        ("bias.class_bias", False, False),
        ("train.class_bias", False, False),
    ],
)
def test_a_name_is_looked_for_at_its_full_place_only(name, there, written_there):
    assert (exists(name), is_defined_there(name)) == (there, written_there)


def rows_of(text: str, start: str) -> list[list[str]]:
    """Give the cells of each row of the table whose head starts so."""
    table = text[text.index(start) :].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_each_equation_of_the_method_names_the_function_that_computes_it():
    rows = rows_of((ROOT / "docs" / "METHOD.md").read_text(encoding="utf-8"), "| § | what |")
    assert len(rows) > 20
    for row in rows:
        code = re.findall(r"`([^`]+)`", row[3])
        assert code, f"no function for {row[1]!r}"
        for name in code:
            assert is_defined_there(name), name
        for knob in re.findall(r"`([^`]+)`", row[4] if len(row) > 4 else ""):
            check_knob(knob)


def test_each_other_system_names_its_functions():
    rows = rows_of((ROOT / "docs" / "METHOD.md").read_text(encoding="utf-8"), "| system | told |")
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row[0])}
    assert named == set(SYSTEMS) - {"ccd"}
    for row in rows:
        code = re.findall(r"`([^`]+)`", row[3])
        assert code, row[0]
        for name in code:
            assert is_defined_there(name), name
        for knob in re.findall(r"`([^`]+)`", row[4] if len(row) > 4 else ""):
            check_knob(knob)


def test_each_difference_of_the_published_code_names_its_function():
    rows = rows_of((ROOT / "docs" / "METHOD.md").read_text(encoding="utf-8"), "| difference | code |")
    assert len(rows) > 10
    for difference, code in rows:
        names = re.findall(r"`([^`]+)`", code)
        assert names, difference
        for name in names:
            assert found(name if "." in name else f"compat.quirks.{name}") is not None, name


def check_knob(name: str) -> None:
    if name.endswith(".*"):
        assert any(knob.startswith(name[:-1]) for knob in config.knobs()), name
    elif not name.startswith("--"):
        assert name in config.knobs(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_names_of_code_exist(document):
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for said in re.findall(r"`([^`\s]+)`", text):
        name = said.partition("=")[0].partition("(")[0]
        if NAME.fullmatch(name) and not name.endswith(CODE) and name.split(".")[0] not in FOREIGN:
            assert exists(name), f"{document.name}: {name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_files_of_code_are_where_they_are_said_to_be(document):
    for name in re.findall(r"[\w./-]+\.(?:py|cu)\b", document.read_text(encoding="utf-8")):
        assert any((folder / name).is_file() for folder in (ROOT, PACKAGE, document.parent)), f"{document.name}: {name}"


def test_the_map_of_the_rooms_is_the_house():
    (drawn,) = (b.text for b in blocks(ROOT / "CONTRIBUTING.md") if b.text.startswith("floor  room"))
    rooms: dict[int, list[str]] = {}
    for line in drawn.splitlines()[1:]:
        number, room = re.match(r"\s*(\d*)\s+(\w+)\s{2,}\S", line).groups()
        rooms.setdefault(int(number) if number else min(rooms), []).append(room)
    assert list(rooms) == sorted(rooms, reverse=True), "the roof stands on top"
    assert {number: sorted(names) for number, names in rooms.items()} == {
        number: sorted(names.split()) for number, names in enumerate(FLOORS)
    }


def anchors_of(document: Path) -> list[str]:
    """Give the anchors of a document's headings, as the site makes them and as GitHub does."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    bare = [re.sub(r"[^\w\- ]", "", head.lower()).strip() for head in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return [head.replace(" ", "-") for head in bare]


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda d: d.name)
def test_an_anchor_is_the_same_on_the_site_and_on_github_and_means_one_heading(document):
    found = anchors_of(document)
    assert [anchor for anchor in found if "--" in anchor] == [], "the site makes one dash of two"
    assert len(found) == len(set(found)), "two headings of one name"


def test_the_menu_of_the_site_has_every_page():
    listed = re.findall(r"^ +- [^\n:]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(ROOT / name for name in listed) == sorted([*DOCUMENTS, ROOT / "CHANGELOG.md"])


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda d: d.name)
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = document.parent / path if path else document
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{document.name}: {link}"
