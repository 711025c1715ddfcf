"""Labels as files for other programs: CSV, Parquet, JSON lines, COCO's, Label Studio's, CVAT's, Hugging Face's.

Whoever gave the labels, a teacher or a student, the files are of one form: paths relative to the folder that was looked
at, the names of the labels, and the number that stands behind each class. ``--truth`` and
``--known`` read CSV, Parquet and JSON lines back.
"""

import errno
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from ccd_fast import __version__
from ccd_fast.datasets import ImageSet
from ccd_fast.datasets.tables import columns_of
from ccd_fast.errors import RunError
from ccd_fast.machine import folder_in_the_making
from ccd_fast.outputs import held_names, places
from ccd_fast.outputs.label_folders import FOLDERS
from ccd_fast.outputs.labelling import Labelled
from ccd_fast.runs.writing import write_whole
from ccd_fast.text import as_csv, as_json_lines
from ccd_fast.views import read_bytes
from ccd_fast.views.decode_one import upright_size

Decided = NDArray[np.bool_]

LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves files of its own disk, relative to its document root, which is the folder above theirs."""


def document_root(images: ImageSet) -> Path:
    """Give what Label Studio's document root must be for the tasks of :func:`label_studio`.

    It is the folder above that of the photographs, as Label Studio serves folders below its root only.
    """
    return images.root.resolve().parent


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
    names = ["path", "status", "labels", *columns_of(images.class_names)]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, names=names), file)
    return file.getvalue()


def csv_table(labelled: Labelled, decided: Decided) -> bytes:
    """Give a row a photograph that could be read: path, labels joined by a bar, and every class's label.

    ``train --truth`` reads it back once people have corrected it.
    """
    names = labelled.images.class_names
    rows: list[list[str]] = [["path", "labels", *columns_of(names)]]
    for row in np.flatnonzero(labelled.readable.numpy()).tolist():
        values = (f"{value:.6f}" for value in labelled.table[row].tolist())
        rows.append([labelled.images.paths[row], "|".join(_names(names, decided[row])), *values])
    return as_csv(rows).encode()


def json_lines(labelled: Labelled, decided: Decided) -> bytes:
    """Give an object a photograph that could be read: path, labels, and the number of every class."""
    return as_json_lines(objects(labelled, decided, labelled.images.paths)).encode()


def objects(labelled: Labelled, decided: Decided, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Give what a line of :func:`json_lines` holds, the photographs called as the N paths say."""
    names = labelled.images.class_names
    for row in np.flatnonzero(labelled.readable.numpy()).tolist():
        numbers = dict(zip(names, labelled.table[row].tolist(), strict=True))
        yield {"path": paths[row], "labels": _names(names, decided[row]), "probabilities": numbers}


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
    """Give Label Studio's tasks as a file."""
    return _json(label_studio_tasks(labelled, decided))


def label_studio_tasks(labelled: Labelled, decided: Decided) -> list[dict[str, Any]]:
    """Give Label Studio's tasks, each with a prediction to correct; the photographs are served from its own disk.

    The path of each stands beside its address, so that ``train --known`` finds it again wherever it was served from.
    """
    tasks, folder = list[dict[str, Any]](), labelled.images.root.resolve().name
    for row in np.flatnonzero(labelled.readable.numpy()).tolist():
        names = _names(labelled.images.class_names, decided[row])
        result = {"from_name": "labels", "to_name": "image", "type": "choices", "value": {"choices": names}}
        scores = labelled.table[row].numpy()[decided[row]]
        prediction = {
            "model_version": f"ccd_fast {__version__}",
            "score": round(float(scores.mean()), 4) if len(scores) else 0.0,
            "result": [result] if names else [],
        }
        url = LOCAL_FILES + quote(f"{folder}/{labelled.images.paths[row]}".lstrip("/"))
        tasks.append({"data": {"image": url, "path": labelled.images.paths[row]}, "predictions": [prediction]})
    return tasks


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
    return as_json_lines(rows).encode()


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
        UserError: the format cannot hold a name of a photograph or of a class.
        RunError: the disk is full, or the place cannot be written to.
    """
    held_names.refuse(kind, labelled.images.root, labelled.images.paths)
    held_names.refuse_classes(kind, labelled.images.class_names)
    files: dict[Path, bytes] = {}
    if kind in FOLDERS:
        try:
            with folder_in_the_making(out.absolute().parent, f".{out.name}.making-") as temporary:
                fresh = temporary / out.name
                FOLDERS[kind](labelled, decided, fresh)
                fresh.replace(out)
        except OSError as error:
            taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            reason = "another command has made it meanwhile" if taken else error.strerror or str(error)
            raise RunError(f"{out}: cannot be written: {reason}") from error
    else:
        files[out] = FORMATS[kind](labelled, decided)
    if kind == "label-studio":
        files[places.interface(out)] = label_studio_config(labelled.images.class_names).encode()
    if labelled.unreadable:
        files[places.unreadable(kind, out)] = _unreadable(labelled)
    for file, content in files.items():
        write_whole(file, content)
    return list(dict.fromkeys((out, *files)))


def _unreadable(labelled: Labelled) -> bytes:
    paths = ((labelled.images.paths[row], reason) for row, reason in sorted(labelled.unreadable.items()))
    return as_csv([("path", "reason"), *paths]).encode()


def _names(class_names: Sequence[str], decided: Decided) -> list[str]:
    return [class_names[c] for c in np.flatnonzero(decided).tolist()]


def _size(file: Path) -> tuple[int, int]:
    """Give width and height in pixels as they are seen, upright; (0, 0) for a file that is gone by now."""
    content = read_bytes(file)
    return (0, 0) if isinstance(content, str) else upright_size(content)


def _json(content: object) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
