"""A folder of images as Hugging Face's ``datasets`` reads it (``imagefolder``).

Splits are folders of the root, ``train/``, ``validation/``, ``test/``. What is known of an image stands in a
``metadata.csv``, ``metadata.jsonl`` or ``metadata.parquet`` of its folder or one above, by ``file_name``, under
``labels``, ``label``, or ``objects`` with ``categories``; where there is no such file, the folder that holds an image
is its class.
"""

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec
import pyarrow
import pyarrow.parquet

from ccd_fast.datasets import tree
from ccd_fast.datasets.description import Description, Form, Yours
from ccd_fast.datasets.folder import SUFFIXES, find_images, read_class_names
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import SPELLINGS, Indices, Labels, Value, assembled, overridden
from ccd_fast.errors import UserError, printable
from ccd_fast.prompts import BAR, names_of

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
Said = dict[str, tuple[Value, str]]
"""By path: the labels, and where they stand."""


class _Objects(msgspec.Struct):
    categories: list[str | int] | None = None


class _Row(msgspec.Struct):
    """What is wanted of a row of metadata; the rest, captions for one, is passed over."""

    file_name: str
    labels: Value = None
    label: Value = None
    objects: _Objects | None = None

    def value(self) -> Value:
        """Give the labels, wherever they stand."""
        if self.labels is not None:
            return self.labels
        return self.label if self.label is not None else self.objects.categories if self.objects else None


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
    said = _metadata(root)
    if not said:
        said = {path: ([name], path) for path in images if (name := class_folder(path))}
    if classes is not None:
        prompt_names = read_class_names(classes)
        names = tuple(names_of(prompt_name)[0] for prompt_name in prompt_names)
    else:
        names = _names(said, root)
        prompt_names = tuple(name.replace("_", " ") for name in names)
    there, indices, labels = frozenset(images), Indices(names), Labels()
    for path in (*images, *(path for path in said if path not in there)):
        part = split_of(path)
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


def class_folder(path: str) -> str:
    """Give the folder that holds an image, below the one of its split; ``""`` where there is none."""
    folders = PurePosixPath(path).parts[1 if split_of(path) else 0 : -1]
    return folders[-1] if folders else ""


def _names(said: Said, root: Path) -> tuple[str, ...]:
    """Gather the classes that the labels name, in alphabetical order."""
    found: set[str] = set()
    for value, where in said.values():
        listed = value if isinstance(value, list) else value.split("|") if isinstance(value, str) else [value]
        for each in listed:
            if isinstance(each, int):
                raise UserError(f"{where}: class number {each}: say what it is called with --classes FILE")
            name = (each or "").strip()
            if printable(name) != name or BAR in name:
                raise UserError(f"{where}: {name!r} holds characters that no class name has")
            found |= {name} if name else set()
    if len(found) < 2:
        raise UserError(
            f"--data-root {root}: {len(found) or 'no'} class is named by its folders or metadata, and two are needed: "
            "name them with --classes FILE, a text file of class names, one a line"
        )
    return tuple(sorted(found))


def _metadata(root: Path) -> Said:
    """Read what all metadata of a folder say, by path relative to the root."""
    said: Said = {}
    for file in sorted(file for name in METADATA for file in root.rglob(name)):
        folder = file.relative_to(root).parent
        if any(part.startswith(".") for part in folder.parts):
            continue
        beside = [name for name in METADATA if (file.parent / name).is_file()]
        if len(beside) > 1:
            raise UserError(f"{file.parent}: both {' and '.join(beside)} are there; which one is meant cannot be told")
        for number, row in READERS[file.suffix](file):
            where = f"{file}: row {number}"
            if tree.leads_out(row.file_name):
                raise UserError(f"{where}: {row.file_name!r} must be a path inside the folder")
            path = (folder / PurePosixPath(row.file_name)).as_posix()
            if path in said:
                raise UserError(f"{where}: {row.file_name!r} stands twice")
            said[path] = (row.value(), where)
    return said


def _csv(file: Path) -> Iterator[tuple[int, _Row]]:
    """Read a table; an empty ``label`` says nothing, empty ``labels`` say that there is none."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            if "file_name" not in (reader.fieldnames or []):
                raise UserError(f"{file}: no column 'file_name'; it has {', '.join(reader.fieldnames or []) or 'none'}")
            for number, row in enumerate(reader, start=2):
                yield number, _Row(row["file_name"] or "", labels=row.get("labels"), label=row.get("label") or None)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error


def _jsonl(file: Path) -> Iterator[tuple[int, _Row]]:
    number = 0
    try:
        with file.open("rb") as handle:
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield number, msgspec.json.decode(line, type=_Row)
    except (OSError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
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
