"""Known entries of the training images' labels, from a file: what a method is told, and not for evaluation.

A table, CSV or Parquet, of ``path`` and ``labels`` (classes that the image has, joined by a bar), and, where it has the
column, ``absent`` (classes that it has not; ``*`` is all that are not in ``labels``). Nothing is known of other classes
and of other images.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import rows_of
from ccd_fast.errors import UserError, nearest

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
    index = {name: c for c, name in enumerate(images.class_names)}
    found = np.zeros((len(images), len(index)), dtype=np.int8)
    first, ours = "", 0
    for number, row in rows_of(file, "--known", ("path", "labels")):
        path, where = (row["path"] or "").strip(), f"--known {file}: row {number}"
        first = first or path
        if (row.get("absent") or "").strip() == ALL_OTHERS:
            row["absent"] = "|".join(set(index) - {name.strip() for name in (row["labels"] or "").split("|")})
        present, absent = (_classes(row.get(column), index, where) for column in ("labels", "absent"))
        if both := present & absent:
            raise UserError(f"{where}: {images.class_names[min(both)]!r} stands in labels and in absent")
        if path not in places:
            continue
        if found[places[path]].any():
            raise UserError(f"{where}: {path!r} stands twice")
        ours += 1
        found[places[path], list(present)] = 1
        found[places[path], list(absent)] = -1
    if not ours:
        raise UserError(f"--known {file}: none of its paths is a training image, for example {first!r}")
    if not found.any():
        raise UserError(f"--known {file}: it tells nothing of any training image")
    return found


def _classes(joined: str | None, index: dict[str, int], where: str) -> set[int]:
    names = [name.strip() for name in (joined or "").split("|") if name.strip()]
    for name in names:
        if name not in index:
            raise UserError(f"{where}: class {name!r} is not one of the classes" + nearest(name, list(index)))
    return {index[name] for name in names}
