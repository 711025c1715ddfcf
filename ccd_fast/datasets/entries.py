"""Known entries of the training images' labels, from a file: what a method is told, and not for evaluation.

A table, CSV, Parquet or JSON lines, of ``path`` and ``labels`` (classes that the image has, joined by a bar), and,
where it has the column, ``absent`` (classes that it has not; ``*`` is all that are not in ``labels``). Nothing is
known of other classes and of other images; a row without either says nothing, which is told once. A file that ends in
``.json`` is what another program exports (:mod:`ccd_fast.datasets.annotated`).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccd_fast.datasets import annotated
from ccd_fast.datasets.annotated import Told
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import Indices
from ccd_fast.datasets.tables import columns_of, path_in, read_table
from ccd_fast.errors import UserError
from ccd_fast.machine import say_once_on_stderr
from ccd_fast.views.shards import place as shards_place

ALL_OTHERS = "*"


def read(file: Path, images: ImageSet) -> NDArray[np.int8]:
    """Read known entries.

    Args:
        file: the table; rows of other images, such as test images, are passed over.
        images: N training images of C classes.

    Returns:
        (N, C) int8: +1, -1, or 0 where nothing is known.

    Raises:
        UserError: the file cannot be read, names an unknown class, contradicts itself, or is of other images.
    """
    places = {path: row for row, path in enumerate(images.paths)}
    found = np.zeros((len(images), len(images.class_names)), dtype=np.int8)
    first, ours, gone = "", 0, list[str]()
    for told in annotated.read(file, images) if file.suffix.lower() == ".json" else _table(file, images):
        first = first or told.path
        if told.path not in places:
            if shards_place(images.root / told.path) is None and not (images.root / told.path).exists():
                gone.append(told.path)
            continue
        if found[places[told.path]].any():
            raise UserError(f"{told.where}: {told.path!r} stands twice")
        ours += 1
        found[places[told.path], list(told.present)] = 1
        found[places[told.path], list(told.absent)] = -1
    if not ours:
        why = f"none of its paths is a training image, for example {first!r}" if first else "no rows in it"
        raise UserError(f"--known {file}: {why}")
    if gone:
        say_once_on_stderr(f"--known {file}: {len(gone)} of its rows name no file, the first {gone[0]}")
    if not found.any():
        raise UserError(f"--known {file}: it tells nothing of any training image")
    return found


def _table(file: Path, images: ImageSet) -> Iterator[Told]:
    indices, there, empty = Indices(images.class_names), frozenset(images.paths), 0
    table = read_table(file, "--known", ("path", "labels"), ("absent", "status"))
    if "absent" not in table.columns and {*columns_of(images.class_names)} <= {*table.columns}:
        say_once_on_stderr(
            f"warning: --known {file}: it has a number for each class, as `label` writes it: every label in it is "
            "taken for known, also where nobody has looked"
        )
    for row in table.rows:
        if row.text("status") == "unreadable":  # as ``label`` writes it: nothing is known of it
            continue
        path = path_in(row.raw("path"), images.root, there, row.where)
        present = set(indices.of(row.cells.get("labels"), row.where) or [])
        if row.text("absent") == ALL_OTHERS:
            absent = set(range(len(images.class_names))) - present
        else:
            absent = set(indices.of(row.cells.get("absent"), row.where) or [])
        if both := present & absent:
            raise UserError(f"{row.where}: {images.class_names[min(both)]!r} stands in labels and in absent")
        empty += path in there and not present and not absent
        yield Told(row.where, path, present, absent)
    if empty and "absent" not in table.columns:
        say_once_on_stderr(
            f"--known {file}: {empty} of its rows have no labels and say nothing: where a photograph has none of the "
            "classes, say so with * in a column absent"
        )
