"""A folder of one's own: any tree of images, a file of class names, and optionally known labels.

The labels are a CSV, Parquet or JSON lines file with the columns ``path`` (relative to the root), ``labels`` (class
names joined by a bar, or listed) and optionally ``split`` (train, val or test). They serve evaluation only:

- without a file, every image is for training and none for testing;
- with a split column, ``test`` rows (or ``val`` rows where there is no ``test``) are held out;
- without one, every image is for training and the labelled ones serve for testing as well.

Images that the file does not name are for training, with unknown labels.

A ``boxes.csv`` beside the labels, with the columns ``path,class,x0,y0,x1,y1`` (pixels, half-open), is read as the
ground-truth boxes; rows of images that are not in the split are passed over.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ccd_fast.datasets.boxes import Boxes, by_image
from ccd_fast.datasets.description import Description, Form, Yours
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import assembled, read_truth
from ccd_fast.datasets.listing import SUFFIXES, find_images
from ccd_fast.datasets.tables import Row, read_table
from ccd_fast.errors import UserError, is_name, nearest
from ccd_fast.prompts import BAR, names_of
from ccd_fast.text import MARK, lines_of, read_text

BOX_COLUMNS = ("path", "class", "x0", "y0", "x1", "y1")
MAX_COORDINATE = 100_000.0
"""Pixels; no photograph is larger."""


def load(root: Path, split: str, classes: Path | None, truth: Path | None) -> ImageSet:
    """Load a folder of images.

    Args:
        root: any directory tree; hidden folders and files are passed over.
        split: ``"train"`` or ``"test"``.
        classes: text file of class names, one a line.
        truth: CSV, Parquet or JSON lines of known labels, or None.

    Raises:
        UserError: no images, no classes, a class name twice, or labels or boxes that do not fit.
    """
    if classes is None:
        raise UserError("a folder needs --classes FILE, a text file of class names, one a line")
    prompt_names = read_class_names(classes)
    names = tuple(names_of(prompt_name)[0] for prompt_name in prompt_names)
    images = find_images(root)
    if not images:
        raise UserError(f"--data-root {root}: no images in it ({', '.join(sorted(SUFFIXES))})")
    labels = read_truth(truth, names, root, images) if truth else {}
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


def read_class_names(file: Path) -> tuple[str, ...]:
    """Read class names, one class a line; blank lines, and remarks after ``# `` at the beginning, do not count.

    A line may give a class several names, ``person | man | woman``: labels know it by the first, and the teacher
    reads them all.

    Returns:
        The lines, as :attr:`ImageSet.prompt_names` holds them.

    Raises:
        UserError: the file is missing, empty, not text, or gives a name twice.
    """
    lines = enumerate(lines_of(read_text(file, "--classes")), start=1)
    kept = {number: line.replace(MARK, "") for number, line in lines if line.strip() and not line.startswith("# ")}
    return _checked(kept, f"--classes {file}", "line")


def given_class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check class names that a program gives, as :func:`read_class_names` checks those of a file.

    Raises:
        UserError: a name is missing, stands twice, or is one that no class file could hold.
    """
    for number, name in enumerate(names, start=1):
        if name.startswith("# "):
            raise UserError(
                f"classes: name {number}: {name!r} would be a remark in a file of classes: call it otherwise"
            )
    return _checked(dict(enumerate(names, start=1)), "classes", "name")


def _checked(lines: Mapping[int, str], whose: str, unit: str) -> tuple[str, ...]:
    """Check the names of classes, by their numbers in what they come from."""
    seen: dict[str, int] = {}
    classes: list[str] = []
    for number, line in lines.items():
        for name in names_of(unicodedata.normalize("NFC", line)):
            if not is_name(name):
                raise UserError(f"{whose}: {unit} {number}: {name!r} holds characters that no name has")
            if not name:
                raise UserError(
                    f"{whose}: {unit} {number}: a name is missing{' beside a bar' * (BAR in line)}: {line.strip()!r}"
                )
            if name.lower() in seen:
                first = seen[name.lower()]
                where = f"in {unit}s {first} and {number}" if first != number else f"in {unit} {number}"
                raise UserError(f"{whose}: {name!r} stands twice, {where}")
            seen[name.lower()] = number
        classes.append(f" {BAR} ".join(names_of(unicodedata.normalize("NFC", line))))
    if len(classes) < 2:
        problem = "is empty" if not classes else "names one class only"
        raise UserError(f"{whose}: {problem}; it must name two classes or more, one a line")
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
    table = read_table(file, "", BOX_COLUMNS)
    row_of, class_of = ({name: n for n, name in enumerate(each)} for each in (paths, names))
    owner = np.fromiter((row_of.get(_path(row, row_of), -1) for row in table.rows), np.int64, len(table.rows))
    classes = np.fromiter((class_of.get(row.text("class"), -1) for row in table.rows), np.int64, len(table.rows))
    flat = [row.number(side) for row in table.rows for side in BOX_COLUMNS[2:]]
    corners = np.array(flat, dtype=np.float64).reshape(-1, 4)
    if (classes < 0).any():
        row = table.rows[int((classes < 0).argmax())]
        name = row.text("class")
        raise UserError(f"{row.where}: class {name!r} is not in the class file" + nearest(name, names))
    fits = ((corners >= 0) & (corners <= MAX_COORDINATE)).all(axis=1) & (corners[:, :2] <= corners[:, 2:]).all(axis=1)
    if not fits.all():
        worst = int((~fits).argmax())
        raise UserError(f"{table.rows[worst].where}: no such box in a photograph: {corners[worst].tolist()}")
    here = owner >= 0
    return by_image(owner[here], classes[here], corners[here].astype(np.float32), len(paths))


def _path(row: Row, known: Mapping[str, int]) -> str:
    ways = (row.raw("path"), row.text("path"), row.text("path").replace("\\", "/"))
    return next((path for path in ways if path in known), ways[-1])


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
