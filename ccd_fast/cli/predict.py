"""``ccd-fast predict``."""

import glob
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import on_ray, options, screen
from ccd_fast.errors import printable
from ccd_fast.text import photographs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ccd_fast.outputs import Labelled, Trained
    from ccd_fast.views import ViewBackend

Ranked = list[tuple[str, float]]

SHOWN = 3
"""Classes shown of each photograph, at least, where nobody says how many."""


def predict(
    run: options.Run,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS…",
            help="Photographs, folders of them, tar shards, patterns in quotes ('2024*/*.jpg'), - for a list on "
            "standard input, a path a line, or parted by NUL as `find -print0` does.",
        ),
    ],
    checkpoint: options.Checkpoint = "best",
    top_k: Annotated[
        int | None, typer.Option(min=1, help="So many classes a photograph at most: the likeliest.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Classes from this probability on, and no others; by default the recipe's evaluate.threshold: in "
            "most, what the run has chosen.",
        ),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Student and teacher together, for those who can afford the teacher.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write labels, and the probability of every class, instead: .csv, .jsonl, .parquet, or .json with "
            "--format; paths are relative to the folder that was named.",
        ),
    ] = None,
    format_: options.LabelFormat = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --out, and pictures in the folder of --overlays.")
    ] = False,
    overlays: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Draw the class activation maps of the classes that are shown, a PNG each."
        ),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a photograph, with every class, instead of a table.")
    ] = False,
    on: on_ray.On = None,
    incremental: on_ray.Incremental = False,
    actors: on_ray.Actors = None,
    cpus_per_actor: on_ray.CpusPerActor = 1.0,
    gpus_per_actor: on_ray.GpusPerActor = None,
    keep_top: on_ray.KeepTop = None,
    device: options.Device = "auto",
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Label photographs with a trained student.

    A photograph's labels are the classes from the threshold on; with --top-k alone its likeliest, however likely. Where
    neither is given, the table shows the three likeliest beside them. A file of --out is like that of `label`: CSV,
    Parquet and JSON lines can be given to `--truth`. A photograph that cannot be read gets a line on standard error,
    and the exit code is then 2.

    Example: `ccd-fast predict runs/photos holiday/ cat.jpg --top-k 5`
    """
    from ccd_fast.cli.label_formats import format_of, refuse_elsewhere, refuse_taken
    from ccd_fast.errors import UserError
    from ccd_fast.runs.free import refuse_no_run
    from ccd_fast.runs.writing import refuse_foreign_folder

    on_ray.refuse_without(on, incremental=incremental, actors=actors, gpus_per_actor=gpus_per_actor, keep_top=keep_top)
    if format_ is not None and out is None:
        raise UserError("--format is of --out: give --out FILE")
    if on is not None:
        on_ray.refuse_with(on, format=format_, ensemble=ensemble, overlays=overlays)
    kind = None if out is None or on is not None else format_of(out, format_)
    options.refuse_at_once(  # before anything large is loaded
        device if on is None else "cpu",  # the cluster's machines have devices of their own
        lambda: refuse_no_run(run),
        lambda: None if out is None or kind is None else refuse_taken(kind, out, overwrite),
        lambda: None if overlays is None else refuse_foreign_folder("--overlays", overlays, overwrite),
    )
    if on is not None:
        asked = on_ray.Asked(
            on, incremental, overwrite, actors, cpus_per_actor, gpus_per_actor, device, keep_top, json_
        )
        on_ray.predict(asked, run, paths, checkpoint, out, top_k, threshold)
        return
    from ccd_fast.datasets.listing import is_writable
    from ccd_fast.recipes import config

    files, gone = find(paths, sys.stdin)
    for path in gone:
        options.warn(f"{path}: no such file" if is_writable(path) else f"{path}: its name is not UTF-8: rename it")
    if not files:
        raise typer.Exit(2)
    options.decode_early(device, config.of_run(run).views.backend)

    import numpy as np
    import torch

    from ccd_fast import machine
    from ccd_fast.outputs import Labelled, decisions, held_names, label_files, labelling, teacher_looks, trained
    from ccd_fast.student import Reading
    from ccd_fast.student import predict as run_student
    from ccd_fast.views import open_backend

    device = options.where(device)
    machine.keep_freed_memory()
    model = trained.load_late(run, checkpoint)
    views = model.recipe.views
    backend = open_backend(views.backend, torch.get_num_threads(), device, views.max_megapixels)
    root = folder_of(paths, files)
    if out is not None and kind is not None:
        refuse_elsewhere(kind, out, root)
    images = teacher_looks.images_at(model, run, root, [Path(os.path.relpath(file, root)).as_posix() for file in files])
    if kind is not None:
        held_names.refuse(kind, root, images.paths)
        held_names.refuse_classes(kind, images.class_names)
    stages = options.stages()
    with stages.stage("predict", len(files)) as stage:
        student = trained.at_work(model, len(files), device)
        seen = run_student(student, files, Reading(backend), model.recipe.student.image_size, stage)
    for row, reason in seen.unreadable.items():
        options.warn(f"{files[row]}: {reason}")
    table, readable, by = model.calibrated(seen.probabilities), seen.readable, f"student of {run.resolve().name}"
    if ensemble:
        looks = teacher_looks.look(model.recipe, images, stages, device)
        table = teacher_looks.together(seen.probabilities, teacher_looks.debiased(run, model.recipe, looks.scores))
        readable, by = readable & looks.readable, f"{by} together with its teacher"
    limits = model.thresholds(threshold, raw=ensemble).numpy()
    own = model.thresholds(raw=ensemble).numpy() if model.has_thresholds else limits
    labelled = Labelled(images, table, readable, seen.unreadable, by, own)
    least = np.zeros_like(limits) if top_k is not None and threshold is None else limits
    decided = labelling.chosen(labelled, least)
    if top_k is not None:
        decided = decisions.likeliest(labelled, decided, top_k)
    if out is not None and kind is not None:
        written = label_files.write(labelled, decided, kind, out)
        typer.echo(f"written to {', '.join(map(str, written))}; paths are relative to {root}", err=True)
    shown = decided
    if top_k is None and threshold is None:
        every = labelling.chosen(labelled, np.zeros(len(model.class_names), dtype=np.float32))
        shown = decided | decisions.likeliest(labelled, every, SHOWN)
    found = ranked(labelled, shown, files)
    if json_:
        typer.echo(as_objects(labelled, decided, files), nl=False)
    elif out is None and found:
        show(found, dict(zip(model.class_names, limits.tolist(), strict=True)))
    if not json_ and top_k is None:
        none, there = decisions.none_of_these(labelled, decided), int(labelled.readable.sum())
        if none:
            typer.echo(f"{none:,} of {photographs(there)} without a label: no class reaches its threshold", err=True)
        for line in decisions.remarks(labelled, decided):
            typer.echo(line, err=True)
    if overlays is not None:
        draw(model, backend, found, overlays)
    if seen.unreadable or gone:
        raise typer.Exit(2)


def find(named: Sequence[str], listed: TextIO) -> tuple[list[Path], list[str]]:
    """List the photographs that the user named, those of folders, shards and patterns in order; and what is not there.

    Args:
        named: files, folders, tar shards, patterns, and ``-`` for the lines of ``listed``.
        listed: a path a line, or paths that NUL parts, as ``find -print0`` writes them.

    Raises:
        UserError: a folder or shard holds no images, or a pattern fits nothing.
    """
    from ccd_fast.datasets import photographs
    from ccd_fast.datasets.listing import is_writable
    from ccd_fast.errors import UserError
    from ccd_fast.views.shards import place

    files: list[Path] = []
    gone: list[str] = []
    lines = _paths_in(listed) if "-" in named else []
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
    return list(dict.fromkeys(files)), gone


def _paths_in(listed: TextIO) -> list[str]:
    r"""Read a list of paths; only the end of a line ends one, not the other characters that ``splitlines`` heeds."""
    if isinstance(listed, io.TextIOWrapper):  # bytes that are not UTF-8 are told as the names of files are
        listed.reconfigure(errors="surrogateescape", newline="")
    text = listed.read()
    paths = text.split("\0") if "\0" in text else [line.removesuffix("\r") for line in text.split("\n")]
    return [path for path in paths if path.strip()]


def folder_of(named: Sequence[str], files: Sequence[Path]) -> Path:
    """Give the folder that paths are relative to: the one that was named, or the nearest that holds all that was."""
    from ccd_fast.views.shards import ENDING

    folders = [Path(name).absolute() for name in named if Path(name).is_dir()]
    for file in map(Path.absolute, files):
        shard = next((above for above in file.parents if above.suffix == ENDING and above.is_file()), file)
        folders.append(shard.parent)
    return Path(os.path.commonpath(folders))


def draw(model: "Trained", backend: "ViewBackend", found: dict[Path, Ranked], folder: Path) -> None:
    """Write ``FOLDER/NAME-CLASS.png`` for each photograph and class that is shown."""
    from ccd_fast.outputs import overlays

    folder.mkdir(parents=True, exist_ok=True)
    drawn = overlays.draw(model, backend, {file: [name for name, _ in pairs] for file, pairs in found.items()}, folder)
    typer.echo(f"{drawn} overlays in {folder}", err=True)


def ranked(labelled: "Labelled", shown: "NDArray[np.bool_]", files: Sequence[Path]) -> dict[Path, Ranked]:
    """Give the classes of each photograph that could be read which are shown, likeliest first."""
    names, found = labelled.images.class_names, {}
    for row in labelled.readable.nonzero().flatten().tolist():
        pairs = zip(names, labelled.table[row].tolist(), shown[row].tolist(), strict=True)
        found[files[row]] = sorted(((name, p) for name, p, is_shown in pairs if is_shown), key=lambda pair: -pair[1])
    return found


def _word(name: str, probability: float, likely: bool) -> Text:
    return Text(f"{printable(name)} {probability:.2f}{'*' * likely}", "bold" if likely else "")


def show(predictions: dict[Path, Ranked], thresholds: dict[str, float]) -> None:
    """Print a table; classes from their threshold on are bold and have a star, which a file or a pipe shows too."""
    one = set(thresholds.values())
    table = Table()
    table.add_column("photograph", overflow="fold")
    table.add_column(
        f"classes (*: {f'probability >= {one.pop():g}' if len(one) == 1 else 'likely enough for the class'})"
    )
    for file, pairs in predictions.items():
        words = Text(", ").join(_word(name, p, p >= thresholds[name]) for name, p in pairs)
        table.add_row(Text(printable(str(file))), words or Text("–"))
    screen.show(table)


def as_objects(labelled: "Labelled", decided: "NDArray[np.bool_]", files: Sequence[Path]) -> str:
    """Give an object a photograph that could be read: its path as it was named, its labels, every probability."""
    from ccd_fast.outputs import label_files
    from ccd_fast.text import as_json_lines

    return as_json_lines(label_files.objects(labelled, decided, [str(file) for file in files]))
