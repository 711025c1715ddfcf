"""``ccd-fast build-engines``."""

import time
from typing import Annotated

import typer

from ccd_fast.cli import options


def build_engines(
    teacher: options.Teacher = None,
    image_size: Annotated[
        int | None, typer.Option(min=16, help="Side of the square input in pixels; by default the teacher's own.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build it anew even if it is there.")] = False,
    recipe: options.Recipe = "folder",
    set_: options.Set = None,
    debug: options.Debug = False,
) -> None:
    """Export a teacher's image tower once, so that runs start at once. `train` does it too where it is missing.

    Engines are kept under `$CCD_CACHE`, by default `~/.cache/ccd_fast`.

    Example: `ccd-fast build-engines --teacher ViT-B-32/laion2b_s34b_b79k`
    """
    from ccd_fast import config, engines
    from ccd_fast.teacher import load_clip

    overrides = list(set_ or [])
    named = {"teacher.model": teacher, "teacher.image_size": image_size}
    overrides += [f"{k}={v if isinstance(v, int) else options.quoted(v)}" for k, v in named.items() if v is not None]
    knobs = config.load(recipe, overrides).teacher
    clip = load_clip(knobs.model, knobs.image_size)
    start = time.perf_counter()
    folder, fresh = engines.build(clip.tower, engines.Store(), force)
    done = f"built in {time.perf_counter() - start:.1f} s" if fresh else "was there already"
    typer.echo(f"{clip.name}, {clip.tower.image_size} px, ONNX: {done}: {folder}")
