"""Some of the photographs of a folder, as a data set of their own that links to them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ccd_fast.text import as_csv

Rows = Sequence[Mapping[str, str]]
"""Of the ``labels.csv`` of a folder: path, split, labels."""


def some_of(root: Path, rows: Rows, folder: Path) -> Path:
    """Link to the photographs of some rows of a folder; gives the table of their labels, beside them."""
    for row in rows:
        link = folder / row["path"]
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to((root / row["path"]).absolute())
    columns = ("path", "split", "labels")
    table = folder / "labels.csv"
    table.write_text(as_csv([columns, *(tuple(row[of] for of in columns) for row in rows)]), encoding="utf-8")
    return table
