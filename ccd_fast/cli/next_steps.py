"""What to do next, once a run has ended."""

import shlex
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
