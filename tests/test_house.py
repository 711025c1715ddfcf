"""The shape of the code: arrows go down only, small files, doors at the root."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ccd_fast"

LEVELS = [
    {"", "errors", "printable", "randomness"},
    {"prompts", "within_memory", "device_streams", "hub", "shards", "tensorboard_log"},
    {"knobs"},
    {"config", "datasets", "engines", "kernels", "views", "progress", "machine", "ranks"},
    {"ceilings", "teacher", "student", "cam", "pseudo_labels", "losses", "verify"},
    {
        "prediction",
        "student_engine",
        "trainer",
        "run_folder",
        "object_boxes",
        "parity",
        "crop_cache",
        "memory",
    },
    {"keeper"},
    {"checked_engines", "view_choice"},
    {"relabel", "fit", "evaluate", "trained"},
    {"localisation", "overlays"},
    {"compat", "export"},
    {"passes"},
    {"run_state"},
    {"run_description"},
    {"training", "labelling"},
    {"label_files"},
    {"studies"},
    {"report", "model_card"},
    {"demo"},
    {"bench", "doctor", "api"},
    {"cli"},
    {"__main__"},
]
"""Each part may import those of the lines above it."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    return module.removeprefix("ccd_fast").lstrip(".").split(".")[0]


def level_of(part: str) -> int:
    return next(level for level, parts in enumerate(LEVELS) if part in parts)


def imported_parts(file: Path) -> set[str]:
    """The parts of ccd_fast that a file imports, at its head or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ccd_fast":
            names = [alias.name for alias in node.names]
            is_part = {name for name in names if (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()}
            found |= is_part if node.module == "ccd_fast" else {part_of(node.module or "")}
    return found


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_go_down_only(file):
    own = file.relative_to(PACKAGE).with_suffix("").parts[0].replace("__init__", "")
    door = {"api"} if own == "" else set()  # the package itself hands its functions on, when they are asked for
    for part in imported_parts(file) - {own} - door:
        assert level_of(part) < level_of(own), f"{own} must not import {part}"


def test_the_doors_at_the_root_lead_into_the_package():
    for door in ("engines", "kernels", "cli"):
        assert (ROOT / door).is_symlink()
        assert (ROOT / door).resolve() == PACKAGE / door


def test_no_file_is_a_bag_or_longer_than_a_few_screens():
    for file in MODULES:
        assert file.stem not in ("utils", "util", "helpers", "common", "misc")
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 350, file


def test_no_two_test_files_share_a_name():
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names)), "pytest takes two files of one name for one module"
