"""What lies in a folder: links are followed, loops are cut, and what is passed over is told.

Hidden files and folders do not count.
"""

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ccd_fast.errors import printable
from ccd_fast.machine import say_once_on_stderr
from ccd_fast.views.header import HEIF_BRANDS
from ccd_fast.views.shards import ENDING

SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".jpg_large", ".jpg_orig", ".jpeg_large"),
        *(".png", ".png_large", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx", ".heic", ".heif", ".hif", ".avif"),
    ]
)
"""Endings of photographs, in small letters."""
SNIFFED = 8
"""Files of each other ending that are looked into."""
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")


class Listing(NamedTuple):
    """The visible files below a folder.

    Attributes:
        files: paths relative to it, with forward slashes, sorted.
        loops: links to a folder that they are in themselves; they are not followed.
        closed: folders that may not be looked into.
        unwritable: files and folders whose names are not UTF-8, so that no file of labels could hold them.
    """

    files: list[str]
    loops: list[str]
    closed: list[str]
    unwritable: list[str]


def listed(root: Path) -> Listing:
    """List the visible files below a folder, those behind links too."""
    found = Listing([], [], [], [])
    waiting = [("", os.fspath(root), os.path.realpath(root))]
    while waiting:
        below, folder, real = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:
            found.closed.append(below or ".")
            continue
        for entry in inside:
            path = f"{below}{entry.name}"
            if not is_writable(entry.name):
                found.unwritable.append(path)
            elif not _is_folder(entry):
                found.files.append(path)
            elif not entry.is_symlink():
                waiting.append((f"{path}/", entry.path, os.path.join(real, entry.name)))  # noqa: PTH118
            elif f"{real}{os.sep}".startswith(f"{(target := os.path.realpath(entry.path)).rstrip(os.sep)}{os.sep}"):
                found.loops.append(path)
            else:
                waiting.append((f"{path}/", entry.path, target))
    for part in found:
        part.sort()
    return found


def pictures(files: list[str]) -> list[str]:
    """Keep the files whose endings are those of photographs."""
    return [path for path in files if is_picture(path)]


def is_picture(path: str) -> bool:
    """Tell whether a path, of a file or of a member of a shard, ends as one of a photograph."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def is_writable(name: str) -> bool:
    """Tell whether a name, of a file or folder, is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def passed_over(root: Path, found: Listing) -> list[str]:
    """Say what of a folder is no photograph for this project, though it may be meant to be one; a line each."""
    lines = []
    by_ending: dict[str, list[str]] = defaultdict(list)
    for path in found.files:
        suffix = PurePosixPath(path).suffix.lower()
        if suffix not in SUFFIXES and suffix != ENDING:
            by_ending[suffix].append(path)
    for suffix, paths in sorted(by_ending.items()):
        meant = [path for path in paths[:SNIFFED] if _begins_as_picture(root / path)]
        if meant:
            count = len(paths) if len(meant) == min(len(paths), SNIFFED) else len(meant)
            what = f"end in {suffix}" if suffix else "have no ending"
            lines.append(
                f"{count} files that {what} are passed over, though they are pictures inside, for example {meant[0]}: "
                "give them an ending such as .jpg"
            )
    for paths, what in (
        (found.loops, "links lead back to a folder that they are in, and are not followed"),
        (found.closed, "folders may not be looked into, and are passed over"),
        (found.unwritable, "names are not UTF-8, and are passed over: rename them"),
    ):
        if paths:
            lines.append(f"{len(paths)} {what}, for example {printable(paths[0])}")
    return lines


def find_images(root: Path) -> list[str]:
    """List the photographs below a folder as sorted paths; what is passed over is told once, on standard error."""
    found = listed(root)
    tell(root, found)
    return pictures(found.files)


def tell(root: Path, found: Listing) -> None:
    """Say on standard error what is passed over."""
    for line in passed_over(root, found):
        say_once_on_stderr(f"{root}: {line}")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a chain of links that ends in itself
        return False


def _begins_as_picture(file: Path) -> bool:
    """Look at the first bytes, and wait for no pipe."""
    if not file.is_file():
        return False
    try:
        with file.open("rb") as handle:
            start = handle.read(12)
    except OSError:
        return False
    is_webp = start[:4] == b"RIFF" and start[8:] == b"WEBP"
    is_heif = start[4:8] == b"ftyp" and start[8:] in (*HEIF_BRANDS, b"avif", b"avis")
    return start.startswith(_SIGNATURES) or is_webp or is_heif
