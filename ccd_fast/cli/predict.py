"""``ccd-fast predict``."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ccd_fast.cli import options

Ranked = list[tuple[str, float]]

TOP_K = 3
"""Classes shown of each photograph, at least."""


def predict(
    run: options.Run,
    paths: Annotated[list[Path], typer.Argument(metavar="PATHS…", help="Photographs, and folders of them.")],
    checkpoint: options.Checkpoint = "best",
    top_k: Annotated[int | None, typer.Option(min=1, help="Show at least this many classes of each photograph: 3.")] = None,
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
        Path | None, typer.Option(metavar="FILE", help="Write .csv or .jsonl with every class instead.")
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Label photographs with a trained student.

    Prints the likeliest classes; a photograph that cannot be read gets a line on standard error, and the exit
    code is then 2.

    Example: `ccd-fast predict runs/photos holiday/ cat.jpg --top-k 5`
    """
    import torch

    from ccd_fast import machine, trained
    from ccd_fast.errors import UserError
    from ccd_fast.predict import predict as run_student
    from ccd_fast.progress import Stages
    from ccd_fast.views import open_backend

    if out is not None and out.suffix not in (".csv", ".jsonl"):
        raise UserError(f"--out {out}: must end in .csv or .jsonl")
    if out is not None and top_k is not None:
        raise UserError("--top-k is for the table on the screen: a file of --out holds every class")
    machine.keep_freed_memory()
    model = trained.load(run, checkpoint)
    files = find(paths)
    views = model.recipe.views
    backend = open_backend(views.backend, torch.get_num_threads(), max_megapixels=views.max_megapixels)
    with Stages(Console(stderr=True)).stage("predict", len(files)) as stage:
        student = trained.at_work(model, len(files))
        seen = run_student(student, files, backend, model.recipe.student.image_size, stage)
    for row, reason in seen.unreadable.items():
        typer.echo(f"ccd-fast: {files[row]}: {reason}", err=True)
    rows = seen.readable.nonzero().flatten().tolist()
    probabilities = {files[row]: seen.probabilities[row].tolist() for row in rows}
    limit = model.recipe.evaluate.threshold if threshold is None else threshold
    if out is not None:
        text = as_csv if out.suffix == ".csv" else as_json_lines
        out.write_text(text(probabilities, model.class_names), encoding="utf-8")
    elif probabilities:
        show({file: ranked(p, model.class_names, top_k or TOP_K, limit) for file, p in probabilities.items()}, limit)
    if seen.unreadable:
        raise typer.Exit(2)


def find(paths: Sequence[Path]) -> list[Path]:
    """List the photographs that the user named, those of folders in order.

    Raises:
        UserError: a folder holds no images. A path that is not there is left for the decoder to name.
    """
    from ccd_fast.datasets.folder import find_images
    from ccd_fast.errors import UserError

    files: list[Path] = []
    for path in paths:
        inside = [path / name for name in find_images(path)] if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path}: no images in this folder")
        files += inside
    return files


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
        words = [f"[bold]{n} {p:.2f}[/bold]" if p >= threshold else f"{n} {p:.2f}" for n, p in pairs]
        table.add_row(str(file), ", ".join(words))
    Console().print(table)


def as_csv(probabilities: dict[Path, list[float]], names: Sequence[str]) -> str:
    """Give a row a photograph and a column a class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", *names])
    writer.writerows([str(file), *(f"{p:.6f}" for p in row)] for file, row in probabilities.items())
    return text.getvalue()


def as_json_lines(probabilities: dict[Path, list[float]], names: Sequence[str]) -> str:
    """Give an object a photograph: its path, and its probabilities by class."""
    rows = ({"path": str(f), "probabilities": dict(zip(names, row, strict=True))} for f, row in probabilities.items())
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
