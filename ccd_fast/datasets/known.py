"""Known labels of images whose classes the user brings: from a table, or from what stands beside each image.

They serve evaluation only. Images with the split ``test``, or ``val`` where there is no ``test``, are held out; where
nothing has a split, every image is for training and the labelled ones serve for testing as well. Images of which
nothing is known are for training.
"""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow
import pyarrow.parquet

from ccd_fast.datasets import tree
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.errors import UserError, nearest

SPLITS = ("train", "val", "test")
SPELLINGS = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val"},
}
"""Of the splits, in names of folders and files."""

Labels = dict[str, tuple[str, list[int] | None]]
"""By path: the split, ``""`` where none is known, and the indices of the classes, None where they are not known."""
Value = str | int | list[str | int] | None
"""Labels as annotations write them: names, joined by a bar or listed, or indices of classes; None: not known."""


def assembled(
    name: str,
    root: Path,
    split: str,
    images: Iterable[str],
    labels: Labels,
    class_names: tuple[str, ...],
    prompt_names: tuple[str, ...],
) -> ImageSet:
    """Put one split together.

    Args:
        name: of the data set.
        root: that the paths are relative to.
        split: ``"train"`` or ``"test"``.
        images: that are there.
        labels: what is known of them. Images that it names but that are not there keep their rows, and end in the
            quarantine list.
        class_names: C names.
        prompt_names: C names.
    """
    held_out = _held_out({part for part, _ in labels.values()})
    if split == "train":
        named = [path for path, (part, _) in labels.items() if part in ("", "train")]
        elsewhere = {path for path, (part, _) in labels.items() if part not in ("", "train")}
        paths = sorted((set(images) - elsewhere) | set(named))
    else:
        paths = sorted(path for path, (part, _) in labels.items() if part == held_out)
    classes = [labels.get(path, ("", None))[1] for path in paths]
    known = np.array([of_one is not None for of_one in classes], dtype=bool)
    matrix = np.zeros((len(paths), len(class_names)), dtype=bool)
    for row, of_one in enumerate(classes):
        matrix[row, of_one or []] = True
    return ImageSet(
        name=name,
        split=split,
        root=root,
        paths=tuple(paths),
        class_names=class_names,
        prompt_names=prompt_names,
        truth=matrix if known.any() else None,
        known=known,
    )


def _held_out(splits: set[str]) -> str:
    """Name the split that serves for testing: test, else val, else the labelled images themselves."""
    return next((s for s in ("test", "val") if s in splits), "" if splits == {""} else "test")


def refuse_foreign(labels: Labels, images: Collection[str], truth: Path, root: Path) -> None:
    """Refuse a table of labels of other images.

    Raises:
        UserError: none of its paths is an image.
    """
    if labels.keys().isdisjoint(images):
        raise UserError(f"--truth {truth}: none of its paths is in {root}, for example {next(iter(labels))!r}")


def overridden(own: Labels, file: Path, images: Collection[str], root: Path, names: tuple[str, ...]) -> Labels:
    """Take the labels of a table in place of a data set's own; an image keeps its split where the table has none.

    Raises:
        UserError: as :func:`read_truth` and :func:`refuse_foreign`.
    """
    given = read_truth(file, names)
    refuse_foreign(given, images, file, root)
    splits = {path: part for path, (part, _) in own.items()}
    parts: Labels = {path: (part, None) for path, part in splits.items() if part}
    return {**parts, **{path: (part or splits.get(path, ""), classes) for path, (part, classes) in given.items()}}


class Indices:
    """Turns what annotations say of an image into indices of classes."""

    def __init__(self, names: Sequence[str]) -> None:
        """Take the C class names; blanks and underscores in them are the same."""
        self.names = names
        self._index: Mapping[str, int] = {name: c for c, name in enumerate(names)}
        self._spaced: Mapping[str, int] = {name.replace("_", " "): c for c, name in enumerate(names)}

    def of(self, value: Value, where: str) -> list[int] | None:
        """Give the indices, None where nothing is known.

        Args:
            value: of the annotations.
            where: it stands, for the message.

        Raises:
            UserError: an unknown class, or an index that is none.
        """
        if value is None:
            return None
        if isinstance(value, str):
            value = [name.strip() for name in value.split("|") if name.strip()]
        return [self._one(each, where) for each in (value if isinstance(value, list) else [value])]

    def knows(self, name: str) -> bool:
        """Tell whether a name is a class."""
        return name in self._index or name.replace("_", " ") in self._spaced

    def _one(self, label: str | int, where: str) -> int:
        if isinstance(label, str) and self.knows(label):
            return self._index.get(label, self._spaced.get(label.replace("_", " "), -1))
        if isinstance(label, str) and not (label.isascii() and label.isdecimal() and len(label) < 10):
            raise UserError(f"{where}: class {label[:80]!r} is not one of the classes" + nearest(label, self.names))
        if not 0 <= int(label) < len(self.names):
            raise UserError(f"{where}: class number {label}: there are {len(self.names)}, counted from 0")
        return int(label)


def read_truth(file: Path, names: tuple[str, ...]) -> Labels:
    """Read known labels as ``{path: (split, class indices)}``; the split is ``""`` where the file has none.

    Raises:
        UserError: a missing file or column, an unknown class or split, a path twice or outside the root.
    """
    index = {name: c for c, name in enumerate(names)}
    labels: Labels = {}
    for number, row in rows_of(file, "--truth", ("path", "labels")):
        path, split, joined = ((row.get(column) or "").strip() for column in ("path", "split", "labels"))
        where = f"--truth {file}: row {number}"
        if tree.leads_out(path):
            raise UserError(f"{where}: {path!r} must be a path inside --data-root")
        path = str(PurePosixPath(path))
        if path in labels:
            raise UserError(f"{where}: {path!r} stands twice")
        if split and split not in SPLITS:
            raise UserError(f"{where}: split {split!r} must be one of {', '.join(SPLITS)}")
        positives = [name.strip() for name in joined.split("|") if name.strip()]
        for name in positives:
            if name not in index:
                raise UserError(f"{where}: class {name!r} is not in the class file" + nearest(name, names))
        labels[path] = (split, [index[name] for name in positives])
    if not labels:
        raise UserError(f"--truth {file}: no rows in it")
    return labels


def rows_of(file: Path, option: str, needed: Sequence[str]) -> Iterable[tuple[int, dict[str, str | None]]]:
    """Give the rows of a CSV or Parquet file with their numbers, which count the header as row 1.

    Args:
        file: the table.
        option: that names it, for messages.
        needed: columns that it must have.

    Raises:
        UserError: it is not there, cannot be read, or lacks a column.
    """
    try:
        if file.suffix.lower() == ".parquet":
            table = pyarrow.parquet.read_table(file)
            columns, rows = table.column_names, table.to_pylist()
        else:
            with file.open(newline="", encoding="utf-8-sig") as handle:
                reader = csv.DictReader(handle)
                columns, rows = list(reader.fieldnames or []), list(reader)
    except FileNotFoundError:
        raise UserError(f"{option} {file}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error, pyarrow.ArrowException) as error:
        raise UserError(f"{option} {file}: cannot be read: {error}") from error
    for column in needed:
        if column not in columns:
            raise UserError(f"{option} {file}: no column {column!r}; it has {', '.join(columns) or 'none'}")
    for number, row in enumerate(rows, start=2):
        if row.get("status") != "unreadable":  # `label` and `predict` list it in Parquet: nothing is known of it
            listed = {name: "|".join(value) for name, value in row.items() if isinstance(value, list)}
            yield number, {**row, **listed}
