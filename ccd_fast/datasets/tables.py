"""Tables as people save them: CSV with commas, semicolons or tabs, Parquet, JSON lines; one reader for all."""

import ast
import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet

from ccd_fast.datasets import tree
from ccd_fast.errors import UserError, nearest
from ccd_fast.text import lines_of, read_text, without_marks

DELIMITERS = ",;\t|"
"""Between columns; the first is CSV's own, the second a spreadsheet's where commas are decimal points."""
MAX_CELL = 2**24
"""Most characters of a cell."""
OTHER_FORMS = {"{": "JSON", "[": "JSON", "<": "XML"}
"""What a text is that begins so."""

OWN_COLUMNS = frozenset(["path", "status", "label", "labels", "split", "absent", "confident"])
"""Columns of tables that are no classes, in small letters; nor are those that begin as :data:`ARROW_S_OWN`."""
ARROW_S_OWN = "__"
"""So begin columns that pyarrow adds when it reads Parquet, such as ``__filename``."""

csv.field_size_limit(MAX_CELL)


def columns_of(class_names: Sequence[str]) -> list[str]:
    """Name the columns of classes: as the classes, but ``path (class)`` where another column is called so."""
    taken = {*OWN_COLUMNS, *(name.lower() for name in class_names)}
    columns: list[str] = []
    for name in class_names:
        column = f"class {name}" if name.startswith(ARROW_S_OWN) else name
        while column.lower() in (OWN_COLUMNS if column == name else taken):
            column += " (class)"
        taken.add(column.lower())
        columns.append(column)
    return columns


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        where: it stands, for messages.
        cells: by column: text of a CSV; of Parquet and JSON whatever they hold. None where there is nothing.
    """

    where: str
    cells: Mapping[str, Any]

    def text(self, column: str) -> str:
        """Give a cell as text without blanks around it; empty where there is nothing."""
        value = self.cells.get(column)
        return "" if value is None else str(value).strip()

    def raw(self, column: str) -> str:
        """Give a cell as it is, blanks and all; empty where there is nothing."""
        value = self.cells.get(column)
        return "" if value is None else str(value)

    def number(self, column: str) -> float:
        """Give a cell as a number, also with a comma for the decimal point.

        Raises:
            UserError: it is none.
        """
        text = self.text(column)
        try:
            value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise UserError(f"{self.where}: {column} is {text[:80]!r}, not a number")
        return value


class Table(NamedTuple):
    """A table.

    Attributes:
        columns: their names; those that are asked for are spelled as they were asked for.
        rows: one after the other.
    """

    columns: list[str]
    rows: list[Row]


def read_table(file: Path, what: str, needed: Sequence[str], wanted: Sequence[str] = ()) -> Table:
    """Read a table.

    Args:
        file: Parquet or JSON lines if it ends so, else CSV.
        what: it is, for messages: an option, for one.
        needed: columns that it must have, in whatever case.
        wanted: columns that it may have.

    Raises:
        UserError: it cannot be read, a column is missing or stands twice, or a row has too many cells.
    """
    where = f"{what} {file}".strip()
    if file.suffix.lower() in (".parquet", ".pq"):
        found, cells = _parquet(file, where)
        first = 1
    elif file.suffix.lower() in (".jsonl", ".ndjson"):
        found, cells = _json_lines(read_text(file, what), where)
        first = 1
    else:
        found, cells = _separated(read_text(file, what), where, needed)
        first = 2
    columns = _spelled(found, (*needed, *wanted))
    for column in needed:
        if column not in columns:
            if found and (form := OTHER_FORMS.get(found[0][:1])):
                raise UserError(f"{where}: {form}, where a table is needed: CSV, Parquet, or JSON lines in a .jsonl")
            has = ", ".join(found)[:200] or "none"
            raise UserError(f"{where}: no column {column!r}; it has {has}{nearest(column, found)}")
    twice = [column for column in (*needed, *wanted) if columns.count(column) > 1]
    if twice:
        raise UserError(f"{where}: the column {twice[0]!r} stands twice")
    rows = []
    for number, row in cells:
        if len(row) > len(columns) and any(row[len(columns) :]):
            raise UserError(
                f"{where}: row {number + first} has {len(row)} cells, and the header {len(columns)}: put what has a "
                "comma in it into quotes, and join labels by |"
            )
        rows.append(Row(f"{where}: row {number + first}", dict(zip(columns, row, strict=False))))
    return Table(columns, rows)


def _spelled(found: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Name columns as they are asked for, if only capitals and blanks differ; what is spelled so comes first."""
    exact = set(found)
    known = {name.lower(): name for name in asked if name not in exact}
    return [known.get(name.strip().lower(), name) for name in found]


def _parquet(file: Path, where: str) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    try:
        with pyarrow.parquet.ParquetFile(file) as opened:  # read_table would add columns of its own
            table = opened.read()
        columns = [column.to_pylist() for column in table.columns]
    except FileNotFoundError:
        raise UserError(f"{where}: no such file") from None
    except (OSError, pyarrow.ArrowException, ValueError) as error:
        raise UserError(f"{where}: cannot be read as Parquet: {str(error).splitlines()[0][:200]}") from error
    return list(table.column_names), ((n, list(row)) for n, row in enumerate(zip(*columns, strict=True)))


def _json_lines(text: str, where: str) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """Read an object a line; the columns are the keys of all of them."""
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines_of(text)):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: row {number + 1}: cannot be read as JSON: {error}") from error
        if row is not None and not isinstance(row, dict):
            raise UserError(f"{where}: row {number + 1}: {line.strip()[:80]!r}, where an object is needed: {{…}}")
        if row:
            rows[number] = row
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    return columns, ((number, [row.get(column) for column in columns]) for number, row in rows.items())


def _separated(text: str, where: str, needed: Sequence[str]) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """Read a text whose cells are separated, by whatever its header is separated by."""
    text = without_marks(text)
    said = text.partition("\n")[0].strip()
    skipped = 1 if said[:4].lower() == "sep=" and len(said) == 5 else 0  # what Excel writes, and hides
    delimiter = said[4] if skipped else _delimiter(said, needed)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [(number, row) for number, row in enumerate(reader) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"{where}: cannot be read as a table: line {reader.line_num}: {error}") from error
    rows = rows[skipped:]
    header = [name.strip() for name in rows[0][1]] if rows else []
    return header, ((number - 1, [cell if cell else None for cell in row]) for number, row in rows[1:])


def _delimiter(header: str, needed: Sequence[str]) -> str:
    """Find what separates a header into the most of the needed columns, and else into the most."""

    def columns(by: str) -> tuple[int, int]:
        names = [name.strip().strip('"').lower() for name in header.split(by)]
        return sum(name.lower() in names for name in needed), len(names)

    return max(DELIMITERS, key=columns)  # the first of equals


def path_in(text: str, root: Path | None, there: Mapping[str, Any] | frozenset[str], where: str) -> str:
    r"""Give a path of a table as the project writes it: relative to the root, with forward slashes.

    ``photos\cat.jpg``, ``./photos/cat.jpg`` and, below the root ``/data``, ``/data/photos/cat.jpg`` are one.

    Args:
        text: as the table has it.
        root: that the paths are relative to, or None where nobody knows.
        there: the paths that are there, of which one may hold a backslash.
        where: it stands, for the message.

    Raises:
        UserError: it leads out of the root.
    """
    if text in there:
        return text
    text = text.strip()
    if text in there:
        return text
    if root is not None and (PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()):
        for each in (root.absolute(), root.resolve()):
            for above in (each.as_posix(), str(each)):
                if text.replace("\\", "/").startswith(f"{above.rstrip('/')}/"):
                    return path_in(text.replace("\\", "/")[len(above.rstrip("/")) + 1 :], None, there, where)
    if "\\" in text:
        text = text.replace("\\", "/")
    if tree.leads_out(text):
        place = "--data-root" if root is None else f"--data-root {root}"
        raise UserError(f"{where}: {text!r} must be a path inside {place}, written relative to it: photos/cat.jpg")
    return str(PurePosixPath(text))


def listed(text: str) -> list[Any] | str:
    """Read a cell that holds a list as Python or JSON write it, ``['cat', 'dog']``; any other is given back."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(stripped)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, list) else text
    return text
