"""What to do next, once a run has ended."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import typer


def after_training(run: Path, has_truth: bool) -> None:
    """Say what a trained student is good for."""
    name, truth = shlex.quote(str(run)), "" if has_truth else " --truth FILE"
    _tell(
        ("label other photographs", f"ccd-fast predict {name} PHOTOGRAPHS"),
        ("correct its labels", f"ccd-fast review {name}"),
        ("was it worth it?", f"ccd-fast evaluate {name}{truth}"),
        ("use it elsewhere", f"ccd-fast export {name}"),
    )


def after_labels(given: Sequence[str]) -> None:
    """Say how labels become a classifier, and where they can be corrected; ``given`` names the photographs."""
    _tell(
        ("a classifier of them", shlex.join(["ccd-fast", "train", *given, "--out", "runs/mine"])),
        ("labels to correct", "ccd-fast review runs/mine, a page, once it is trained"),
    )


def after_review(run: Path) -> str:
    """Give the command that trains again, with what was corrected: the run's data set and recipe, and a new folder."""
    from ccd_fast.runs import json_files

    described = json_files.read(run, "run.json")
    files = {"--data-root": "root", "--classes": "classes", "--truth": "truth", "--boxes": "boxes"}
    words = [] if described["dataset"] == "folder" else ["--dataset", described["dataset"]]
    for option, key in files.items():
        words += [option, _from_here(Path(described[key]))] if described.get(key) else []
    name = run.resolve().name
    words += ["--recipe", str(run / "recipe.toml"), "--known", f"{name}-corrections.csv"]
    return shlex.join(["ccd-fast", "train", *words, "--out", str(run.parent / f"{name}-corrected")])


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def after_demo(run: Path, scenes: Path) -> None:
    """Say how to look at the demo, and how to go on with photographs of one's own."""
    name, some = shlex.quote(str(run)), shlex.quote(str(scenes / "images" / "test"))
    _tell(
        ("look", f"open {name}/report.html in a browser: the labels with examples, and what the updates changed"),
        ("label other scenes", f"ccd-fast predict {name} {some} --out predictions.csv"),
        ("your own photographs", "ccd-fast label --data-root FOLDER --classes FILE --out labels.csv (see the README)"),
    )


def _tell(*steps: tuple[str, str]) -> None:
    typer.echo("next:")
    for what, how in steps:
        typer.echo(f"  {what + ':':<25}{how}")
