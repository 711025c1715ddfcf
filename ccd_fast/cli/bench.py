"""``ccd-fast bench``: one sub-command a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ccd_fast.cli import options

app = typer.Typer(
    help="Measure what each part does a second on this machine, beside what the machine could do at most.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command("kernels")
def kernels(
    device: Annotated[str, typer.Option(help="cpu (the NumPy twins) or cuda (the CUDA kernels).")] = "cpu",
    rows: Annotated[
        int | None, typer.Option(min=1, help="Images N; by default 160,000 on a GPU and 4,000 on a CPU.")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes C.")] = 81,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count; the median is given.")] = 5,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results there as JSON.")] = None,
    debug: options.Debug = False,
) -> None:
    """Measure the kernels: rows/s, GB/s that must move at least, and their share of a plain copy's rate.

    Example: `ccd-fast bench kernels --device cuda --out kernels.json`
    """
    from rich.console import Console
    from rich.table import Table

    from ccd_fast.bench import kernels as suite
    from ccd_fast.bench import measure

    place = suite.check_device(device)
    count = rows or suite.ROWS[device]
    rates = suite.bench(place, count, classes, repeats)
    runs = "the NumPy twins" if device == "cpu" else "the CUDA kernels"
    fewer = f" (a GPU gets {suite.ROWS['cuda']:,})" if device == "cpu" and rows is None else ""
    table = Table(title=f"{device}: {runs}, {count:,} images{fewer}, {classes} classes, {suite.SETS} sets in rotation")
    table.add_column("kernel")
    for column in ("rows (maps)/s", "GB/s", "% of copy"):
        table.add_column(column, justify="right")
    for rate in rates:
        figures = (f"{rate.rows_a_second:,.0f}", f"{rate.bytes_a_second / 1e9:.3g}", f"{100 * rate.share_of_copy:.3g}")
        table.add_row(rate.case.name, *figures)
    table.add_section()
    table.add_row("copy", "", f"{rates[0].copy_rate / 1e9:.3g}", "100")
    Console().print(table)
    if out is not None:
        shape = {"device": device, "images": count, "classes": classes, "sets": suite.SETS}
        copied = {"copy_gb_per_s": rates[0].copy_rate / 1e9}
        measure.save({**shape, **copied, "kernels": [rate.record() for rate in rates]}, out)
        typer.echo(f"written to {out}")
