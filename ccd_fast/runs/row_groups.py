"""A long Parquet file, written some rows at a time: nobody holds all of its columns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from ccd_fast.machine.blocks import blocks

Columns = Callable[[slice], list[Any]]


def write(file: Path, names: list[str], rows: int, columns: Columns) -> None:
    """Write a file of so many rows.

    Args:
        file: to write.
        names: of the columns; two may be the same.
        rows: how many.
        columns: gives the columns of some rows, as pyarrow takes them; of no row too.
    """
    groups = list(blocks(range(rows), len(names))) or [slice(0, 0)]
    writer = None
    try:
        for group in groups:
            table = pyarrow.Table.from_arrays([pyarrow.array(column) for column in columns(group)], names=names)
            writer = writer or pyarrow.parquet.ParquetWriter(file, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
