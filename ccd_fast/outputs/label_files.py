"""Labels as files for other programs: CSV, Parquet, JSON lines, COCO's, Label Studio's, CVAT's, Hugging Face's.

Whoever gave the labels, a teacher or a student, the files are of one form: paths relative to the folder that was looked
at, the names of the labels, and the number that stands behind each class. ``--truth`` reads CSV and Parquet back.
"""

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray
from PIL import Image

from ccd_fast import __version__
from ccd_fast.errors import UserError
from ccd_fast.outputs.label_folders import FOLDERS
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


def cvat(labelled: Labelled, decided: Decided) -> bytes:
    """Give CVAT's XML for images, version 1.1: a tag a label; the task that it is loaded into has the same labels."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels")
    for name in labelled.images.class_names:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
        ElementTree.SubElement(label, "type").text = "tag"
    for number, row in enumerate(np.flatnonzero(labelled.readable.numpy()).tolist()):
        width, height = _size(labelled.images.root / labelled.images.paths[row])
        told = {"id": str(number), "name": labelled.images.paths[row], "width": str(width), "height": str(height)}
        image = ElementTree.SubElement(root, "image", told)
        for name in _names(labelled.images.class_names, decided[row]):
            ElementTree.SubElement(image, "tag", {"label": name, "source": "auto"})
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def metadata(labelled: Labelled, decided: Decided) -> bytes:
    """Give the ``metadata.jsonl`` that makes a folder of photographs one of Hugging Face's image folders."""
    rows = (
        {"file_name": labelled.images.paths[row], "labels": _names(labelled.images.class_names, decided[row])}
        for row in np.flatnonzero(labelled.readable.numpy()).tolist()
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


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
    "cvat": cvat,
    "imagefolder": metadata,
}
"""By the name that ``--format`` takes; :data:`ccd_fast.outputs.label_folders.FOLDERS` has those that are folders."""
METADATA = "metadata.jsonl"
ENDINGS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl"}
"""Formats that a file's ending says."""


def format_of(out: Path, named: str | None, overwrite: bool) -> str:
    """Settle the format of a file or folder that is to be written, before any work.

    Args:
        out: the file, or the folder.
        named: a name of :data:`FORMATS` or of the folders; None where the file's ending says it.
        overwrite: whether a file may be there already.

    Raises:
        UserError: the format cannot be told, or the file cannot be written.
    """
    kind = named or ENDINGS.get(out.suffix.lower())
    if kind is None:
        raise UserError(f"--out {out}: say what it should be with --format {', '.join((*FORMATS, *FOLDERS))}")
    if kind in FOLDERS and out.exists():
        raise UserError(f"--out {out}: already exists; --format {kind} makes a folder: name one that is not there yet")
    if out.exists() and not overwrite:
        raise UserError(f"--out {out}: already exists; replace it with --overwrite")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: no such folder {out.parent}")
    return kind


def refuse_elsewhere(kind: str, out: Path, root: Path) -> None:
    """Refuse metadata of an image folder that would not lie in it: its paths would lead nowhere.

    Raises:
        UserError: it says where they belong.
    """
    if kind == "imagefolder" and out.absolute() != (root / METADATA).absolute():
        raise UserError(f"--out {out}: an image folder has its metadata inside: --out {root / METADATA}")


def write(labelled: Labelled, decided: Decided, kind: str, out: Path) -> list[Path]:
    """Write labels, and beside them what belongs to them: an interface, the list of what could not be read.

    Args:
        labelled: N photographs.
        decided: (N, C), which labels each has.
        kind: a name of :data:`FORMATS`, or of the folders.
        out: the file, or the folder.

    Returns:
        What was written.

    Raises:
        UserError: a folder cannot be made of such photographs.
    """
    files: dict[Path, bytes] = {}
    if kind in FOLDERS:
        fresh = out.with_name(f".{out.name}.tmp")
        shutil.rmtree(fresh, ignore_errors=True)
        FOLDERS[kind](labelled, decided, fresh)
        fresh.replace(out)
    else:
        files[out] = FORMATS[kind](labelled, decided)
    if kind == "label-studio":
        files[out.with_suffix(".xml")] = label_studio_config(labelled.images.class_names).encode()
    if labelled.unreadable:
        files[out.with_suffix(".unreadable.csv")] = _unreadable(labelled)
    for file, content in files.items():
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_bytes(content)
        temporary.replace(file)
    return list(dict.fromkeys((out, *files)))


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
