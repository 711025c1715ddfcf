"""What a run was started with, read from its folder; without PyTorch, so that what is wrong is refused at once."""

from collections.abc import Sequence
from pathlib import Path

from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import json_files


def origin(run: Path, overrides: Sequence[str] = ()) -> tuple[Source, Recipe]:
    """Read what a run was started with: its data set and its recipe, with overrides of :func:`config.load`.

    Raises:
        UserError: the folder is not a run.
    """
    description = json_files.read(run, "run.json")
    try:
        named = {key: description[key] for key in ("root", "classes", "truth")}
        named |= {key: description.get(key) for key in ("boxes", "known")}
        paths = {key: Path(name) if name else None for key, name in named.items()}
        source = Source(str(description["dataset"]), paths.pop("root") or Path(), **paths)
    except (KeyError, TypeError) as error:
        raise UserError(f"{run / 'run.json'}: not what a run of ccd-fast wrote: {error}") from error
    return source, config.of_run(run, overrides)


def class_names_of(run: Path) -> tuple[str, ...]:
    """Read the class names of a run.

    Raises:
        UserError: the folder is not a run.
    """
    names = json_files.read(run, "run.json").get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{run / 'run.json'}: not what a run of ccd-fast wrote: no class_names")
    return tuple(names)
