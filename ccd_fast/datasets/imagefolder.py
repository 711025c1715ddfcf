"""A folder of images as Hugging Face's ``datasets`` reads it (``imagefolder``).

Splits are folders of the root, ``train/``, ``validation/``, ``test/``. What is known of an image stands in a
``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet`` of its folder or one above, by ``file_name``, under
``labels``, ``label``, or ``objects`` with ``categories`` or ``category``; where there is no such file, the folder that
holds an image is its class.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec
import pyarrow
import pyarrow.parquet

from ccd_fast.datasets.description import Description, Form, Yours
from ccd_fast.datasets.folder import read_class_names
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import SPELLINGS, Indices, Labels, Value, assembled, overridden
from ccd_fast.datasets.listing import SUFFIXES, find_images, listed
from ccd_fast.datasets.tables import listed as list_in
from ccd_fast.datasets.tables import path_in, read_table
from ccd_fast.errors import UserError, is_name
from ccd_fast.prompts import BAR, names_of
from ccd_fast.text import decoded, lines_of

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


class _Said(NamedTuple):
    """The labels of an image, where they stand, and whether they are those of its objects, one after the other."""

    value: Value
    where: str
    by_object: bool = False


Said = dict[str, _Said]
"""By path."""

Category = str | int | float


class _Object(msgspec.Struct):
    category: Category | None = None


class _Objects(msgspec.Struct):
    categories: list[Category] | None = None
    category: list[Category] | Category | None = None

    def all(self) -> list[Category] | None:
        """Give the categories, whichever way they are called."""
        found = self.category if self.categories is None else self.categories
        return found if found is None or isinstance(found, list) else [found]


class _Row(msgspec.Struct):
    """What is wanted of a row of metadata; the rest, captions for one, is passed over."""

    file_name: str
    labels: Value = None
    label: Value = None
    objects: _Objects | list[_Object] | None = None

    def said(self, where: str) -> _Said:
        """Give the labels, wherever they stand."""
        for value in (self.labels, self.label):
            if value is not None:
                return _Said(value, where)
        if isinstance(self.objects, list):
            return _Said([each.category for each in self.objects if each.category is not None], where, by_object=True)
        return _Said(self.objects.all() if self.objects else None, where, by_object=True)


def load(root: Path, split: str, classes: Path | None, truth: Path | None) -> ImageSet:
    """Load one split.

    Args:
        root: the folder.
        split: ``"train"`` or ``"test"``.
        classes: text file of class names, one a line; by default the names that the labels use.
        truth: table of known labels in place of the folder's own, or None.

    Raises:
        UserError: no images, no classes, or metadata or labels that do not fit.
    """
    images = find_images(root)
    if not images:
        raise UserError(f"--data-root {root}: no images in it ({', '.join(sorted(SUFFIXES))})")
    said = _metadata(root, frozenset(images))
    has_splits = bool(said) or not are_classes(images, root)
    splits = {path: split_of(path) if has_splits else "" for path in (*images, *said)}
    if not said:
        said = {path: _Said([name], path) for path in images if (name := class_folder(path, splits[path]))}
    if classes is not None:
        prompt_names = read_class_names(classes)
        names = tuple(names_of(prompt_name)[0] for prompt_name in prompt_names)
    else:
        names = _names(said, root)
        prompt_names = tuple(name.replace("_", " ") for name in names)
    there, indices, labels = frozenset(images), Indices(names), Labels()
    for path in (*images, *(path for path in said if path not in there)):
        part = splits[path]
        of_one = indices.of(*said[path]) if path in said and truth is None else None
        if part or of_one is not None or path not in there:
            labels[path] = (part, of_one)
    if truth is not None:
        labels = overridden(labels, truth, there, root, names)
    return assembled("imagefolder", root, split, images, labels, names, prompt_names)


def split_of(path: str) -> str:
    """Give the split whose folder an image is in; ``""`` where there is none."""
    first, slash, _ = path.partition("/")
    return SPELLINGS.get(first.lower(), "") if slash else ""


def are_classes(images: Sequence[str], root: Path) -> bool:
    """Tell whether the folders of the root are classes though one of them, ``train`` for one, is called as a split is.

    They are if all of them hold images themselves, and one of them at least has a name that no split has.

    Raises:
        UserError: folders of classes stand beside folders of splits that hold folders of classes.
    """
    below: dict[str, bool] = {}
    for path in images:
        folder, slash, rest = path.partition("/")
        if slash:
            below[folder] = below.get(folder, False) or "/" in rest
    splits = [name for name in below if name.lower() in SPELLINGS]
    others = [name for name in below if name.lower() not in SPELLINGS]
    if not splits or not others:
        return False
    if any(below[name] for name in splits):
        raise UserError(
            f"--data-root {root}: the folder {splits[0]} is that of a split, and {others[0]} beside it is none: "
            f"whether {splits[0]} is a class, too, cannot be told; put all images below train/ and test/"
        )
    return True


def class_folder(path: str, split: str) -> str:
    """Give the folder that holds an image, below the one of its split; ``""`` where there is none."""
    folders = PurePosixPath(path).parts[1 if split else 0 : -1]
    return folders[-1] if folders else ""


def _names(said: Said, root: Path) -> tuple[str, ...]:
    """Gather the classes that the labels name, in alphabetical order."""
    found: set[str] = set()
    for value, where, _ in said.values():
        in_a_list = list_in(value) if isinstance(value, str) else value
        several = in_a_list.split(BAR) if isinstance(in_a_list, str) else in_a_list
        for each in several if isinstance(several, list) else [several]:
            if isinstance(each, int | float):
                raise UserError(f"{where}: class number {each}: say what it is called with --classes FILE")
            name = unicodedata.normalize("NFC", (each or "").strip())
            if not is_name(name) or BAR in name:
                raise UserError(f"{where}: {name!r} holds characters that no class name has")
            found |= {name} if name else set()
    if len(found) < 2:
        raise UserError(
            f"--data-root {root}: {len(found) or 'no'} class is named by its folders or metadata, and two are needed: "
            "name them with --classes FILE, a text file of class names, one a line"
        )
    return tuple(sorted(found))


def _metadata(root: Path, images: frozenset[str]) -> Said:
    """Read what all metadata of a folder say, by path relative to the root."""
    said: Said = {}
    files = [PurePosixPath(path) for path in listed(root).files if path.rpartition("/")[2] in METADATA]
    for folder in dict.fromkeys(file.parent for file in files):
        beside = [file.name for file in files if file.parent == folder]
        if len(beside) > 1:
            both = " and ".join(sorted(beside))
            raise UserError(f"{root / folder}: both {both} are there; which one is meant cannot be told")
    for relative in files:
        file, folder = root / relative, relative.parent
        below = f"{folder}/" if folder.parts else ""
        there = frozenset(path[len(below) :] for path in images if path.startswith(below))
        for number, row in READERS[file.suffix](file):
            where = f"{file}: row {number}"
            path = below + path_in(row.file_name, root / folder, there, where)
            if path in said:
                raise UserError(f"{where}: {row.file_name!r} stands twice")
            said[path] = row.said(where)
    return said


def _csv(file: Path) -> Iterator[tuple[int, _Row]]:
    """Read a table; an empty ``label`` says nothing, empty ``labels`` say that there is none."""
    table = read_table(file, "", ("file_name",), ("labels", "label"))
    for number, row in enumerate(table.rows, start=2):
        labels = row.text("labels") if "labels" in table.columns else None
        yield number, _Row(row.raw("file_name"), labels=labels, label=row.text("label") or None)


def _jsonl(file: Path) -> Iterator[tuple[int, _Row]]:
    number = 0
    try:
        for number, line in enumerate(lines_of(decoded(file.read_bytes(), str(file))), start=1):
            if line.strip():
                yield number, msgspec.json.decode(line, type=_Row)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise UserError(f"{file}: row {number}: not as metadata have it: {error}") from error


def _parquet(file: Path) -> Iterator[tuple[int, _Row]]:
    try:
        there = pyarrow.parquet.read_schema(file).names
        columns = [name for name in _Row.__struct_fields__ if name in there]
        rows = pyarrow.parquet.read_table(file, columns=columns).to_pylist()
        for number, row in enumerate(rows, start=1):
            yield number, msgspec.convert(row, _Row)
    except (OSError, pyarrow.ArrowException, msgspec.MsgspecError) as error:
        raise UserError(f"{file}: not as metadata have it: {error}") from error


READERS = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
"""By the ending of a file of metadata; each gives the rows with their numbers."""

DESCRIPTION = Description(
    name="imagefolder",
    title="a folder of images as Hugging Face's datasets reads it",
    class_names=(),
    prompt_names=(),
    forms=(
        Form(
            name="the folder that holds an image is its class",
            images={},
            source="your own photographs",
            tree="train/cat/1.jpg\ntest/dog/2.jpg (train, validation or test: the split; may be left out)\n"
            "classes.txt (--classes; by default the names of the folders)",
        ),
        Form(
            name="with metadata",
            images={},
            source="your own photographs",
            tree="train/1.jpg\ntrain/metadata.csv, .jsonl or .parquet (file_name; labels or label)\n"
            "classes.txt (--classes; by default the names that the labels use)",
        ),
    ),
    rules="labels serve evaluation only; without splits every image is for training, and the labelled ones for testing "
    "too",
    yours=Yours(load, find_images),
)
