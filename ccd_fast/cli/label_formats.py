"""Which files and folders ``label`` and ``predict`` write: settled before anything large is loaded."""

from pathlib import Path

from ccd_fast.errors import UserError
from ccd_fast.outputs import places
from ccd_fast.runs.writing import refuse_existing

FOLDERS = ("ultralytics", "fiftyone")
"""Formats that are a folder."""
NAMES = ("csv", "parquet", "jsonl", "coco", "label-studio", "cvat", "imagefolder", *FOLDERS)
"""What ``--format`` takes."""
ENDINGS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}
"""Formats that a file's ending says."""
METADATA = "metadata.jsonl"
"""Of Hugging Face's image folders."""


def format_of(out: Path, named: str | None) -> str:
    """Settle the format of a file or folder that is to be written.

    Args:
        out: the file, or the folder.
        named: one of :data:`NAMES`; None where the file's ending says it.

    Raises:
        UserError: the format cannot be told.
    """
    kind = named or ENDINGS.get(out.suffix.lower())
    if kind is None:
        raise UserError(f"--out {out}: say what it should be with --format {', '.join(NAMES)}")
    return kind


def refuse_taken(kind: str, out: Path, overwrite: bool) -> None:
    """Refuse a file or folder that cannot be written, before any work.

    Args:
        kind: what it will be.
        out: the file, or the folder.
        overwrite: whether a file, and those that belong beside it, may be there already.

    Raises:
        UserError: it is there, or its place cannot be written to.
    """
    if kind in FOLDERS and out.exists():
        raise UserError(f"--out {out}: already exists; --format {kind} makes a folder: name one that is not there yet")
    refuse_existing("--out", [out, *places.files(kind, out)], overwrite)


def refuse_elsewhere(kind: str, out: Path, root: Path) -> None:
    """Refuse metadata of an image folder that would not lie in it: its paths would lead nowhere.

    Raises:
        UserError: it says where they belong.
    """
    if kind == "imagefolder" and out.absolute() != (root / METADATA).absolute():
        raise UserError(f"--out {out}: an image folder has its metadata inside: --out {root / METADATA}")
