"""Whether a folder is free for a run, or is one: seen before anything large is loaded."""

import json
import shutil
import tempfile
from itertools import count
from pathlib import Path

from ccd_fast.errors import UserError
from ccd_fast.runs import json_files

RUNS = Path("runs")
"""Where a run goes that is not given a folder."""
NOT_YET = ".run.json.tmp"
"""What a run leaves that was killed while it wrote its first file."""


def own_folder(name: str, overwrite: bool) -> Path:
    """Give the folder of a run that is not given one: ``runs/<name>``, or with -2, -3, ... where that is taken.

    Args:
        name: of the data set.
        overwrite: the first is given, taken or not.
    """
    numbered = (RUNS / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in numbered if overwrite or not folder.exists())


def refuse_occupied(path: Path, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that a run cannot be written to, or that is taken; a run that stopped before it began takes none.

    Raises:
        UserError: the folder exists and neither flag is given, or is no run, or cannot be written to; or there is
            nothing to resume.
    """
    if problem := _cannot_be_written(path):
        raise UserError(f"--out {path}: cannot be written to: {problem}")
    if resume and not can_resume(path):
        raise UserError(f"--resume: {path} holds no run to go on with: start it without --resume")
    occupied = path.exists() and (not path.is_dir() or any(entry.name != NOT_YET for entry in path.iterdir()))
    if occupied and not (path / "run.json").is_file():
        raise UserError(
            f"--out {path}: already exists, and is not a run of ccd-fast (no run.json); remove it yourself, or choose "
            "another"
        )
    if occupied and not (resume or overwrite) and can_resume(path):
        raise UserError(f"--out {path}: already exists; go on with --resume or replace it with --overwrite")


def refuse_no_room(path: Path, need: int, what: str) -> None:
    """Refuse a run whose tables its disk has not the room for; what the run's folder holds of them counts as free.

    Args:
        path: of the run.
        need: bytes.
        what: takes them, in a few words.

    Raises:
        UserError: they are more.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    held = sum(file.stat().st_size for file in (path / "labels").glob("*table-*") if file.is_file())
    free = shutil.disk_usage(there).free + held
    if free < need:
        raise UserError(
            f"--out {path}: {what} take up to {need / 2**30:.3g} GiB, and {free / 2**30:.3g} GiB are free there: make "
            "room, or name a folder on another disk"
        )


def refuse_no_study(path: Path) -> None:
    """Refuse a folder for tables that holds something and is no folder of tables: files of these names would be lost.

    Raises:
        UserError: it is such a one, or cannot be written to.
    """
    if problem := _cannot_be_written(path):
        raise UserError(f"--out {path}: cannot be written to: {problem}")
    holds = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if holds and not (path / "runs").is_dir() and not (path / "cells.csv").is_file():
        raise UserError(f"--out {path}: already exists, and holds no tables of ccd-fast; choose another folder")


def refuse_no_run(path: Path) -> None:
    """Refuse a folder that is no run.

    Raises:
        UserError: it is none, or one that has not begun.
    """
    json_files.read(path, "run.json")


def can_resume(path: Path) -> bool:
    """Tell whether there is a run to go on with; it may have stopped before its first labels were made.

    A ``run.json`` that holds nothing says whose folder it is, and no more.

    Raises:
        UserError: its ``run.json`` is damaged.
    """
    file = path / "run.json"
    try:
        return file.is_file() and bool(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON: {error}") from error


def _cannot_be_written(folder: Path) -> str:
    """Say why no file can be made in a folder, or in the nearest one above that is there; nothing if it can."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        return "" if there == folder else f"{there} is not a folder"  # what is at its place is told of elsewhere
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return error.strerror or str(error)
