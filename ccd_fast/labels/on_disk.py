"""The label table on disk: ``labels/epoch-002.parquet`` of a run, as it was at the start of that epoch."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from ccd_fast.datasets import ImageSet
from ccd_fast.datasets.tables import columns_of
from ccd_fast.labels.table import PseudoLabels
from ccd_fast.runs import RunFolder, row_groups


def save(folder: RunFolder, epoch: int, images: ImageSet, labels: PseudoLabels) -> None:
    """Write the table into a run's folder: path, status, confident, a float32 column a class, the classes in order."""

    def columns(rows: slice) -> list[Any]:
        status = ["labelled" if readable else "unreadable" for readable in labels.readable[rows].tolist()]
        about = [pyarrow.array(images.paths[rows], pyarrow.string()), status, labels.confident[rows].numpy()]
        return [*about, *labels.table[rows].float().numpy().T]

    names = ["path", "status", "confident", *columns_of(images.class_names)]
    folder.write(name_of(epoch), lambda temporary: row_groups.write(temporary, names, len(images), columns))


def name_of(epoch: int) -> str:
    """Name the file of an epoch, within the run's folder."""
    return f"labels/epoch-{epoch:03d}.parquet"


def files(run: Path) -> list[Path]:
    """List the tables of a run, the first labels first."""
    return sorted((run / "labels").glob("epoch-*.parquet"))


def words(file: Path, column: str) -> list[str]:
    """Read a column of words: ``path`` or ``status``."""
    found: list[str] = pyarrow.parquet.read_table(file, columns=[column]).column(column).to_pylist()
    return found


def of_classes(file: Path, count: int) -> NDArray[np.float32]:
    """Read the labels, (N, C) float32: the last columns, whatever they are called."""
    with pyarrow.parquet.ParquetFile(file) as opened:
        columns = opened.read().columns[-count:]
    return np.stack([column.to_numpy() for column in columns], axis=1).astype(np.float32)
