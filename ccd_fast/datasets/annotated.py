"""Known entries of labels as other programs export them: Label Studio's JSON, full or minimal, and COCO's.

What a person has looked at is known of every class; of the rest nothing is. In Label Studio that is a task with an
annotation that was submitted: what is ticked there is present, what is not is absent. Predictions, and tasks that were
skipped, tell nothing. In COCO's form it is every image of the file: the annotations are present, and the other
categories of the file are absent, as in COCO itself.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import Indices
from ccd_fast.datasets.tables import path_in
from ccd_fast.errors import UserError
from ccd_fast.text import read_text

UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of a file that was uploaded to it."""


class Told(NamedTuple):
    """What is told of one photograph.

    Attributes:
        where: it stands, for messages.
        path: relative to the images' root.
        present: indices of classes that it has.
        absent: of classes that it has not.
    """

    where: str
    path: str
    present: set[int]
    absent: set[int]


def read(file: Path, images: ImageSet) -> Iterator[Told]:
    """Read an export; which one it is stands in it.

    Args:
        file: JSON.
        images: that it is of; what it tells of others comes too.

    Raises:
        UserError: it cannot be read, is of neither kind, has an unknown class, or nobody has looked at any of it.
    """
    where = f"--known {file}"
    try:
        content = json.loads(read_text(file, "--known"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: cannot be read as JSON: {str(error)[:200]}") from error
    if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
        return _coco(content, images, where)
    if isinstance(content, list) and content and all(isinstance(task, dict) for task in content):
        return _label_studio(content, images, where)
    raise UserError(
        f"{where}: neither Label Studio's JSON (a list of tasks) nor COCO's (images, annotations, categories); a table "
        "ends in .csv or .parquet"
    )


def _label_studio(tasks: Sequence[Mapping[str, Any]], images: ImageSet, where: str) -> Iterator[Told]:
    indices, every = Indices(images.class_names), set(range(len(images.class_names)))
    places, seen = frozenset(images.paths), 0
    for number, task in enumerate(tasks, 1):
        at = f"{where}: task {task.get('id', number)}"
        answers = _answers(task, at)
        if not answers:
            continue
        seen += 1
        ticked = [set(indices.of(names, at, by_object=True) or []) for names in answers]
        in_all, in_any = set.intersection(*ticked), set.union(*ticked)
        yield Told(at, _path(task.get("data", task), images.root, places, at), in_all, every - in_any)
    if not seen:
        raise UserError(
            f"{where}: none of its {len(tasks)} tasks has an annotation, and predictions tell nothing: submit them "
            "in Label Studio and export them as JSON"
        )


def _answers(task: Mapping[str, Any], where: str) -> list[list[str]]:
    """Give the names that each person ticked; nothing where nobody has looked at the task."""
    if "data" not in task:  # the minimal form, which has tasks with an annotation only
        return [_ticked(task.get("labels"), where)] if task.keys() & {"annotator", "annotation_id", "labels"} else []
    found = []
    for annotation in task.get("annotations") or task.get("completions") or []:
        if not isinstance(annotation, dict):
            raise UserError(f"{where}: exported without its annotations: export as JSON")
        if not annotation.get("was_cancelled"):
            results = annotation.get("result") or []
            found.append([name for result in results for name in _ticked(result.get("value"), where)])
    return found


def _ticked(value: Any, where: str) -> list[str]:
    """Give the names in a value: choices, or those of boxes and outlines; one alone, or several."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [name for each in value for name in _ticked(each, where)]
    if isinstance(value, dict):
        kinds = [kind for kind in value if kind == "choices" or kind.endswith("labels")]
        return [name for kind in kinds for name in _ticked(value[kind], where)]
    raise UserError(f"{where}: {str(value)[:80]} is no name of a class")


def _path(data: Any, root: Path, there: Collection[str], where: str) -> str:
    """Find the photograph of a task: by the path that ``label`` and ``review`` give it, else by its address.

    Label Studio's addresses begin with whatever serves the files, so that the longest end of one that is a photograph
    is taken.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where}: it has no data")
    own = data.get("path")
    if isinstance(own, str) and (own in there or (root / own).exists()):
        return own
    address = data.get("image", next((text for text in data.values() if isinstance(text, str) and "/" in text), None))
    if not isinstance(address, str):
        raise UserError(f"{where}: its data has no image")
    split = urlsplit(address)
    served = re.search(r"(?:^|&)d=([^&]*)", split.query)
    parts = [part for part in unquote(served[1] if served else split.path).replace("\\", "/").split("/") if part]
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    ends += [UPLOADED.sub("", end, count=1) for end in ends[-1:]]
    return next((end for end in ends if end in there or (root / end).exists()), "/".join(parts) or address)


def _coco(content: Mapping[str, Any], images: ImageSet, where: str) -> Iterator[Told]:
    indices = Indices(images.class_names)
    places = frozenset(images.paths)
    present: dict[Any, set[int]] = {}
    try:
        category = {each["id"]: str(each["name"]) for each in content["categories"]}
        own = {of: set(indices.of([name], f"{where}: category {of}") or []) for of, name in category.items()}
        every = set().union(*own.values())
        for annotation in content["annotations"]:
            if "score" in annotation:
                raise UserError(
                    f"{where}: annotation {annotation.get('id')} has a score, as predictions have: keep the images "
                    "that a person has corrected, and leave the scores out"
                )
            present.setdefault(annotation["image_id"], set()).update(own[annotation["category_id"]])
        for image in content["images"]:
            at, has = f"{where}: image {image['id']}", present.get(image["id"], set())
            yield Told(at, path_in(str(image["file_name"]), images.root, places, at), has, every - has)
    except (KeyError, TypeError) as error:
        raise UserError(f"{where}: not COCO's form: {type(error).__name__} {error}") from error
