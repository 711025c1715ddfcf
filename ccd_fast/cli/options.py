"""Options that several commands share."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ccd_fast import __version__
from ccd_fast.cli import completion
from ccd_fast.errors import UserError, nearest, printable

if TYPE_CHECKING:
    from ccd_fast.runs import Stages

_state = {"debug": False, "verbose": False}
_opening = [""]
_go_on: list[tuple[str, Path | None]] = [("", None)]


def was_given(context: typer.Context, name: str) -> bool:
    """Tell whether a parameter was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def goes_on_with(how: str, once: Path | None = None) -> None:
    """Keep how the command that now runs can be taken up again, for the message at Ctrl-C; once a file is there."""
    _go_on[0] = how, once


def how_to_go_on() -> str:
    """Give what :func:`goes_on_with` kept; nothing where a command has nothing to go on with."""
    how, once = _go_on[0]
    return how if once is None or once.is_file() else ""


def warn(text: str) -> None:
    """Print a line where errors go."""
    typer.echo(f"ccd-fast: {printable(text)}", err=True)


def where(device: str) -> str:
    """Settle ``--device``, and keep the line that says what ``auto`` has become, and why, for :func:`opening`.

    Raises:
        UserError: there is no such device.
    """
    from ccd_fast import machine

    place, line = machine.choose_device(device)
    if line:
        opens_with(line)
    return str(place)


def opens_with(line: str) -> None:
    """Keep a line for :func:`opening`."""
    _opening[0] = line


def opening() -> str:
    """Give the line on the device, once: it goes before the first thing that is shown, and not before an error."""
    line, _opening[0] = _opening[0], ""
    return printable(line)


def tell_where() -> None:
    """Print the line on the device, if there is one, before work begins."""
    if line := opening():
        typer.echo(line, err=True)


def refuse_at_once(device: str, *checks: Callable[[], object]) -> None:
    """Refuse, in one line, all that can be seen to be wrong before anything large is loaded, the device included.

    Raises:
        UserError: something is wrong.
    """
    from ccd_fast.errors import refuse_all_at_once
    from ccd_fast.machine import device_names

    refuse_all_at_once(*checks, lambda: device_names.refuse_at_once(device))


def decode_early(device: str, backend: str) -> None:
    """Start the process that decodes on a CPU, where one is needed, so that it loads while this one loads PyTorch.

    ``backend`` is ``views.backend`` of the recipe.
    """
    from ccd_fast.machine.device_names import may_have_a_gpu
    from ccd_fast.views import apart, installed_backends

    on_cpu = device == "cpu" or (device == "auto" and not may_have_a_gpu())
    if on_cpu and backend != "pillow" and "dali" in installed_backends():
        apart.start_early()


def refuse_taken(out: Path | None, overwrite: bool) -> None:
    """Refuse a file of figures that is there already, before they are measured.

    Raises:
        UserError: it is there, or its place cannot be written to.
    """
    from ccd_fast.runs.writing import refuse_existing

    if out is not None:
        refuse_existing("--out", [out], overwrite)


def refuse_teacher(name: str) -> None:
    """Refuse a teacher that is unknown, or can neither be found here nor fetched.

    Raises:
        UserError: it is such a one.
    """
    from ccd_fast.teacher import names

    names.refuse_out_of_reach(name)


def stages(keep: Callable[[dict[str, Any]], None] | None = None, quiet: bool = False, settled: str = "") -> "Stages":
    """Make what shows the progress, on standard error; ``keep`` is given each stage's record.

    ``settled`` is what else was settled for the user, told as the work begins.
    """
    from rich.console import Console

    from ccd_fast.runs import Stages

    told = "; ".join(filter(None, (opening(), settled)))
    return Stages(Console(stderr=True, quiet=quiet), keep, told, _state["verbose"])


def debugging() -> bool:
    """Tell whether ``--debug`` was given."""
    return _state["debug"]


def _set_debug(value: bool) -> bool:
    _state["debug"] = value
    return value


def _set_verbose(value: bool) -> bool:
    _state["verbose"] = value
    return value


def _print_version(value: bool) -> None:
    if value:
        print(f"ccd-fast {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
]
Debug = Annotated[bool, typer.Option("--debug", callback=_set_debug, help="Show the traceback of an error.")]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        callback=_set_verbose,
        help="Show where the time goes too: the share of each part, crops a second, how near to the hardware.",
    ),
]
BUILT_IN = (
    "A built-in recipe (folder, demo; voc07, voc12, coco, nus, fast; paper-voc12, paper-voc07, paper-coco, paper-nus, "
    "paper-voc12-official) or a TOML file"
)
Recipe = Annotated[str, typer.Option(metavar="NAME|FILE", autocompletion=completion.recipes, help=f"{BUILT_IN}.")]
RecipeOfTheData = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE", autocompletion=completion.recipes, help=f"{BUILT_IN}; by default the data set's own."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=completion.knobs,
        help="Override a knob, e.g. train.epochs=4. May be repeated.",
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FOLDER",
        help="CLIP as open_clip names it: ViT-B-32/laion2b_s34b_b79k, RN50x64-quickgelu/openai, hf-hub:org/name, "
        "or a folder with open_clip_config.json and open_clip_model.safetensors. By default the recipe's.",
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        autocompletion=completion.datasets,
        help="folder (any tree of images), imagefolder (as Hugging Face has it), webdataset (tar shards), voc07, "
        "voc12, coco (2014), coco2017 or nus; `ccd-fast datasets` shows what each must look like on disk.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Class names, one a line, for images of your own; `# ` begins a remark."),
]
Truth = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Known labels of images of your own: CSV, Parquet or .jsonl with path, labels (joined by |), and split. "
        "CCD only measures by them; the systems to compare with that are told labels learn those of the split train.",
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Boxes of the objects, for views.choice=ground-truth: CSV with path, class, x0, y0, x1, y1; by default "
        "the data set's own.",
    ),
]
Templates = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="Prompts: a text file with one a line, each with {} for the class name; or openai-imagenet, "
        "openai-imagenet-simple. By default the recipe's.",
    ),
]
Student = Annotated[str | None, typer.Option(help="Any CNN of timm, e.g. resnet101. By default the recipe's.")]
StudentWeights = Annotated[
    str | None,
    typer.Option(metavar="FILE|imagenet|none", help="Weights that the student starts from. By default the recipe's."),
]
Seeds = Annotated[str, typer.Option(metavar="N,N,…", help="Seeds of the runs, joined by commas.")]
LabelFormat = Annotated[
    Literal["csv", "parquet", "jsonl", "coco", "label-studio", "cvat", "imagefolder", "ultralytics", "fiftyone"] | None,
    typer.Option("--format", help="Of --out; by default what the file's ending says."),
]
MinPositives = Annotated[
    int,
    typer.Option(min=0, help="Leave classes with fewer positives among the test images out of every figure."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Device = Annotated[
    str, typer.Option(help="Where to run: auto (the first GPU that works, or the CPU), cpu, cuda, cuda:N.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out.")]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures as JSON, with machine and versions.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, as `train --out` wrote it.")]
Checkpoint = Annotated[
    str,
    typer.Option(autocompletion=completion.checkpoints, help="best (the epoch chosen without labels) or last."),
]


def give(results: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Print the figures of a benchmark as JSON, and write them, where that is wanted."""
    from ccd_fast.bench import measure

    if as_json:
        typer.echo(measure.as_json(results))
    if out is not None:
        measure.save(results, out)
        typer.echo(f"written to {out}", err=as_json)


def each_of(names: Sequence[str], valid: Iterable[str], option: str) -> list[str]:
    """Give the names back if each is valid.

    Raises:
        UserError: one is not; the line names the nearest.
    """
    choices = list(valid)
    for name in names:
        if name not in choices:
            raise UserError(f"{option} {name}: must be one of {', '.join(choices)}" + nearest(name, choices))
    return list(names)


def listed(text: str, option: str) -> list[str]:
    """Split what is joined by commas.

    Raises:
        UserError: nothing is in it, or something twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or len(set(parts)) < len(parts):
        raise UserError(f"{option} {text!r}: give each once, joined by commas")
    return parts


def seeds(text: str, given: Sequence[str] | None) -> list[int]:
    """Read ``--seeds``; ``given`` is what ``--set`` holds beside it.

    Raises:
        UserError: they are no whole numbers >= 0, one stands twice, or ``--set seed`` would not be heeded.
    """
    parts = listed(text, "--seeds")
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text!r}: must be whole numbers >= 0, joined by commas, such as 0,1,2")
    if any(knob.partition("=")[0].strip() == "seed" for knob in given or ()):
        raise UserError("--set seed: give it as --seeds here")
    return [int(part) for part in parts]


def overrides(
    given: list[str] | None,
    teacher: str | None,
    student: str | None,
    student_weights: str | None,
    templates: str | None = None,
) -> list[str]:
    """Join ``--set`` and the options that stand for a knob of their own, which go before it."""
    named = {
        "teacher.model": teacher,
        "teacher.templates": templates,
        "student.backbone": student,
        "student.weights": student_weights,
    }
    return [*(given or []), *(f"{key}={quoted(value)}" for key, value in named.items() if value is not None)]


def quoted(value: object) -> str:
    """Give a value in TOML's notation, for an override."""
    return "'''" + str(value) + "'''"
