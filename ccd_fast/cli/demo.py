"""``ccd-fast demo``."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ccd_fast.cli import next_steps, options
from ccd_fast.cli.evaluate import show_localisation
from ccd_fast.cli.report import write_or_say
from ccd_fast.cli.train import show


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder of the run; must not exist, or see --resume and --overwrite.")
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenes and of the run.")] = 0,
    parts: Annotated[
        bool,
        typer.Option("--parts", help="Also leave out one part of the method after the other: four more trainings."),
    ] = False,
    scenes: Annotated[
        int,
        typer.Option(
            min=50, help="Training scenes; a quarter as many for testing. A few hundred are too few for the student."
        ),
    ] = 2000,
    set_: options.Set = None,
    device: options.Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    json_: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Run the whole method on a world that the package draws itself: nothing is downloaded.

    Draws the scenes (once), lets the tiny CLIP that comes with the package label them, trains a tiny student, and
    writes a page on it; with --parts it also leaves out one part of the method after the other, and prints what each
    is worth. A toy: its figures say that the method works, not how well it does on photographs.

    Example: `ccd-fast demo`
    """
    from ccd_fast.runs.free import refuse_occupied

    options.refuse_at_once(device, lambda: None if resume else refuse_occupied(out, resume, overwrite))

    from ccd_fast import machine
    from ccd_fast.cli import tables
    from ccd_fast.demo import story
    from ccd_fast.runs import RunFolder
    from ccd_fast.studies import ablation, cells
    from ccd_fast.studies.variants import COMPONENTS, FULL

    machine.keep_freed_memory()
    device = options.where(device)
    folder = RunFolder(out)
    stages = options.stages()
    source = story.draw(seed, stages, scenes, max(scenes // 4, 20))
    shared = out.with_name(f".{out.name}.shared")
    if not resume:
        if folder.can_resume():
            stages.say(f"replacing the run in {out}")
        folder.remove()
        RunFolder(shared).remove()
    plan = cells.Plan(
        source=lambda seed: source,  # noqa: ARG005 - one seed
        recipe=lambda seed, overrides: story.recipe(seed, [*(set_ or []), *overrides]),
        folder=lambda row, seed: out if row == FULL else out / "without" / row.replace(" ", "-"),  # noqa: ARG005 - one seed
        stages=stages,
        device=device,
        command=shlex.join(["ccd-fast", *sys.argv[1:]]),
        shared=shared,
    )
    options.goes_on_with("the same command and --resume in place of --overwrite: what is finished is kept")
    done = cells.run_cells(plan, COMPONENTS if parts else {FULL: ()}, [seed])
    told = [f"Demo world, seed {seed}; the student starts from the weights of the package."]
    told += [f"Changed in the recipe of every row: {', '.join(set_)}."] if set_ else []
    table = ablation.components(done, notes=told)
    folder.write_text("ablation.csv", cells.as_csv(done))
    found = story.localise(out, source, stages)
    folder.write_json("localisation.json", found.record())
    summary = folder.read_json("summary.json")
    if json_:
        typer.echo(json.dumps({**summary, "ablation": table.record(), "localisation": found.record()}, indent=1))
    else:
        show(summary, out)
        tables.show([table])
        show_localisation(found)
    write_or_say(out, json_)
    if not json_:
        next_steps.after_demo(out, source.root)
