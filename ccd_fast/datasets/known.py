"""Known labels of images whose classes the user brings: from a table, or from what stands beside each image.

They serve evaluation only. Images with the split ``test``, or ``val`` where there is no ``test``, are held out; where
nothing has a split, every image is for training and the labelled ones serve for testing as well. Images of which
nothing is known are for training.
"""

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.tables import Row, listed, path_in, read_table
from ccd_fast.errors import UserError, nearest
from ccd_fast.text import MARK

SPLITS = ("train", "val", "test")
SPELLINGS = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val"},
}
"""Of the splits, in names of folders and files."""

Labels = dict[str, tuple[str, list[int] | None]]
"""By path: the split, ``""`` where none is known, and the indices of the classes, None where they are not known."""
Value = str | int | float | bool | list[str | int | float | bool] | None
"""Labels as annotations write them: names, joined by a bar or listed; indices of classes; or 0 or 1 for each class.

None: not known.
"""


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


def overridden(own: Labels, file: Path, images: Collection[str], root: Path, names: tuple[str, ...]) -> Labels:
    """Take the labels of a table in place of a data set's own; an image keeps its split where the table has none.

    Raises:
        UserError: as :func:`read_truth`.
    """
    given = read_truth(file, names, root, images)
    splits = {path: part for path, (part, _) in own.items()}
    parts: Labels = {path: (part, None) for path, part in splits.items() if part}
    return {**parts, **{path: (part or splits.get(path, ""), classes) for path, (part, classes) in given.items()}}


class Indices:
    """Turns what annotations say of an image into indices of classes."""

    def __init__(self, names: Sequence[str]) -> None:
        """Take the C class names; blanks and underscores in them are the same."""
        self.names = names
        self._index: Mapping[str, int] = {_plain(name): c for c, name in enumerate(names)}
        self._spaced: Mapping[str, int] = {name.replace("_", " "): c for name, c in self._index.items()}

    def of(self, value: Any, where: str, by_object: bool = False) -> list[int] | None:
        """Give the indices, None where nothing is known.

        Args:
            value: of the annotations, see :data:`Value`.
            where: it stands, for the message.
            by_object: a list has an entry for each object, so that it is never one of 0 or 1 for each class.

        Raises:
            UserError: an unknown class, an index that is none, or a list of which nobody can say what it means.
        """
        if value is None:
            return None
        if isinstance(value, str):
            names = [name.strip() for name in value.split("|") if name.strip()]
            is_sure = all(map(self.knows, names))  # a class may be called as a list is written: [1]
            value = names if is_sure or isinstance(value := listed(value), str) else value
        several = list(value) if isinstance(value, list | tuple) else [value]
        if isinstance(value, list | tuple) and not by_object and (vector := self._vector(several, where)) is not None:
            return vector
        return list(dict.fromkeys(self._one(each, where) for each in several))

    def knows(self, name: str) -> bool:
        """Tell whether a name is a class."""
        return self._place(name) is not None

    def _vector(self, values: list[Any], where: str) -> list[int] | None:
        """Read a list of 0 and 1, one for each class; None where it is another list.

        Two numbers of classes are 0 and 1, too. But a list that holds one of them twice can be nothing else, and one
        that has as many as there are classes, both of them different, could be both.
        """
        if not values or any(isinstance(each, str) or each not in (0, 1) for each in values):
            if values and all(isinstance(each, float) and not each.is_integer() for each in values):
                raise UserError(f"{where}: {_shown(values)}: scores are no labels: write names, or 0 and 1")
            return None
        is_sure = len(set(values)) < len(values) or any(isinstance(each, bool | float) for each in values)
        if len(values) == len(self.names):
            if not is_sure:
                raise UserError(
                    f"{where}: {_shown(values)} may be the numbers of two classes, or 0 and 1 for each of them: write "
                    "names"
                )
            return [c for c, each in enumerate(values) if each]
        if is_sure:
            raise UserError(
                f"{where}: {_shown(values)} is 0 or 1 for each of {len(values)} classes, and there are "
                f"{len(self.names)}"
            )
        return None

    def _place(self, name: str) -> int | None:
        name = _plain(name)
        return self._index.get(name, self._spaced.get(name.replace("_", " ")))

    def _one(self, label: Any, where: str) -> int:
        if isinstance(label, bool | list | dict) or (isinstance(label, float) and not label.is_integer()):
            raise UserError(f"{where}: {str(label)[:80]} is neither the name of a class nor its number")
        if isinstance(label, str):
            if (place := self._place(label.strip())) is not None:
                return place
            if not (label.isascii() and label.isdecimal() and len(label) < 10):
                parts = [part.strip() for part in label.replace(";", ",").split(",")]
                several = len(parts) > 1 and all(self.knows(part) for part in parts)
                mend = "; join names by |" if several else nearest(label, self.names)
                raise UserError(f"{where}: class {label[:80]!r} is not one of the classes" + mend)
        if not 0 <= int(label) < len(self.names):
            raise UserError(f"{where}: class number {label}: there are {len(self.names)}, counted from 0")
        return int(label)


def _plain(name: str) -> str:
    """Give a name as it is compared: letters in one form, without marks that nobody sees."""
    return unicodedata.normalize("NFC", name).replace(MARK, "")


def _shown(values: list[Any]) -> str:
    text = ", ".join(str(each) for each in values[:8])
    return f"[{text}, …]" if len(values) > 8 else f"[{text}]"


def read_truth(file: Path, names: tuple[str, ...], root: Path | None = None, images: Collection[str] = ()) -> Labels:
    """Read known labels as ``{path: (split, class indices)}``; the split is ``""`` where the file has none.

    A table without ``labels`` but with a column for every class has 0 or 1 there.

    Args:
        file: the table.
        names: C class names.
        root: that its paths are relative to, or in.
        images: that are there; one of the paths at least must be among them, if there are any.

    Raises:
        UserError: a missing file or column, an unknown class or split, a path twice or outside the root, or no image
            that is there.
    """
    there, indices, labels = frozenset(images), Indices(names), Labels()
    table = read_table(file, "--truth", ("path",), ("labels", "split", "status"))
    is_wide = "labels" not in table.columns and set(names) <= set(table.columns)
    if "labels" not in table.columns and not is_wide:
        has = ", ".join(table.columns)[:200]
        raise UserError(f"--truth {file}: no column 'labels'; it has {has}" + nearest("labels", table.columns))
    for row in table.rows:
        if row.text("status") == "unreadable":  # as ``label`` writes it: nothing is known of it
            continue
        path = path_in(row.raw("path"), root, there, row.where)
        if path in labels:
            raise UserError(f"{row.where}: {path!r} stands twice")
        split = row.text("split")
        if split and split.lower() not in SPELLINGS:
            raise UserError(f"{row.where}: split {split!r} must be one of {', '.join(SPLITS)}")
        found = _wide(row, names) if is_wide else indices.of(row.cells.get("labels"), row.where)
        labels[path] = (SPELLINGS.get(split.lower(), ""), found or [])
    if not labels:
        raise UserError(f"--truth {file}: no rows in it")
    if there and labels.keys().isdisjoint(there):
        raise UserError(f"--truth {file}: none of its paths is in {root}, for example {next(iter(labels))!r}")
    return labels


def _wide(row: Row, names: tuple[str, ...]) -> list[int]:
    """Read 0 or 1 of every class from the columns of their names."""
    found = []
    for c, name in enumerate(names):
        said = row.text(name).lower()
        if said not in ("", "0", "1", "0.0", "1.0", "false", "true"):
            raise UserError(f"{row.where}: {name} is {said[:80]!r}, where 0 or 1 is needed")
        found += [c] if said in ("1", "1.0", "true") else []
    return found
