"""``ccd-fast demo``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ccd_fast.cli import options
from ccd_fast.cli.train import show


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the run; made anew.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenes and of the run.")] = 0,
    scenes: Annotated[int, typer.Option(min=50, help="Training scenes; a quarter as many for testing.")] = 2000,
    set_: options.Set = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    debug: options.Debug = False,
) -> None:
    """Run the whole method on a world that the package draws itself: nothing is downloaded.

    Draws the scenes (once), lets the tiny CLIP that comes with the package label them, trains a tiny student
    from scratch, and prints what each step achieved against the truth. A toy: its figures say that the method
    works, not how well it does on photographs.

    Example: `ccd-fast demo --out runs/demo`
    """
    from ccd_fast import machine
    from ccd_fast.demo import story
    from ccd_fast.progress import Stages
    from ccd_fast.run_folder import RunFolder
    from ccd_fast.train import train

    machine.keep_freed_memory()
    folder = RunFolder(out)
    folder.check_free(resume=False, overwrite=overwrite)
    console = Console(stderr=True)
    recipe = story.recipe(seed, list(set_ or []))
    source = story.draw(seed, Stages(console), scenes, max(scenes // 4, 20))
    command = shlex.join(["ccd-fast", *sys.argv[1:]])
    summary = train(source, recipe, folder, Stages(console, folder.add_metrics), overwrite=overwrite, command=command)
    show(summary, out)
