"""Known entries of the training images' labels, from a file: what a method is told, and not for evaluation.

A table, CSV, Parquet or JSON lines, of ``path`` and ``labels`` (classes that the image has, joined by a bar), and,
where it has the column, ``absent`` (classes that it has not; ``*`` is all that are not in ``labels``). Nothing is
known of other classes and of other images; a row without either says nothing, which is told once.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import Indices
from ccd_fast.datasets.tables import path_in, read_table
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
    places, indices = {path: row for row, path in enumerate(images.paths)}, Indices(images.class_names)
    there = frozenset(places)
    found = np.zeros((len(images), len(images.class_names)), dtype=np.int8)
    first, ours, empty, gone = "", 0, 0, list[str]()
    table = read_table(file, "--known", ("path", "labels"), ("absent", "status"))
    for row in table.rows:
        if row.text("status") == "unreadable":  # as ``label`` writes it: nothing is known of it
            continue
        path = path_in(row.raw("path"), images.root, there, row.where)
        first = first or path
        present = set(indices.of(row.cells.get("labels"), row.where) or [])
        if row.text("absent") == ALL_OTHERS:
            absent = set(range(len(images.class_names))) - present
        else:
            absent = set(indices.of(row.cells.get("absent"), row.where) or [])
        if both := present & absent:
            raise UserError(f"{row.where}: {images.class_names[min(both)]!r} stands in labels and in absent")
        if path not in places:
            if shards_place(images.root / path) is None and not (images.root / path).exists():
                gone.append(path)
            continue
        if found[places[path]].any():
            raise UserError(f"{row.where}: {path!r} stands twice")
        ours += 1
        empty += not present and not absent
        found[places[path], list(present)] = 1
        found[places[path], list(absent)] = -1
    if gone:
        say_once_on_stderr(f"--known {file}: {len(gone)} of its rows name no file, the first {gone[0]}")
    if not ours:
        raise UserError(f"--known {file}: none of its paths is a training image, for example {first!r}")
    if not found.any():
        raise UserError(f"--known {file}: it tells nothing of any training image")
    if empty and "absent" not in table.columns:
        say_once_on_stderr(
            f"--known {file}: {empty} of its rows have no labels and say nothing: where a photograph has none of the "
            "classes, say so with * in a column absent"
        )
    return found
