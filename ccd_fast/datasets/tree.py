"""The tree of a data set on disk: where it begins, what must be in it, and which paths stay inside."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ccd_fast.errors import UserError
from ccd_fast.text import decoded, lines_of

_LEADS_OUT = re.compile(r"^$|^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|\x00")


def leads_out(path: str) -> bool:
    """Tell whether a path that an annotation names is empty, absolute (also Windows'), or goes up with ``..``."""
    return _LEADS_OUT.search(path) is not None


def find_root(root: Path, inner: Sequence[str], marks: Sequence[str], title: str) -> Path:
    """Find where a data set begins: in the given folder itself, or in one of a few folders below it.

    Args:
        root: as the user gave it.
        inner: paths below it where the data set may begin instead.
        marks: files or folders, relative to the beginning; one of them is enough.
        title: the data set's name, for the message.

    Raises:
        UserError: it begins nowhere, or in two places.
    """
    places = [root, *(root / path for path in inner)]
    found = {place.resolve(): place for place in reversed(places) if any((place / mark).exists() for mark in marks)}
    if not found:
        looked = ", ".join(str(place) for place in places)
        raise UserError(
            f"--data-root {root}: no {title} there: looked for {' or '.join(marks)} in {looked}; "
            "the expected tree: ccd-fast datasets"
        )
    if len(found) > 1:
        both = " and ".join(sorted(str(place) for place in found.values()))
        raise UserError(f"--data-root {root}: {title} is there more than once: name one of {both}")
    return next(iter(found.values()))


def require(path: Path, archive: str) -> Path:
    """Give the path back if it exists.

    Args:
        path: a file or folder of a data set.
        archive: what it comes from, for the message.

    Raises:
        UserError: it does not exist.
    """
    if not path.exists():
        raise UserError(f"{path}: missing; {archive} is not extracted there, or only in part")
    return path


def require_some_image(root: Path, paths: Sequence[str], named_by: Path, archive: str) -> None:
    """Make sure that a split has images at all; single ones that are missing end in the quarantine later.

    Raises:
        UserError: there is no path, or not one of them is on disk.
    """
    if not paths:
        raise UserError(f"{named_by}: names no images")
    if not any((root / path).is_file() for path in paths):
        raise UserError(
            f"{root}: none of the {len(paths)} images that {named_by} names is there, for example {paths[0]}; "
            f"{archive} is not extracted there, or only in part"
        )


def read(file: Path, archive: str) -> bytes:
    """Read a file of annotations whole.

    Raises:
        UserError: it is missing or cannot be read.
    """
    try:
        return require(file, archive).read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error


def lines(file: Path, archive: str) -> list[str]:
    """Read a list, one entry a line, without blank lines and the blanks around the entries.

    Raises:
        UserError: it is missing, or no text.
    """
    return [line.strip() for line in lines_of(decoded(read(file, archive), str(file))) if line.strip()]


def refuse_paths_that_lead_out(paths: Iterable[str], file: Path, by: Callable[[int], str]) -> None:
    """Refuse annotations that name a file outside the data set.

    Args:
        paths: as the annotations have them.
        file: where they stand.
        by: names the entry of that index, e.g. its line.

    Raises:
        UserError: one of them leads out.
    """
    for index, path in enumerate(paths):
        if leads_out(path):
            raise UserError(f"{file}: {by(index)}: {path!r} must be a path inside the data set")
