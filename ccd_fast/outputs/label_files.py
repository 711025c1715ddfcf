"""Labels as files for other programs: CSV, Parquet, JSON lines, COCO's JSON, and JSON for Label Studio.

Whoever gave the labels, a teacher or a student, the files are of one form: paths relative to the folder that was looked
at, the names of the labels, and the number that stands behind each class. ``--truth`` reads CSV and Parquet back.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray
from PIL import Image

from ccd_fast import __version__
from ccd_fast.errors import UserError
from ccd_fast.outputs.labelling import Labelled
from ccd_fast.views import shards

Decided = NDArray[np.bool_]

ROTATED = range(5, 9)
"""EXIF orientations that exchange width and height."""
LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves files of its own disk, relative to its document root."""


def parquet(labelled: Labelled, decided: Decided) -> bytes:
    """Give a row a photograph: path, status, labels (a list of names), and the label of every class as a column."""
    images = labelled.images
    status = ["labelled" if readable else "unreadable" for readable in labelled.readable.tolist()]
    columns: dict[str, Any] = {"path": list(images.paths), "status": status}
    columns["labels"] = [_names(images.class_names, row) for row in decided]
    arrays = [pyarrow.array(columns["path"]), pyarrow.array(status)]
    arrays.append(pyarrow.array(columns["labels"], type=pyarrow.list_(pyarrow.string())))
    arrays += [pyarrow.array(labelled.table[:, c].numpy()) for c in range(len(images.class_names))]
    file = io.BytesIO()
    names = ["path", "status", "labels", *images.class_names]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, names=names), file)
    return file.getvalue()


def csv_table(labelled: Labelled, decided: Decided) -> bytes:
    """Give a row a photograph that could be read: path, labels joined by a bar, and every class's label.

    ``train --truth`` reads it back once people have corrected it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = labelled.images.class_names
    writer.writerow(["path", "labels", *names])
    for row in np.flatnonzero(labelled.readable.numpy()).tolist():
        values = (f"{value:.6f}" for value in labelled.table[row].tolist())
        writer.writerow([labelled.images.paths[row], "|".join(_names(names, decided[row])), *values])
    return text.getvalue().encode()


def json_lines(labelled: Labelled, decided: Decided) -> bytes:
    """Give an object a photograph that could be read: path, labels, and the number of every class."""
    names = labelled.images.class_names
    rows = (
        {
            "path": labelled.images.paths[row],
            "labels": _names(names, decided[row]),
            "probabilities": dict(zip(names, labelled.table[row].tolist(), strict=True)),
        }
        for row in np.flatnonzero(labelled.readable.numpy()).tolist()
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def coco(labelled: Labelled, decided: Decided) -> bytes:
    """Give COCO's JSON: an annotation a label, its box the whole photograph, its score the label."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in np.flatnonzero(labelled.readable.numpy()).tolist():
        width, height = _size(labelled.images.root / labelled.images.paths[row])
        images.append({"id": row + 1, "file_name": labelled.images.paths[row], "width": width, "height": height})
        for c in np.flatnonzero(decided[row]).tolist():
            annotation = {"id": len(annotations) + 1, "image_id": row + 1, "category_id": c + 1, "iscrowd": 0}
            place = {"bbox": [0, 0, width, height], "area": width * height, "segmentation": []}
            annotations.append({**annotation, **place, "score": round(float(labelled.table[row, c]), 4)})
    categories = [{"id": c + 1, "name": name} for c, name in enumerate(labelled.images.class_names)]
    described = f"labels by ccd_fast {__version__}, {labelled.by}; boxes are whole photographs"
    content = {"info": {"description": described}, "images": images}
    return _json({**content, "categories": categories, "annotations": annotations})


def label_studio(labelled: Labelled, decided: Decided) -> bytes:
    """Give Label Studio's tasks, each with a prediction to correct; the photographs are served from its own disk."""
    tasks = []
    for row in np.flatnonzero(labelled.readable.numpy()).tolist():
        names = _names(labelled.images.class_names, decided[row])
        result = {"from_name": "labels", "to_name": "image", "type": "choices", "value": {"choices": names}}
        scores = labelled.table[row].numpy()[decided[row]]
        prediction = {
            "model_version": f"ccd_fast {__version__}",
            "score": round(float(scores.mean()), 4) if len(scores) else 0.0,
            "result": [result] if names else [],
        }
        url = LOCAL_FILES + quote(labelled.images.paths[row])
        tasks.append({"data": {"image": url}, "predictions": [prediction]})
    return _json(tasks)


def label_studio_config(class_names: Sequence[str]) -> str:
    """Give the labelling interface that the tasks of :func:`label_studio` belong to."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in class_names)
    head = '<View>\n  <Image name="image" value="$image"/>\n  <Choices name="labels" toName="image" choice="multiple">'
    return f"{head}\n{choices}\n  </Choices>\n</View>\n"


FORMATS: dict[str, Callable[[Labelled, Decided], bytes]] = {
    "csv": csv_table,
    "parquet": parquet,
    "jsonl": json_lines,
    "coco": coco,
    "label-studio": label_studio,
}
"""By the name that ``--format`` takes."""
Format = Literal["csv", "parquet", "jsonl", "coco", "label-studio"]
ENDINGS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}
"""Formats that a file's ending says."""


def format_of(out: Path, named: str | None, overwrite: bool) -> str:
    """Settle the format of a file that is to be written, before any work.

    Args:
        out: the file.
        named: a name of :data:`FORMATS`; None where the file's ending says it.
        overwrite: whether it may be there already.

    Raises:
        UserError: the format cannot be told, or the file cannot be written.
    """
    kind = named or ENDINGS.get(out.suffix.lower())
    if kind is None:
        raise UserError(f"--out {out}: say what it should be with --format {', '.join(FORMATS)}")
    if out.exists() and not overwrite:
        raise UserError(f"--out {out}: already exists; replace it with --overwrite")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: no such folder {out.parent}")
    return kind


def write(labelled: Labelled, decided: Decided, kind: str, out: Path) -> list[Path]:
    """Write labels, and beside them what belongs to them: an interface, the list of what could not be read.

    Args:
        labelled: N photographs.
        decided: (N, C), which labels each has.
        kind: a name of :data:`FORMATS`.
        out: the file.

    Returns:
        The files that were written.
    """
    files = {out: FORMATS[kind](labelled, decided)}
    if kind == "label-studio":
        files[out.with_suffix(".xml")] = label_studio_config(labelled.images.class_names).encode()
    if labelled.unreadable:
        files[out.with_suffix(".unreadable.csv")] = _unreadable(labelled)
    for file, content in files.items():
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_bytes(content)
        temporary.replace(file)
    return list(files)


def _unreadable(labelled: Labelled) -> bytes:
    text = io.StringIO()
    paths = ((labelled.images.paths[row], reason) for row, reason in sorted(labelled.unreadable.items()))
    csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *paths])
    return text.getvalue().encode()


def _names(class_names: Sequence[str], decided: Decided) -> list[str]:
    return [class_names[c] for c in np.flatnonzero(decided).tolist()]


def _size(file: Path) -> tuple[int, int]:
    """Give width and height in pixels as they are seen, upright."""
    place = None if file.is_file() else shards.place(file)
    with Image.open(file if place is None else io.BytesIO(next(shards.read([place], place.size)))) as picture:
        turned = picture.getexif().get(0x0112) in ROTATED
        return (picture.height, picture.width) if turned else (picture.width, picture.height)


def _json(content: object) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
