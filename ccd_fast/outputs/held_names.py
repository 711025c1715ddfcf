"""Names of photographs and of classes that a format cannot hold: refused before the work, in one line with the mend."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from ccd_fast.datasets.listing import is_writable
from ccd_fast.errors import UserError, printable
from ccd_fast.views import shards

LONGEST = 255
"""Bytes that the name of a file or folder may have."""
SHOWN = 80
"""Characters of a name that a message has."""
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""
BY_FILES = ("coco", "label-studio", "cvat", "imagefolder", "fiftyone")
"""Formats from which other programs look for the files themselves."""
ELSE = "or write csv, parquet or jsonl"


def refuse(kind: str, root: Path, paths: Sequence[str]) -> None:
    """Refuse a format that cannot hold the names of photographs, or that does not reach them.

    Args:
        kind: the format.
        root: that the paths are relative to.
        paths: of the photographs.

    Raises:
        UserError: it names the first such photograph, and what to change.
    """
    if kind in BY_FILES:
        inside = next((path for path in paths if not (root / path).exists()), None)
        if inside is not None and shards.place(root / inside) is not None:
            raise UserError(
                f"--format {kind}: {inside} is in a shard, where no other program looks for a file: unpack the shards "
                "(tar -xf) and label the folder, or write csv or parquet"
            )
    if kind == "label-studio" and not is_writable(str(root.resolve())):
        raise UserError(
            f"--format {kind}: the name of {printable(str(root.resolve()))} is not UTF-8: rename the folder"
        )
    if kind in WHY:
        for path in paths:
            if why := WHY[kind](path):
                shown = printable(path[:SHOWN])
                raise UserError(f"--format {kind}: the name of the photograph '{shown}' {why}: rename it, {ELSE}")
    if kind == "fiftyone":
        _refuse_twins(paths)


def refuse_classes(kind: str, class_names: Sequence[str]) -> None:
    """Refuse a format that cannot hold the names of classes.

    Raises:
        UserError: it names the first such class.
    """
    if kind == "ultralytics":
        for name in class_names:
            if why := _too_long(name):
                raise UserError(f"--format {kind}: the name of the class {name[:SHOWN]!r} {why}: shorten it, {ELSE}")


def as_one_name(text: str) -> str:
    """Give the name of a file or folder for any text, which ``urllib.parse.unquote`` gives back; none is hidden."""
    name = "".join(quote(letter, safe=" ") if letter.isascii() else letter for letter in text)
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _in_xml(path: str) -> str:
    return "has a character that XML cannot hold" if NO_XML.search(path) else ""


def _too_long(text: str) -> str:
    length = len(as_one_name(text).encode())
    return f"would be that of a file, and has {length} bytes where {LONGEST} are the most" if length > LONGEST else ""


def _for_hugging_face(path: str) -> str:
    """Say what Hugging Face's ``datasets`` takes for something else in a name."""
    for mark in ("\\", "::"):
        if mark in path:
            return f"has {mark!r} in it, which Hugging Face's datasets takes for another path"
    if os.path.expandvars(path) != path:
        return "has a variable of the environment in it, which Hugging Face's datasets puts its value for"
    return ""


def _for_fiftyone(path: str) -> str:
    return "has '\\\\' in it, which FiftyOne takes for another path" if "\\" in path else ""


def _refuse_twins(paths: Sequence[str]) -> None:
    """Refuse photographs that differ by their endings alone, which FiftyOne cannot tell apart."""
    seen: set[str] = set()
    for path in paths:
        name = str(PurePosixPath(path).with_suffix(""))
        if name in seen:
            raise UserError(f"--format fiftyone: two photographs are called {name}, but for their endings: rename one")
        seen.add(name)


WHY: dict[str, Callable[[str], str]] = {
    "cvat": _in_xml,
    "fiftyone": _for_fiftyone,
    "imagefolder": _for_hugging_face,
    "ultralytics": _too_long,
}
"""What keeps a format from holding a path, as the end of a sentence; nothing where it holds it."""
