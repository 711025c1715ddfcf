"""The command line: each command parses, calls the library, and prints.

Commands import the library when they run, so that ``--help`` answers at once.
"""

import errno
import io
import os
import sys
import traceback
from itertools import pairwise
from typing import Any

import typer

from ccd_fast.cli import (
    ablate,
    bench,
    build_engines,
    compare,
    completion,
    datasets,
    demo,
    doctor,
    evaluate,
    export,
    label,
    options,
    predict,
    recipe,
    report,
    reproduce,
    review,
    train,
    verify,
)
from ccd_fast.errors import RunError, UserError, printable

FULL = os.strerror(errno.ENOSPC)
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""
USAGE: type[Exception] = typer.BadParameter.__bases__[0]
"""A mistyped command line: click's UsageError, which newer versions of typer bring themselves."""

app = typer.Typer(
    help="Photographs and class names in, a small fast multi-label classifier out. No labels needed.",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("label")(label.label)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("report")(report.report)
app.command("review")(review.review)
app.command("reproduce")(reproduce.reproduce)
app.command("ablate")(ablate.ablate)
app.command("compare")(compare.compare)
app.command("build-engines")(build_engines.build_engines)
app.command("doctor")(doctor.doctor)
app.add_typer(bench.app, name="bench")
app.command("recipe")(recipe.recipe)
app.command("datasets")(datasets.datasets)
app.command("verify")(verify.verify)


@app.callback()
def _options(context: typer.Context, version: options.Version = False) -> None:
    """Photographs and class names in, a small fast multi-label classifier out. No labels needed."""
    if os.environ.get("WORLD_SIZE", "1") != "1" and context.invoked_subcommand != "train":
        raise UserError(f"{context.invoked_subcommand} runs in one process: torchrun is for train")


def main() -> None:
    """Run the command line; errors become one line and an exit code: 2 for what the user can mend, else 1."""
    options.goes_on_with("")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A log file shows the progress while it is made; a letter that the screen cannot show becomes an escape.
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    words = sys.argv[1:]
    try:
        alone = words in ([], ["bench"])  # which explain themselves
        sys.exit(app([*words, "--help"] if alone else words, "ccd-fast", standalone_mode=False))
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer takes Ctrl-C and says nothing
            _interrupted()
        raise
    except UserError as error:
        _fail(str(error), 2)
    except RunError as error:
        _fail(str(error), 1)
    except USAGE as error:
        _fail(_mistyped(error), 2)
    except Exception as error:  # noqa: BLE001  the last resort: one line, and how to see more
        if FULL in str(error):  # libraries have errors of their own for it
            _fail(f"{' '.join(str(error).split())}: make room, and give the same command again", 1)
        if isinstance(error, OSError) and error.filename:  # a file or folder that the machine refuses
            _fail(f"{error.filename}: {error.strerror} (run again with --debug for the traceback)", 1)
        _fail(f"internal error: {type(error).__name__}: {error} (run again with --debug for the traceback)", 1)


def _mistyped(error: Any) -> str:
    """Say in a line what is wrong with a command line, and where its help is."""
    helped = f"{error.ctx.command_path if error.ctx else 'ccd-fast'} --help"
    wanted = str(getattr(error, "option_name", "")).lstrip("-").replace("-", "_")
    has_set = error.ctx is not None and any(option.name == "set_" for option in error.ctx.command.params)
    knobs = [name.rstrip("=") for name in completion.knobs("") if name.rstrip("=").rpartition(".")[2] == wanted]
    knobs.sort(key=lambda name: not name.startswith("train."))
    if has_set and knobs:
        option = f"--{wanted.replace('_', '-')}"
        return f"no option {option}: it is a knob of the recipe: --set {knobs[0]}={_value_of(option)} ({helped})"
    return f"{error.format_message()} ({helped})"


def _value_of(option: str) -> str:
    """Give the value that was typed after an option, or beside it; an ellipsis where there is none."""
    for word, after in pairwise([*sys.argv, ""]):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and after and not after.startswith("-"):
            return after
    return "…"


def _interrupted() -> None:
    again = options.how_to_go_on()
    _fail(f"interrupted; go on with {again}" if again else "interrupted", INTERRUPTED)


def _fail(message: str, code: int) -> None:
    if options.debugging():
        traceback.print_exc()
    rank = os.environ.get("RANK", "0")
    who = "ccd-fast: " if rank == "0" else f"ccd-fast (process {rank}): "
    print(who + printable(" ".join(message.split())), file=sys.stderr)
    sys.exit(code)
