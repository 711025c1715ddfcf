"""Text as people save it: byte-order marks, UTF-16, ends of lines of every system; and tables as text."""

import codecs
import json
import re
from collections.abc import Iterable
from pathlib import Path

from ccd_fast.errors import UserError

_ENDS_OF_LINES = re.compile(r"\r\n|\r|\n")
MARK = "\ufeff"
"""What programs put before a text to say how it is encoded; elsewhere it is a character that nobody sees."""
_MARKED_LINE = re.compile(f"(?<=[\r\n]){MARK}")
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""What a file may begin with, and how it is encoded then."""
_PACKED = {b"PK\x03\x04": "a zip, as Excel's .xlsx is", b"\xd0\xcf\x11\xe0": "an .xls of Excel", b"\x1f\x8b": "a gzip"}
"""How files begin that are no text but are taken for it, and what they are."""
_ENDS_TO_SOME = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def decoded(content: bytes, where: str) -> str:
    """Decode a text file: UTF-8 or UTF-16, with or without a mark at its beginning.

    Args:
        content: of the file.
        where: it comes from, for the message.

    Raises:
        UserError: it is something else; the line says what, and what to save it as.
    """
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), _unmarked(content[:4096]))
    packed = next((what for start, what in _PACKED.items() if content.startswith(start)), None)
    if packed is not None:
        raise UserError(f"{where}: not a text but {packed}: save it as CSV or text, in UTF-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        byte = content[error.start : error.start + 1].hex() or "none"
        raise UserError(
            f"{where}: not a text in {encoding.upper()}: byte {byte} at {error.start}; save it as UTF-8"
        ) from error
    return text.removeprefix(MARK)


def _unmarked(start: bytes) -> str:
    """Tell UTF-16 from UTF-8 where there is no mark: every other byte of most scripts is the same there."""
    if len(start) >= 2 and start.count(0):
        even, odd = start[::2].count(0), start[1::2].count(0)
        if max(even, odd) > len(start) // 4:
            return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8"


def lines_of(text: str) -> list[str]:
    """Split a text into lines, whatever system it was written on; the end of the last one may be missing.

    A mark before one of them is none of its letters: files that were joined have it in the middle, too.
    """
    lines = [line.removeprefix(MARK) for line in _ENDS_OF_LINES.split(text)]
    return lines[:-1] if lines[-1] == "" else lines


def without_marks(table: str) -> str:
    """Take away marks before the lines of a table, but for those within quotes, which are letters of a name."""
    parts = table.split('"')  # every other one is within quotes
    return '"'.join(part if k % 2 else _MARKED_LINE.sub("", part) for k, part in enumerate(parts))


def read_text(file: Path, what: str) -> str:
    """Read a text file whole.

    Args:
        file: its place.
        what: it is, for the message: an option, for one.

    Raises:
        UserError: it is missing, or cannot be read as text.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{what} {file}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{what} {file}: a folder, where a file is needed") from None
    except OSError as error:
        raise UserError(f"{what} {file}: cannot be read: {error.strerror or error}") from error
    return decoded(content, f"{what} {file}".strip())


def as_json_lines(rows: Iterable[object]) -> str:
    r"""Write a line of JSON for each: what is an end of a line to some readers, ``\u2028`` for one, is escaped."""
    return "".join(json.dumps(row, ensure_ascii=False).translate(_ENDS_TO_SOME) + "\n" for row in rows)


def as_csv(rows: Iterable[Iterable[object]]) -> str:
    """Write a table that every reader takes apart as it was: Python's own leaves some ends of lines without quotes."""
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value: object) -> str:
    text = str(value)
    if text == text.strip() and not any(mark in text for mark in ',"\r\n') and not text.startswith(MARK):
        return text
    return '"' + text.replace('"', '""') + '"'


def photographs(count: int) -> str:
    """Say how many there are."""
    return "1 photograph" if count == 1 else f"{count:,} photographs"
