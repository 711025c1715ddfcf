"""MS COCO, with the names of 2014 or of 2017, in the layout of the original archives.

Images without a label are left out, as in the official counts. A crowd region makes its class positive, as an object
does, and its box counts as one.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from ccd_fast.datasets import tree
from ccd_fast.datasets.boxes import by_image
from ccd_fast.datasets.description import Description, Form
from ccd_fast.datasets.folder import read_class_names
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.known import Indices
from ccd_fast.errors import UserError, nearest
from ccd_fast.prompts import names_of
from ccd_fast.text import decoded

_NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
    "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,"
    "suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"
    "tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,"
    "hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,"
    "toothbrush"
)
CLASS_NAMES = tuple(_NAMES.split(","))
IMAGES = {2014: {"train": 82_081, "test": 40_137}, 2017: {"train": 117_266, "test": 4_952}}
SPLITS = {"train": "train", "test": "val"}
MAX_COORDINATE = 100_000.0
"""Pixels; no photograph is larger."""

Id = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Image(msgspec.Struct, gc=False):
    id: Id
    file_name: str


class _Annotation(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]


class _Category(msgspec.Struct, gc=False):
    id: Id
    name: str


class _Instances(msgspec.Struct):
    """What is wanted of ``instances_*.json``; the decoder passes over the rest, so memory holds no outlines."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def load(root: Path, split: str, classes: Path | None, year: int) -> ImageSet:
    """Load one split.

    Args:
        root: the folder that contains ``annotations``, or the one above it if that is called ``coco``. The images
            are beside ``annotations`` or in ``images/``.
        split: ``"train"`` or ``"test"`` (COCO's val).
        classes: text file of class names, for annotations with categories of one's own; None for COCO's.
        year: 2014 or 2017, the year in the names.

    Raises:
        UserError: the tree is not there or not whole, or the annotations make no sense.
    """
    title, name = f"COCO {year}", f"{SPLITS[split]}{year}"
    marks = tuple(f"annotations/instances_{part}{year}.json" for part in SPLITS.values())
    root = tree.find_root(root, ("coco", "COCO"), (*marks, *(f"{part}{year}" for part in SPLITS.values())), title)
    annotations = f"annotations_trainval{year}.zip"
    file = root / "annotations" / f"instances_{name}.json"
    tree.require(file, annotations)
    folder = _image_folder(root, name)
    found = _read(file, annotations)
    tree.refuse_paths_that_lead_out((i.file_name for i in found.images), file, lambda k: f"images[{k}]")
    described = DESCRIPTIONS[year]
    prompt_names = described.prompt_names if classes is None else read_class_names(classes)
    names = tuple(names_of(prompt_name)[0] for prompt_name in prompt_names)
    owner, labels, corners = _flatten(found, file, names, "COCO's 80" if classes is None else f"those in {classes}")
    truth = np.zeros((len(found.images), len(names)), dtype=bool)
    truth[owner, labels] = True
    labelled = truth.any(axis=1)
    if not labelled.any():
        raise UserError(f"{file}: none of its {len(found.images)} images has a label")
    paths = tuple(f"{folder}/{found.images[row].file_name}" for row in np.flatnonzero(labelled).tolist())
    tree.require_some_image(root, paths, file, f"{name}.zip")
    new_row = np.cumsum(labelled) - 1
    return ImageSet(
        name=described.name,
        split=split,
        root=root,
        paths=paths,
        class_names=names,
        prompt_names=prompt_names,
        truth=truth[labelled],
        known=np.ones(len(paths), dtype=bool),
        boxes=by_image(new_row[owner], labels, corners, len(paths)),
        official=IMAGES[year][split] if classes is None else None,
    )


def _image_folder(root: Path, name: str) -> str:
    """Find the folder of the images: beside ``annotations``, or in ``images/``."""
    there = [folder for folder in (name, f"images/{name}") if (root / folder).is_dir()]
    if not there:
        raise UserError(
            f"{root}: no folder {name} or images/{name}; {name}.zip is not extracted there, or only in part"
        )
    if len(there) > 1:
        raise UserError(f"{root}: both {there[0]} and {there[1]} are there; which one is meant cannot be told")
    return there[0]


def _read(file: Path, archive: str) -> _Instances:
    try:
        content = tree.read(file, archive)
        plain = content if content[:1].isspace() or content[:1] == b"{" else decoded(content, str(file))
        return msgspec.json.decode(plain, type=_Instances, strict=False)  # ids may be 9.0, as tables write them
    except UnicodeDecodeError as error:  # of a name
        raise UserError(f"{file}: a name in it is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{file}: not as COCO has it: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"{file}: broken JSON: {error}") from error


def _flatten(
    found: _Instances, file: Path, names: tuple[str, ...], known_as: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Give the image's index (M,), the class (M,) and the corners (M, 4) of each annotation."""
    indices = Indices(names)
    to_class = np.empty(len(found.categories), dtype=np.int64)
    for place, category in enumerate(found.categories):
        if not indices.knows(category.name):
            near = nearest(category.name, names) or "; name categories of your own with --classes FILE"
            raise UserError(f"{file}: unknown class {category.name[:80]!r}: not one of {known_as}{near}")
        (to_class[place],) = indices.of([category.name], str(file)) or [0]
    count = len(found.annotations)
    of_image = np.fromiter((a.image_id for a in found.annotations), np.int64, count)
    of_class = np.fromiter((a.category_id for a in found.annotations), np.int64, count)
    flat = np.fromiter((v for a in found.annotations for v in a.bbox), np.float64, 4 * count)
    image_ids = np.array([image.id for image in found.images], dtype=np.int64)
    category_ids = np.array([category.id for category in found.categories], dtype=np.int64)
    owner = _lookup(of_image, image_ids, file, "image", "images")
    of_category = _lookup(of_class, category_ids, file, "category", "categories")
    x, y, width, height = flat.reshape(-1, 4).T
    odd = ~((np.abs(flat.reshape(-1, 4)) <= MAX_COORDINATE).all(axis=1) & (width >= 0) & (height >= 0))
    if odd.any():
        k = int(odd.argmax())
        raise UserError(f"{file}: annotations[{k}]: no such box in a photograph: {list(found.annotations[k].bbox)}")
    corners = np.stack([x, y, x + width, y + height], axis=1).clip(min=0).astype(np.float32)
    return owner, to_class[of_category], corners


def _lookup(wanted: NDArray[np.int64], ids: NDArray[np.int64], file: Path, kind: str, table: str) -> NDArray[np.int64]:
    """Give the position of each wanted id among the ids, which must name each thing once."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise UserError(f"{file}: {table}: the id {ordered[twice[0]]} stands twice")
    if not len(ids):
        raise UserError(f"{file}: {table}: empty")
    place = np.searchsorted(ordered, wanted).clip(max=len(ids) - 1)
    strays = np.flatnonzero(ordered[place] != wanted)
    if len(strays):
        k = int(strays[0])
        raise UserError(f"{file}: annotations[{k}]: no {kind} with the id {wanted[k]}")
    return np.asarray(order[place])


def _describe(year: int) -> Description:
    layout = (
        f"annotations/instances_train{year}.json",
        f"annotations/instances_val{year}.json",
        f"train{year}/*.jpg",
        f"val{year}/*.jpg",
    )
    return Description(
        name="coco" if year == 2014 else f"coco{year}",
        title=f"MS COCO {year}",
        class_names=CLASS_NAMES,
        prompt_names=CLASS_NAMES,
        forms=(
            Form(
                name="train: train, test: val, images with a label",
                images=IMAGES[year],
                source=f"cocodataset.org (train{year}.zip, val{year}.zip, annotations_trainval{year}.zip)",
                tree="\n".join(layout),
            ),
        ),
        rules="images without a label are left out; a crowd region makes its class positive",
        load=partial(load, classes=None, year=year),
        load_with=partial(load, year=year),
        recipe="coco",
    )


DESCRIPTIONS = {year: _describe(year) for year in IMAGES}
