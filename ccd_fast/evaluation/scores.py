"""Scores as a run measured them, kept beside its figures: ``scores/NAME.parquet``, for intervals and comparisons."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.errors import UserError
from ccd_fast.runs import RunFolder, row_groups


@dataclass(frozen=True)
class Scores:
    """One system's scores of the images that could be read.

    Attributes:
        paths: N paths, relative to the data set's root.
        table: (N, C) float32 in [0, 1].
        truth: (N, C) bool.
        known: (N,) bool, the rows of ``truth`` that are known.
    """

    paths: tuple[str, ...]
    table: torch.Tensor
    truth: torch.Tensor
    known: NDArray[np.bool_]

    def of(self, paths: Sequence[str]) -> "Scores | None":
        """Give the scores of some images, in their order; None where one of them is not here."""
        place = {path: row for row, path in enumerate(self.paths)}
        if not all(path in place for path in paths):
            return None
        rows = [place[path] for path in paths]
        return Scores(tuple(paths), self.table[rows], self.truth[rows], self.known[rows])

    def joined(self, others: Sequence["Scores"]) -> "Scores":
        """Give these scores with those of other images behind them."""
        every = (self, *others)
        return Scores(
            tuple(path for each in every for path in each.paths),
            torch.cat([each.table for each in every]),
            torch.cat([each.truth for each in every]),
            np.concatenate([each.known for each in every]),
        )


def save(folder: RunFolder, name: str, images: ImageSet, scores: torch.Tensor, readable: torch.Tensor) -> None:
    """Write scores into a run's folder: path, truth (class names; null where unknown), a float32 column a class.

    Args:
        folder: of the run.
        name: what was measured, by its name in the summary.
        images: N images.
        scores: (N, C) float32 or float16.
        readable: (N,) bool; other rows are left out.
    """
    every = np.flatnonzero(readable.numpy())
    names = np.array(images.class_names, dtype=object)

    def columns(group: slice) -> list[Any]:
        rows = every[group]
        truth = [
            names[images.truth[row]].tolist() if images.truth is not None and images.known[row] else None
            for row in rows.tolist()
        ]
        paths = pyarrow.array([images.paths[row] for row in rows.tolist()], pyarrow.string())
        about = [paths, pyarrow.array(truth, type=pyarrow.list_(pyarrow.string()))]
        return [*about, *scores[rows].float().numpy().T]

    titles = ["path", "truth", *images.class_names]
    folder.write(name_of(name), lambda temporary: row_groups.write(temporary, titles, len(every), columns))


def copy(folder: RunFolder, name: str, new: str) -> None:
    """Keep scores under another name too."""
    folder.write(name_of(new), lambda temporary: shutil.copyfile(folder.path / name_of(name), temporary))


def common(tables: Mapping[str, Scores]) -> dict[str, Scores]:
    """Give the scores of the images that are in all of some tables: one may have become unreadable between them."""
    every = [set(table.paths) for table in tables.values()]
    first = next(iter(tables.values()))
    paths = [path for path in first.paths if all(path in each for each in every)]
    found = {name: table.of(paths) for name, table in tables.items()}
    return {name: table for name, table in found.items() if table is not None}


def name_of(name: str) -> str:
    """Name the file of what was measured, within the run's folder."""
    return f"scores/{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.parquet"


def read(run: Path, name: str, class_names: Sequence[str]) -> Scores | None:
    """Read the scores of what was measured; None where the run has kept none, being older than this.

    Raises:
        UserError: the file is not what a run wrote.
    """
    file = run / name_of(name)
    if not file.is_file():
        return None
    try:
        found = pyarrow.parquet.ParquetFile(file).read()
        place: Mapping[str, int] = {each: c for c, each in enumerate(class_names)}
        table = np.stack([_last(found, each).to_numpy() for each in class_names], axis=1)
        labels = found.column(1).to_pylist()
        truth = np.zeros(table.shape, dtype=bool)
        for row, of_one in enumerate(labels):
            truth[row, [place[each] for each in of_one or ()]] = True
        paths = tuple(found.column(0).to_pylist())
    except (OSError, pyarrow.ArrowException, LookupError, ValueError, TypeError) as error:
        raise UserError(f"{file}: not what a run of ccd-fast wrote: {error}") from error
    known = np.array([of_one is not None for of_one in labels], dtype=bool)
    return Scores(paths, torch.from_numpy(table.astype(np.float32)), torch.from_numpy(truth), known)


def _last(table: pyarrow.Table, name: str) -> pyarrow.ChunkedArray:
    """Give a class's column: it stands behind those of the table itself, should a class be called like one of them."""
    places: list[int] = table.schema.get_all_field_indices(name)
    return table.column(max(places))
