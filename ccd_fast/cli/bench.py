"""``ccd-fast bench``: one sub-command a benchmark."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ccd_fast.cli import options

app = typer.Typer(
    help="Measure what each part does a second on this machine, beside what the machine could do at most.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures as JSON, with machine and versions.")]


@app.command("engine")
def engine(
    teacher: Annotated[
        str,
        typer.Option(metavar="NAME|FOLDER", help="As for train; or ARCHITECTURE/random, as speed needs no weights."),
    ] = "ViT-B-32/random",
    image_size: Annotated[int | None, typer.Option(min=16, help="Side of the square input in pixels.")] = None,
    runtime: Annotated[list[str] | None, typer.Option(help="Runtime to measure; may be repeated. All, if none.")] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="fp32, fp16 or bf16; may be repeated. fp32 on a CPU, all on a GPU, if none.")
    ] = None,
    batch_size: Annotated[list[int] | None, typer.Option(min=1, help="Views in a call; may be repeated.")] = None,
    device: options.Device = "cpu",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    out: Out = None,
    debug: options.Debug = False,
) -> None:
    """Measure a teacher's image tower: images/s and FLOP/s, beside what a matrix product reaches in the same run.

    Example: `ccd-fast bench engine --teacher RN50/random --batch-size 1 --batch-size 16`
    """
    from ccd_fast import engines, machine
    from ccd_fast.bench import engine as library
    from ccd_fast.bench import measure
    from ccd_fast.teacher import load_clip

    machine.check_device(device)
    clip = load_clip(teacher, image_size or "native")
    runtimes = options.each_of(runtime or list(engines.RUNTIMES), engines.RUNTIMES, "--runtime")
    default = ["fp32"] if device == "cpu" else list(engines.PRECISIONS)
    precisions = options.each_of(precision or default, engines.PRECISIONS, "--precision")
    rows, refused, ceilings = library.bench(
        clip.tower, runtimes, precisions, batch_size or [16], device, engines.Store(), repeats  # type: ignore[arg-type]
    )
    work = library.operations(clip.tower)
    table = Table(title=f"{clip.name}, {clip.tower.image_size} px, {work / 1e9:.2f} GFLOP an image, on {device}")
    for column in ("runtime", "precision", "batch", "images/s", "ms a batch", "GFLOP/s", "of matmul", "ready, s"):
        table.add_column(column, justify="left" if column in ("runtime", "precision") else "right")
    for row in rows:
        figures = (f"{row.images_per_second:.1f}", f"{1e3 * row.timing.median:.2f}", f"{row.flops / 1e9:.0f}")
        table.add_row(
            row.runtime, row.precision, str(row.batch_size), *figures, f"{row.of_matmul:.0%}", f"{row.ready_s:.1f}"
        )
    console = Console()
    console.print(table)
    for name, rate in ceilings.items():
        console.print(f"matrix product, {name}: {rate / 1e9:.0f} GFLOP/s; medians of {repeats}")
    for name, why in refused.items():
        console.print(f"not measured: {name}: {why}", markup=False)
    if out is not None:
        facts = {"teacher": clip.name, "image_size": clip.tower.image_size, "flop_per_image": work, "device": device}
        results = {"matmul_flops": ceilings, "rows": [row.record() for row in rows], "not_measured": refused}
        measure.save({**facts, **results}, out)
        console.print(f"written to {out}")
