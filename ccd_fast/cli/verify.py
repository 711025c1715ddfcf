"""``ccd-fast verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import options, screen
from ccd_fast.errors import printable

if TYPE_CHECKING:
    from ccd_fast.datasets.verify import Report


def verify(
    data_root: Annotated[Path, typer.Option(help="Folder that holds the data set.")],
    dataset: options.Dataset = "folder",
    classes: options.Classes = None,
    truth: options.Truth = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only look whether the files are there; decode none.")] = False,
    subset: Annotated[
        bool, typer.Option("--subset", help="A part of the official images is meant: do not compare their number.")
    ] = False,
    device: options.Device = "auto",
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check a data set on disk: missing and unreadable images, counts, duplicates, labels by class.

    Images are decoded as a run decodes them. What is passed over is told.

    The exit code is 0 if all is well, 1 if something is wrong, 2 if there is no such data set.

    Example: `ccd-fast verify --dataset voc12 --data-root data`
    """
    import os

    from ccd_fast.datasets import Source

    source = Source(dataset, data_root, classes, truth)
    options.refuse_at_once(device, source.check)  # before anything large is loaded

    from ccd_fast.datasets.verify import verify as check

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    place = options.where(device)
    stages = options.stages()
    report = check(source, stages, threads, quick, subset, place)
    if json_:
        typer.echo(json.dumps(report.record(), indent=2))
    else:
        show(report)
    if report.problems:
        raise typer.Exit(1)


def show(report: Report) -> None:
    """Print a report as tables, and what is wrong below them."""
    console = screen.console()
    table = Table(title=Text(printable(f"{report.dataset} in {report.root}")))
    table.add_column("images")
    official: dict[str, list[object]] = {}
    if any(s.official is not None for s in report.splits):
        official["in the official split"] = ["" if s.official is None else s.official for s in report.splits]
    rows: dict[str, list[object]] = {
        "in the folder" if report.dataset == "folder" else "named by the annotations": [
            s.images for s in report.splits
        ],
        **official,
        "missing": [len(s.missing) for s in report.splits],
        "with transparency, put on white": ["not tried" if report.quick else s.transparent for s in report.splits],
        "cannot be decoded": ["not tried" if report.quick else len(s.unreadable) for s in report.splits],
        "named more than once": [len(s.listed_twice) for s in report.splits],
        "without a label": [s.without_label for s in report.splits],
        "labels not known": [s.unknown for s in report.splits],
        "ground-truth boxes": ["none" if s.boxes is None else s.boxes for s in report.splits],
    }
    for split in report.splits:
        table.add_column(split.split, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *(str(cell) for cell in cells))
    screen.show(table)
    labels = Table(title="images by class")
    labels.add_column("class")
    for split in report.splits:
        labels.add_column(split.split, justify="right")
    for name in dict.fromkeys(name for split in report.splits for name in split.labels):
        labels.add_row(Text(printable(name)), *(str(split.labels.get(name, "")) for split in report.splits))
    if labels.row_count:
        screen.show(labels)
    if report.same_content:
        example = " and ".join(report.same_content[0][:2])
        groups = "1 group" if len(report.same_content) == 1 else f"{len(report.same_content)} groups"
        _say(console, f"note: {groups} of files with the same bytes, for example {example}")
    for line in report.passed_over:
        _say(console, f"note: {line}")
    for problem in report.problems:
        _say(console, f"wrong: {problem}")
    _say(console, "something is wrong; --json lists every path" if report.problems else "all is well")


def _say(console: Console, text: str) -> None:
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
