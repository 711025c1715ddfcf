"""A folder of one's own: any tree of images, a file of class names, and optionally known labels.

The labels are a CSV or Parquet file with the columns ``path`` (relative to the root), ``labels`` (class names
joined by a bar) and optionally ``split`` (train, val or test). They serve evaluation only:

- without a file, every image is for training and none for testing;
- with a split column, ``test`` rows (or ``val`` rows where there is no ``test``) are held out;
- without one, every image is for training and the labelled ones serve for testing as well.

Images that the file does not name are for training, with unknown labels.

A ``boxes.csv`` beside the labels, with the columns ``path,class,x0,y0,x1,y1`` (pixels, half-open), is read as the
ground-truth boxes; rows of images that are not in the split are passed over.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.csv

from ccd_fast.datasets.boxes import Boxes, by_image
from ccd_fast.datasets.description import Description, Form, Yours
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import assembled, read_truth, refuse_foreign
from ccd_fast.errors import UserError, nearest, printable
from ccd_fast.prompts import names_of

SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".jp2"),
        ".gif",
        ".heic",
        ".heif",
        ".avif",
    ]
)
BOX_COLUMNS = ("path", "class", "x0", "y0", "x1", "y1")
MAX_COORDINATE = 100_000.0
"""Pixels; no photograph is larger."""


def load(root: Path, split: str, classes: Path | None, truth: Path | None) -> ImageSet:
    """Load a folder of images.

    Args:
        root: any directory tree; hidden folders and files are passed over.
        split: ``"train"`` or ``"test"``.
        classes: text file of class names, one a line.
        truth: CSV or Parquet of known labels, or None.

    Raises:
        UserError: no images, no classes, a class name twice, or labels or boxes that do not fit.
    """
    if classes is None:
        raise UserError("a folder needs --classes FILE, a text file of class names, one a line")
    prompt_names = read_class_names(classes)
    names = tuple(names_of(prompt_name)[0] for prompt_name in prompt_names)
    labels = read_truth(truth, names) if truth else {}
    images = find_images(root)
    if not images:
        raise UserError(f"--data-root {root}: no images in it ({', '.join(sorted(SUFFIXES))})")
    if truth:
        refuse_foreign(labels, images, truth, root)
    found = assembled("folder", root, split, images, labels, names, prompt_names)
    beside = truth.with_name("boxes.csv") if truth else None
    if beside is None or not beside.is_file():
        return found
    return replace(found, boxes=read_boxes(beside, found.paths, names))


def unlabelled(root: Path, prompt_names: Sequence[str], paths: Sequence[str] | None = None) -> ImageSet:
    """Put images together of which nothing is known.

    Args:
        root: the folder that they are in.
        prompt_names: as :func:`read_class_names` gives them.
        paths: relative to the folder; by default all images in it.

    Raises:
        UserError: there are no images.
    """
    paths = find_images(root) if paths is None else paths
    if not paths:
        raise UserError(f"{root}: no images in it ({', '.join(sorted(SUFFIXES))})")
    names = tuple(names_of(prompt_name)[0] for prompt_name in prompt_names)
    return assembled("folder", root, "train", paths, {}, names, tuple(prompt_names))


def find_images(root: Path) -> list[str]:
    """List the images under a folder as sorted relative paths with forward slashes."""
    relative = (file.relative_to(root) for file in root.rglob("*") if file.suffix.lower() in SUFFIXES)
    return sorted(str(PurePosixPath(path)) for path in relative if not any(p.startswith(".") for p in path.parts))


def read_class_names(file: Path) -> tuple[str, ...]:
    """Read class names, one class a line; blank lines, and remarks after ``# `` at the beginning, do not count.

    A line may give a class several names, ``person | man | woman``: labels know it by the first, and the teacher
    reads them all.

    Returns:
        The lines, as :attr:`ImageSet.prompt_names` holds them.

    Raises:
        UserError: the file is missing, empty, not text, or gives a name twice.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"--classes {file}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--classes {file}: cannot be read as text: {error}") from error
    seen: dict[str, int] = {}
    classes: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("# "):
            continue
        for name in names_of(line):
            if printable(name) != name:
                raise UserError(f"--classes {file}: line {number}: {name!r} holds characters that no name has")
            if not name:
                raise UserError(f"--classes {file}: line {number}: a name is missing beside a bar: {line.strip()!r}")
            if name.lower() in seen:
                first = seen[name.lower()]
                where = f"in lines {first} and {number}" if first != number else f"in line {number}"
                raise UserError(f"--classes {file}: {name!r} stands twice, {where}")
            seen[name.lower()] = number
        classes.append(" | ".join(names_of(line)))
    if len(classes) < 2:
        problem = "is empty" if not classes else "names one class only"
        raise UserError(f"--classes {file}: {problem}; it must name two classes or more, one a line")
    return tuple(classes)


def read_boxes(file: Path, paths: Sequence[str], names: tuple[str, ...]) -> Boxes:
    """Read the ground-truth boxes of some images.

    Args:
        file: CSV with the columns of :data:`BOX_COLUMNS`.
        paths: N paths; rows that name another one are passed over.
        names: C class names.

    Raises:
        UserError: the file has other columns, an unknown class, or a box that cannot be one.
    """
    types = {name: pyarrow.string() if name in ("path", "class") else pyarrow.float64() for name in BOX_COLUMNS}
    try:
        table = pyarrow.csv.read_csv(file, convert_options=pyarrow.csv.ConvertOptions(column_types=types))
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file}: cannot be read as boxes: {error}") from error
    missing = [name for name in BOX_COLUMNS if name not in table.column_names]
    if missing:
        raise UserError(
            f"{file}: no column {missing[0]!r}: a boxes.csv beside the labels must have the columns "
            f"{','.join(BOX_COLUMNS)}; call the file something else if it is none"
        )
    find = pyarrow.compute.index_in
    owner = find(table["path"], pyarrow.array(paths, pyarrow.string())).fill_null(-1).to_numpy()
    classes = find(table["class"], pyarrow.array(names, pyarrow.string())).fill_null(-1).to_numpy().astype(np.int64)
    corners = np.stack([table[name].to_numpy() for name in BOX_COLUMNS[2:]], axis=1)
    if (classes < 0).any():
        row = int((classes < 0).argmax())
        name = str(table["class"][row].as_py())
        raise UserError(f"{file}: row {row + 2}: class {name!r} is not in the class file" + nearest(name, names))
    fits = ((corners >= 0) & (corners <= MAX_COORDINATE)).all(axis=1) & (corners[:, :2] <= corners[:, 2:]).all(axis=1)
    if not fits.all():
        row = int((~fits).argmax())
        raise UserError(f"{file}: row {row + 2}: no such box in a photograph: {corners[row].tolist()}")
    here = owner >= 0
    return by_image(owner[here].astype(np.int64), classes[here], corners[here].astype(np.float32), len(paths))


DESCRIPTION = Description(
    name="folder",
    title="a folder of one's own",
    class_names=(),
    prompt_names=(),
    forms=(
        Form(
            name="any tree of images",
            images={},
            source="your own photographs",
            tree="any/tree/of/images.jpg\nclasses.txt (--classes)\nlabels.csv (--truth, optional)\n"
            "boxes.csv (beside the labels, optional)",
        ),
    ),
    rules="labels serve evaluation only; images that they do not name are for training, with unknown labels",
    yours=Yours(load, find_images),
)
