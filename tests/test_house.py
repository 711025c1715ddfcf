"""The shape of the code: rooms whose imports go down only, small files, doors at the root."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ccd_fast"

FLOORS = (
    "errors handing",  #                    the ground: what it says of mistakes, how rooms hand on names
    "text",  #                              the ground: text as people save it
    "prompts randomness",  #                the ground
    "kernels machine",  #                   fused operations; devices, memory, processes
    "engines views runs recipes",  #        networks compiled; pixels; what a run leaves; knobs
    "teacher student datasets",  #          who looks, who learns, at what
    "doctor",  #                            what works here
    "labels evaluation",  #                 the table and its updates; how good it is
    "compat systems",  #                    the published code's behaviour; the other systems of the paper's table
    "training",  #                          a run
    "outputs bench",  #                     what is made of a trained student; how fast it all is
    "api cluster studies demo",  #          what programs call; shards on many machines; tables; the drawn world
    "report",  #                            the page of a run
    "cli",  #                               one file a command
    "__main__",
)
"""From the ground up: a room imports only from floors below its own. ``ccd_fast`` itself, its version, is below all."""

AT_THE_ROOT = {"__init__", "__main__", "api", "doctor", "errors", "handing", "prompts", "randomness", "text"}
BAGS = {"utils", "util", "helpers", "common", "misc", "shared", "base", "core"}
LINES = 350

FILES = sorted(PACKAGE.rglob("*.py"))


def floor_of(room: str) -> int:
    return next(floor for floor, rooms in enumerate(FLOORS) if room in rooms.split())


def imported_rooms(file: Path) -> set[str]:
    """The rooms that a file imports from, at its head or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert "ccd_fast" not in names or file.parts[-2] == "demo", f"{file}: import what is used, from its room"
        if isinstance(node, ast.Constant) and re.fullmatch(r"ccd_fast(\.[a-z_]+)+", str(node.value)):
            names = [node.value]  # what import_module is given
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("ccd_fast.")}
    return found - {"__version__"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_go_down_only(file):
    own = file.relative_to(PACKAGE).with_suffix("").parts[0]
    if own == "__init__":
        assert imported_rooms(file) <= {"api"}  # which it hands on, when it is asked for
        return
    for room in imported_rooms(file) - {own}:
        assert floor_of(room) < floor_of(own), f"{own} must not import from {room}"


def test_every_room_has_its_floor_and_nothing_else_stands_at_the_root():
    rooms = {folder.name for folder in PACKAGE.iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    assert rooms | AT_THE_ROOT == {*" ".join(FLOORS).split(), "__init__"}, "give a room its line in FLOORS"
    stray = {file.name for file in PACKAGE.iterdir() if file.is_file()} - {f"{name}.py" for name in AT_THE_ROOT}
    assert stray == {"py.typed"}, "a file belongs into a room (CONTRIBUTING.md)"


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda f: f.parent.name)
def test_a_room_says_what_lives_there_and_hands_names_on(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert "mports " in (ast.get_docstring(tree) or ""), "it says what it may import"
    allowed = (ast.Expr, ast.ImportFrom, ast.Assign, ast.If)
    does = [node for node in tree.body if not isinstance(node, allowed) and getattr(node, "name", "") != "__getattr__"]
    assert not does, "what does something lives in a file of its own"


def test_no_file_is_a_bag_or_longer_than_a_few_screens():
    for file in FILES:
        assert file.stem not in BAGS
        lines = len(file.read_text(encoding="utf-8").splitlines())
        assert lines <= LINES, f"{file} has {lines} lines: which of its ideas is another file?"


def test_the_tests_mirror_the_rooms():
    rooms = {*" ".join(FLOORS).split()}
    for file in (ROOT / "tests").rglob("test_*.py"):
        place = file.relative_to(ROOT / "tests").parent.as_posix()
        assert place in rooms | {"."}, file


def test_the_doors_at_the_root_lead_into_the_package():
    for door in ("engines", "kernels", "cli"):
        assert (ROOT / door).is_symlink()
        assert (ROOT / door).resolve() == PACKAGE / door


def test_no_two_test_files_share_a_name():
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names)), "pytest takes two files of one name for one module"
