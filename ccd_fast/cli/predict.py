"""``ccd-fast predict``."""

import glob
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import options, screen
from ccd_fast.errors import printable

if TYPE_CHECKING:
    from ccd_fast.outputs import Trained
    from ccd_fast.views import ViewBackend

Ranked = list[tuple[str, float]]

TOP_K = 3
"""Classes shown of each photograph, at least."""


def predict(
    run: options.Run,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS…",
            help="Photographs, folders of them, tar shards, patterns in quotes ('2024*/*.jpg'), - for a list on "
            "standard input.",
        ),
    ],
    checkpoint: options.Checkpoint = "best",
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Show at least this many classes of each photograph: 3.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Show every class from this probability on; by default the recipe's evaluate.threshold, 0.5 in every "
            "built-in recipe.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write .csv, .jsonl or .parquet with every class instead.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out.")] = False,
    overlays: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Draw the class activation maps of the classes that are shown, a PNG each."
        ),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a photograph, with every class, instead of a table.")
    ] = False,
    device: options.Device = "auto",
    debug: options.Debug = False,
) -> None:
    """Label photographs with a trained student.

    Prints the likeliest classes; a photograph that cannot be read gets a line on standard error, and the exit
    code is then 2.

    Example: `ccd-fast predict runs/photos holiday/ cat.jpg --top-k 5`
    """
    from ccd_fast.errors import UserError
    from ccd_fast.runs.free import refuse_no_run
    from ccd_fast.runs.writing import refuse_existing, write_whole

    if out is not None and out.suffix not in FILES:
        raise UserError(f"--out {out}: must end in {', '.join(FILES)}")
    if out is not None:
        refuse_existing("--out", [out], overwrite)
    if out is not None and top_k is not None:
        raise UserError("--top-k is for the table on the screen: a file of --out holds every class")
    refuse_no_run(run)  # before anything large is loaded

    import torch

    from ccd_fast import machine
    from ccd_fast.datasets.listing import is_writable
    from ccd_fast.outputs import trained
    from ccd_fast.runs import Stages
    from ccd_fast.student import Reading
    from ccd_fast.student import predict as run_student
    from ccd_fast.views import open_backend

    device = options.where(device)
    machine.keep_freed_memory()
    model = trained.load(run, checkpoint)
    files, gone = find(paths, sys.stdin)
    for path in gone:
        options.warn(f"{path}: no such file" if is_writable(path) else f"{path}: its name is not UTF-8: rename it")
    if not files:
        raise typer.Exit(2)
    views = model.recipe.views
    backend = open_backend(views.backend, torch.get_num_threads(), device, views.max_megapixels)
    student = trained.at_work(model, len(files), device)
    with Stages(Console(stderr=True), opening=options.opening()).stage("predict", len(files)) as stage:
        seen = run_student(student, files, Reading(backend), model.recipe.student.image_size, stage)
    for row, reason in seen.unreadable.items():
        options.warn(f"{files[row]}: {reason}")
    rows = seen.readable.nonzero().flatten().tolist()
    probabilities = {files[row]: seen.probabilities[row].tolist() for row in rows}
    limit = model.recipe.evaluate.threshold if threshold is None else threshold
    if out is not None:
        write_whole(out, FILES[out.suffix](probabilities, model.class_names))
        typer.echo(f"written to {out}", err=True)
    found = {file: ranked(p, model.class_names, top_k or TOP_K, limit) for file, p in probabilities.items()}
    if json_:
        typer.echo(as_json_lines(probabilities, model.class_names).decode(), nl=False)
    elif out is None and found:
        show(found, limit)
    if overlays is not None:
        draw(model, backend, found, overlays)
    if seen.unreadable or gone:
        raise typer.Exit(2)


def find(named: Sequence[str], listed: TextIO) -> tuple[list[Path], list[str]]:
    """List the photographs that the user named, those of folders, shards and patterns in order; and what is not there.

    Args:
        named: files, folders, tar shards, patterns, and ``-`` for the lines of ``listed``.
        listed: a path a line.

    Raises:
        UserError: a folder or shard holds no images, or a pattern fits nothing.
    """
    from ccd_fast.datasets import photographs
    from ccd_fast.datasets.listing import is_writable
    from ccd_fast.errors import UserError
    from ccd_fast.views.shards import place

    files: list[Path] = []
    gone: list[str] = []
    lines = [line for line in listed.read().splitlines() if line.strip()] if "-" in named else []
    if "-" in named and not lines:
        raise UserError("-: no path on standard input")
    for name in (line for word in named for line in (lines if word == "-" else [word])):
        path = Path(name)
        if not is_writable(name):
            gone.append(name)
        elif path.exists() or place(path) is not None:
            files += photographs(path)
        elif glob.has_magic(name):
            fitting = [Path(file) for file in sorted(glob.glob(name, recursive=True)) if Path(file).is_file()]  # noqa: PTH207
            if not fitting:
                raise UserError(f"{name}: no file fits this pattern")
            files += [file for each in fitting for file in photographs(each)]
        else:
            gone.append(name)
    return files, gone


def draw(model: "Trained", backend: "ViewBackend", found: dict[Path, Ranked], folder: Path) -> None:
    """Write ``FOLDER/NAME-CLASS.png`` for each photograph and class that is shown."""
    from ccd_fast.outputs import overlays

    folder.mkdir(parents=True, exist_ok=True)
    drawn = overlays.draw(model, backend, {file: [name for name, _ in pairs] for file, pairs in found.items()}, folder)
    typer.echo(f"{drawn} overlays in {folder}", err=True)


def ranked(probabilities: Sequence[float], names: Sequence[str], top_k: int, threshold: float) -> Ranked:
    """Give the likeliest ``top_k`` classes, and every other one from the threshold on, likeliest first."""
    by_probability = sorted(zip(names, probabilities, strict=True), key=lambda pair: -pair[1])
    return [pair for place, pair in enumerate(by_probability) if place < top_k or pair[1] >= threshold]


def show(predictions: dict[Path, Ranked], threshold: float) -> None:
    """Print a table; classes from the threshold on are bold."""
    table = Table()
    table.add_column("photograph", overflow="fold")
    table.add_column(f"classes (bold: probability >= {threshold:g})")
    for file, pairs in predictions.items():
        words = Text(", ").join(Text(f"{printable(n)} {p:.2f}", "bold" if p >= threshold else "") for n, p in pairs)
        table.add_row(Text(printable(str(file))), words)
    screen.show(table)


def as_csv(probabilities: dict[Path, list[float]], names: Sequence[str]) -> bytes:
    """Give a row a photograph and a column a class."""
    from ccd_fast.outputs.label_files import columns_of
    from ccd_fast.text import as_csv as written

    rows = ([str(file), *(f"{p:.6f}" for p in row)] for file, row in probabilities.items())
    return written([["path", *columns_of(names)], *rows]).encode()


def as_json_lines(probabilities: dict[Path, list[float]], names: Sequence[str]) -> bytes:
    """Give an object a photograph: its path, and its probabilities by class."""
    rows = ({"path": str(f), "probabilities": dict(zip(names, row, strict=True))} for f, row in probabilities.items())
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_parquet(probabilities: dict[Path, list[float]], names: Sequence[str]) -> bytes:
    """Give a row a photograph and a column a class, float32."""
    import pyarrow
    import pyarrow.parquet

    from ccd_fast.outputs.label_files import columns_of

    columns = [pyarrow.array([str(file) for file in probabilities])]
    columns += [pyarrow.array([row[c] for row in probabilities.values()], pyarrow.float32()) for c in range(len(names))]
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(columns, names=["path", *columns_of(names)]), file)
    return file.getvalue()


FILES = {".csv": as_csv, ".jsonl": as_json_lines, ".parquet": as_parquet}
"""What ``--out`` writes, by the file's ending."""
