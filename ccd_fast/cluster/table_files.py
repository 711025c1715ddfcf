"""What is written for a shard: the scores between the two passes, the labels at the end, what could not be read."""

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import torch

from ccd_fast.cluster.storage import Place
from ccd_fast.errors import RunError
from ccd_fast.outputs import Labelled, label_files
from ccd_fast.outputs.label_files import Decided
from ccd_fast.text import as_csv

SCORES, LABELS, QUARANTINE, DONE = "scores", "labels", "quarantine", "done"
"""Folders of the output. A shard is done where its table and its record below ``done/`` are there."""


@dataclass(frozen=True)
class Seen:
    """What the teacher has seen in N photographs of a shard, before any bias.

    Attributes:
        keys: what each is called.
        scores: p, (N, C) float32, of the whole images; zero in unreadable rows.
        best: q, (N, C) float32, the elementwise maximum over a grid's cells; None where there is no grid.
        readable: (N,) bool.
        looked: (N,) bool, rows whose cells were seen.
        unreadable: row to reason.
    """

    keys: tuple[str, ...]
    scores: torch.Tensor
    best: torch.Tensor | None
    readable: torch.Tensor
    looked: torch.Tensor
    unreadable: dict[int, str]


def scores_of(name: str) -> str:
    """Name the table of a shard's scores."""
    return f"{SCORES}/{name}.parquet"


def labels_of(name: str) -> str:
    """Name the table of a shard's labels."""
    return f"{LABELS}/{name}.parquet"


def write_scores(out: Place, name: str, seen: Seen) -> None:
    """Keep what was seen of a shard."""
    reasons = [seen.unreadable.get(row) for row in range(len(seen.keys))]
    columns: dict[str, Any] = {
        "path": pyarrow.array(seen.keys, pyarrow.string()),
        "readable": pyarrow.array(seen.readable.numpy()),
        "looked": pyarrow.array(seen.looked.numpy()),
        "reason": pyarrow.array(reasons, pyarrow.string()),
        "scores": _as_lists(seen.scores),
    }
    if seen.best is not None:
        columns["best"] = _as_lists(seen.best)
    out.write(scores_of(name), _parquet(pyarrow.table(columns)))


def read_scores(out: Place, name: str) -> Seen:
    """Read what :func:`write_scores` kept.

    Raises:
        RunError: it is damaged.
    """
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(out.read(scores_of(name))))
        readable, looked = (torch.tensor(table[name].to_pylist(), dtype=torch.bool) for name in ("readable", "looked"))
        best = _as_tensor(table["best"]) if "best" in table.column_names else None
        reasons = {row: reason for row, reason in enumerate(table["reason"].to_pylist()) if reason is not None}
        return Seen(tuple(table["path"].to_pylist()), _as_tensor(table["scores"]), best, readable, looked, reasons)
    except (pyarrow.ArrowException, FileNotFoundError, KeyError) as error:
        raise RunError(
            f"{out.at}/{scores_of(name)}: gone or damaged: remove it and go on with --incremental"
        ) from error


def write_labels(out: Place, name: str, labelled: Labelled, decided: Decided, top: int | None) -> None:
    """Write a shard's labels, as ``label`` writes Parquet; and before them the list of what could not be read.

    Args:
        out: the output.
        name: of the shard.
        labelled: its N photographs.
        decided: (N, C), which labels each has.
        top: keep the likeliest so many numbers of each photograph in place of a column a class.
    """
    paths = labelled.images.paths
    if labelled.unreadable:
        rows = ((paths[row], reason) for row, reason in sorted(labelled.unreadable.items()))
        out.write(f"{QUARANTINE}/{name}.csv", as_csv([("path", "reason"), *rows]).encode())
    content = label_files.parquet(labelled, decided)
    if top is not None:
        content = _parquet(_likeliest(pyarrow.parquet.read_table(io.BytesIO(content)), labelled, top))
    out.write(labels_of(name), content)


def _likeliest(table: pyarrow.Table, labelled: Labelled, top: int) -> pyarrow.Table:
    """Put the names and numbers of the likeliest classes in the place of the columns of classes."""
    values, classes = labelled.table.sort(dim=1, descending=True, stable=True)
    names = np.array(labelled.images.class_names, dtype=object)[classes[:, :top].numpy()]
    kept = table.select(["path", "status", "labels"])
    kept = kept.append_column("likeliest", pyarrow.array(names.tolist(), pyarrow.list_(pyarrow.string())))
    return kept.append_column("values", pyarrow.array(values[:, :top].tolist(), pyarrow.list_(pyarrow.float32())))


def write_record(out: Place, which: str, name: str, record: dict[str, Any]) -> None:
    """Say that a shard's table is there, and what it holds: the last that is written of it."""
    out.write(f"{DONE}/{which}/{name}.json", (json.dumps(record, ensure_ascii=False) + "\n").encode())


def _as_lists(table: torch.Tensor) -> pyarrow.Array:
    """Give (N, C) float32 as a column whose cells are C numbers."""
    flat = pyarrow.array(table.cpu().contiguous().numpy().reshape(-1))
    return pyarrow.FixedSizeListArray.from_arrays(flat, table.shape[1])


def _as_tensor(column: pyarrow.ChunkedArray) -> torch.Tensor:
    flat = column.combine_chunks().flatten().to_numpy()
    return torch.from_numpy(np.array(flat, dtype=np.float32).reshape(len(column), -1))


def _parquet(table: pyarrow.Table) -> bytes:
    file = io.BytesIO()
    words = [name for name in ("path", "reason", "status") if name in table.column_names]
    pyarrow.parquet.write_table(table, file, use_dictionary=words)  # numbers that differ have no use for one
    return file.getvalue()
