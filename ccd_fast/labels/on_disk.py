"""The label table on disk: ``labels/epoch-002.parquet`` of a run, as it was at the start of that epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from ccd_fast.datasets import ImageSet
from ccd_fast.labels.table import PseudoLabels
from ccd_fast.runs import RunFolder


def save(folder: RunFolder, epoch: int, images: ImageSet, labels: PseudoLabels) -> None:
    """Write the table into a run's folder: path, status, confident, a float32 column a class."""
    status = ["labelled" if readable else "unreadable" for readable in labels.readable.tolist()]
    columns: dict[str, Any] = {"path": list(images.paths), "status": status, "confident": labels.confident.numpy()}
    columns |= {name: labels.table[:, c].numpy() for c, name in enumerate(images.class_names)}
    table = pyarrow.Table.from_arrays([pyarrow.array(column) for column in columns.values()], names=list(columns))
    folder.write(name_of(epoch), lambda temporary: pyarrow.parquet.write_table(table, temporary))


def name_of(epoch: int) -> str:
    """Name the file of an epoch, within the run's folder."""
    return f"labels/epoch-{epoch:03d}.parquet"


def files(run: Path) -> list[Path]:
    """List the tables of a run, the first labels first."""
    return sorted((run / "labels").glob("epoch-*.parquet"))


def read(file: Path, columns: Sequence[str]) -> pyarrow.Table:
    """Read some columns of a table."""
    return pyarrow.parquet.read_table(file, columns=list(columns))
