"""Where outputs go, and what belongs beside a file of labels; known without loading anything."""

from collections.abc import Mapping
from pathlib import Path

from ccd_fast.errors import UserError
from ccd_fast.runs.writing import refuse_existing

STUDENTS = {"onnx": ".onnx", "plan": ".plan", "safetensors": ".safetensors", "triton": ""}
"""Endings of an exported student, by format; one without is a folder."""
REVIEWS = {"page": ".html", "label-studio": ".json"}
"""Endings of what ``review`` writes, by format; ``both`` is both."""
OWN_MARKS = {"page": b'content="ccd-fast review"', "label-studio": b'"by": "ccd-fast review"'}
"""What stands near the beginning of a file that ``review`` wrote, so that it may write it again."""
NEAR_THE_BEGINNING = 2000
"""Bytes."""


def reviews(run: Path, out: Path | None, kind: str | None) -> dict[str, Path]:
    """Name the files that ``review`` writes, by format.

    Args:
        run: its folder.
        out: a name, with an ending or without; by default ``review`` in the run's folder.
        kind: a name of :data:`REVIEWS`, or ``both``; by default what the ending says, and else the page.

    Raises:
        UserError: the ending is of another format.
    """
    name = run / "review" if out is None else out
    if name.suffix not in ("", *REVIEWS.values()):
        raise UserError(f"--out {name}: must end in {' or '.join(REVIEWS.values())}, or in nothing")
    said = kind or ("label-studio" if name.suffix == REVIEWS["label-studio"] else "page")
    if said != "both" and name.suffix not in ("", REVIEWS[said]):
        raise UserError(f"--out {name}: --format {said} ends in {REVIEWS[said]}")
    return {each: name.with_suffix(end) for each, end in REVIEWS.items() if said in (each, "both")}


def refuse_taken_reviews(files: Mapping[str, Path], overwrite: bool) -> None:
    """Refuse to write over a file that ``review`` did not write.

    Args:
        files: see :func:`reviews`.
        overwrite: whether any file may be replaced.

    Raises:
        UserError: there is such a file, or its place cannot be written to.
    """
    for kind, file in files.items():
        own = file.is_file() and OWN_MARKS[kind] in file.read_bytes()[:NEAR_THE_BEGINNING]
        beside = [interface(file)] if kind == "label-studio" else []
        refuse_existing("--out", [file, *beside], overwrite or own)


def interface(out: Path) -> Path:
    """Name the labelling interface that Label Studio's tasks belong to."""
    return out.with_suffix(".xml")


def unreadable(kind: str, out: Path) -> Path:
    """Name the list of photographs that could not be read.

    The metadata of an image folder lie among its photographs, where a list of others would be in the way: it lies
    beside that folder.
    """
    if kind == "imagefolder":
        folder = out.absolute().parent
        return folder.with_name(f"{folder.name}.unreadable.csv")
    return out.with_suffix(".unreadable.csv")


def files(kind: str, out: Path) -> list[Path]:
    """Name all that may be written beside a file of a format."""
    return [unreadable(kind, out), *([interface(out)] if kind == "label-studio" else [])]


def student(kind: str, run: Path) -> Path:
    """Name an exported student of a run where nobody names it."""
    return run / f"student{STUDENTS[kind]}" if STUDENTS[kind] else run / kind / "student"


def card(kind: str, out: Path) -> Path:
    """Name the card of an exported student: beside a file, inside a folder."""
    return out.with_suffix(".md") if STUDENTS[kind] else out / "card.md"
