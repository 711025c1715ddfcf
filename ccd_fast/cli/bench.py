"""``ccd-fast bench``: one sub-command a benchmark."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import bench_relabel, bench_train, options, screen

if TYPE_CHECKING:
    from ccd_fast.bench.engine import Row
    from ccd_fast.bench.kernels import Rate

app = typer.Typer(
    help="Measure what each part does a second on this machine, beside what the machine could do at most.",
    rich_markup_mode="markdown",
)
app.command("relabel")(bench_relabel.relabel)
app.command("train")(bench_train.train)


@app.callback()
def _group() -> None:
    """Measure what each part does a second on this machine, beside what the machine could do at most."""


@app.command("engine")
def engine(
    teacher: Annotated[
        str,
        typer.Option(metavar="NAME|FOLDER", help="As for train; or ARCHITECTURE/random, as speed needs no weights."),
    ] = "ViT-B-32/random",
    image_size: Annotated[int | None, typer.Option(min=16, help="Side of the square input in pixels.")] = None,
    runtime: Annotated[
        list[str] | None, typer.Option(help="Runtime to measure; may be repeated. All, if none.")
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="fp32, fp16 or bf16; may be repeated. fp32 on a CPU, all on a GPU, if none."),
    ] = None,
    batch_size: Annotated[list[int] | None, typer.Option(min=1, help="Views in a call; may be repeated.")] = None,
    device: options.Device = "auto",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure a teacher's image tower: images/s and FLOP/s, beside what a matrix product reaches in the same run.

    Example: `ccd-fast bench engine --teacher RN50/random --batch-size 1 --batch-size 16`
    """
    options.refuse_taken(out, overwrite)
    from ccd_fast import engines
    from ccd_fast.bench import engine as library
    from ccd_fast.teacher import load_clip

    device = options.where(device)
    clip = load_clip(teacher, image_size or "native")
    runtimes = options.each_of(runtime or list(engines.RUNTIMES), engines.RUNTIMES, "--runtime")
    default = ["fp32"] if device == "cpu" else list(engines.PRECISIONS)
    precisions = options.each_of(precision or default, engines.PRECISIONS, "--precision")
    options.tell_where()
    rows, refused, ceilings = library.bench(
        clip.tower,
        runtimes,
        precisions,  # type: ignore[arg-type]
        batch_size or [16],
        device,
        engines.Store(),
        repeats,
    )
    work = library.operations(clip.tower)
    name = Path(clip.name).name if Path(clip.name).is_dir() else clip.name
    facts = {"teacher": name, "image_size": clip.tower.image_size, "flop_per_image": work, "device": device}
    results = {"matmul_flops": ceilings, "rows": [row.record() for row in rows], "not_measured": refused}
    if not json_:
        title = f"{clip.name}, {clip.tower.image_size} px, {work / 1e9:.2f} GFLOP an image, on {device}"
        show_engine(title, rows, ceilings, refused, repeats)
    options.give({**facts, **results}, out, json_)


def show_engine(
    title: str, rows: "list[Row]", ceilings: dict[str, float], refused: dict[str, str], repeats: int
) -> None:
    """Print the rates of the engines as a table, and what they are compared with in lines."""
    table = Table(title=Text(title))
    for column in ("engine", "batch", "images/s", "GFLOP/s", "of matmul", "ready, s"):  # 80 columns hold them
        table.add_column(column, justify="left" if column == "engine" else "right", no_wrap=True)
    for row in rows:
        figures = (
            f"{row.images_per_second:.1f}",
            f"{row.flops / 1e9:.0f}",
            f"{row.of_matmul:.0%}",
            f"{row.ready_s:.1f}",
        )
        table.add_row(f"{row.runtime} {row.precision}", str(row.batch_size), *figures)
    console = screen.console()
    screen.show(table)
    for name, rate in ceilings.items():
        console.print(f"matrix product, {name}: {rate / 1e9:.0f} GFLOP/s; medians of {repeats}")
    for name, why in refused.items():
        console.print(f"not measured: {name}: {why}", markup=False)


@app.command("decode")
def decode(
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of photographs; by default scenes of the demo world, drawn once.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Images at most.")] = 512,
    image_size: Annotated[int, typer.Option(min=16, help="Side of the views in pixels.")] = 224,
    batch_size: Annotated[int, typer.Option(min=1, help="Images decoded at a time.")] = 32,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; by default those of torch.")] = None,
    views: Annotated[
        list[str] | None,
        typer.Option(help="Backend to measure, dali or pillow; may be repeated. All that are installed, if none."),
    ] = None,
    device: options.Device = "auto",
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure reading, decoding, whole views, crops and training views, for each installed backend.

    Medians of five rounds in which everything takes turns. `of bare` is the rate as a share of what the library
    alone decodes a second from bytes in memory.

    Example: `ccd-fast bench decode --data-root photos`
    """
    options.refuse_taken(out, overwrite)
    import torch

    from ccd_fast.bench.decode import Load, measure_decode, readable
    from ccd_fast.datasets.listing import find_images
    from ccd_fast.demo import drawing
    from ccd_fast.errors import UserError
    from ccd_fast.runs import Stages
    from ccd_fast.views import installed_backends, open_backend

    device = options.where(device)
    names = options.each_of(views or installed_backends(), installed_backends(), "--views")
    count = threads or torch.get_num_threads()
    backend = open_backend(names[0], count, device)
    root = data_root or drawing.draw(0, Stages(Console(stderr=True)), images, 0).root
    if not root.is_dir():
        raise UserError(f"--data-root {root}: no such folder")
    files = tuple(root / path for path in find_images(root)[:images])
    kept = readable(files, backend, batch_size)
    if not kept:
        raise UserError(f"--data-root {root}: no image in it that can be read")
    options.tell_where()
    result = measure_decode(Load(kept, batch_size, image_size, count, device), names)
    if not json_:
        show_decode(result)
    if len(kept) < len(files):
        options.warn(f"{len(files) - len(kept)} images that cannot be read were left out")
    options.give({"benchmark": "decode", **result}, out, json_)


def show_decode(result: dict[str, Any]) -> None:
    """Print the rates as a table."""
    megabytes = result["bytes"] / 1e6
    title = f"{result['images']} images, {megabytes:.1f} MB, {result['threads']} threads, {result['device']}"
    table = Table(title=title)
    for column in ("backend", "task"):
        table.add_column(column)
    for column in ("a second", "of bare"):
        table.add_column(column, justify="right")
    for row in result["results"]:
        share = f"{100 * row['ratio_to_bare']:.0f}%" if "ratio_to_bare" in row else ""
        table.add_row(row["backend"], row["task"], f"{row['per_s']:.0f}", share)
    screen.show(table)


@app.command("kernels")
def kernels(
    device: Annotated[str, typer.Option(help="cpu (the NumPy twins), cuda, cuda:N (the kernels) or auto.")] = "auto",
    rows: Annotated[
        int | None, typer.Option(min=1, help="Images N; by default 160,000 on a GPU and 4,000 on a CPU.")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes C.")] = 81,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count; the median is given.")] = 5,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure the kernels: rows/s, GB/s that must move at least, and their share of a plain copy's rate.

    Example: `ccd-fast bench kernels --device cuda --out kernels.json`
    """
    options.refuse_taken(out, overwrite)
    from ccd_fast.bench import kernels as suite

    device = options.where(device)
    place = suite.check_device(device)
    count = rows or suite.ROWS[place.type]
    options.tell_where()
    rates = suite.bench(place, count, classes, repeats)
    shape = {"device": device, "images": count, "classes": classes, "sets": suite.SETS}
    if not json_:
        show_kernels(rates, shape, device == "cpu" and rows is None)
    copied = {"copy_gb_per_s": rates[0].copy_rate / 1e9}
    options.give({**shape, **copied, "kernels": [rate.record() for rate in rates]}, out, json_)


def show_kernels(rates: "list[Rate]", shape: dict[str, Any], fewer: bool) -> None:
    """Print the rates of the kernels as a table."""
    from ccd_fast.bench.kernels import ROWS

    runs = "the NumPy twins" if shape["device"] == "cpu" else "the CUDA kernels"
    more = f" (a GPU gets {ROWS['cuda']:,})" if fewer else ""
    title = f"{shape['device']}: {runs}, {shape['images']:,} images{more}, {shape['classes']} classes, "
    table = Table(title=f"{title}{shape['sets']} sets in rotation")
    table.add_column("kernel")
    for column in ("rows (maps)/s", "GB/s", "% of copy"):
        table.add_column(column, justify="right")
    for rate in rates:
        figures = (f"{rate.rows_a_second:,.0f}", f"{rate.bytes_a_second / 1e9:.3g}", f"{100 * rate.share_of_copy:.3g}")
        table.add_row(rate.case.name, *figures)
    table.add_section()
    table.add_row("copy", "", f"{rates[0].copy_rate / 1e9:.3g}", "100")
    screen.show(table)
