"""PASCAL VOC 2007 and 2012, in the layout of the original archives.

VOC 2007 trains on trainval and tests on test; VOC 2012 trains on train and tests on val. An object marked difficult
does not make its class positive, and its box is left out: an image whose only cats are difficult counts as one
without a cat, and an image with difficult objects only stays, without any positive class.
"""

import re
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path

import numpy as np

from ccd_fast.datasets import tree
from ccd_fast.datasets.boxes import by_image
from ccd_fast.datasets.description import Description, Form
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.errors import UserError, nearest

_NAMES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
)
CLASS_NAMES = tuple(_NAMES.split())
SPOKEN = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
IMAGES = {2007: {"train": 5011, "test": 4952}, 2012: {"train": 5717, "test": 5823}}
SPLITS = {2007: {"train": "trainval", "test": "test"}, 2012: {"train": "train", "test": "val"}}
ARCHIVES = {
    2007: {"train": "VOCtrainval_06-Nov-2007.tar", "test": "VOCtest_06-Nov-2007.tar"},
    2012: {"train": "VOCtrainval_11-May-2012.tar", "test": "VOCtrainval_11-May-2012.tar"},
}
IMAGE_IDS = {2007: re.compile(r"[0-9]{6}"), 2012: re.compile(r"[0-9]{4}_[0-9]{6}")}
MAX_BYTES = 1 << 20
"""Of one annotation; the real ones have a few kilobytes."""
MAX_COORDINATE = 100_000.0
"""Pixels; no photograph is larger."""

Object = tuple[int, float, float, float, float]


class _WithoutDocumentType(ElementTree.TreeBuilder):
    """Builds the tree, and stops at a document type: only there can entities be declared, to be expanded later."""

    def doctype(self, *_: object) -> None:
        """Refuse it."""
        raise ValueError("it declares a document type, which VOC annotations do not")


def load(root: Path, split: str, year: int) -> ImageSet:
    """Load one split.

    Args:
        root: the folder that contains VOCdevkit, VOCdevkit itself, or VOC2007 or VOC2012 itself.
        split: ``"train"`` or ``"test"``.
        year: 2007 or 2012.

    Raises:
        UserError: the tree is not there or not whole, or an annotation makes no sense.
    """
    title = f"VOC{year}"
    inner = (title, f"VOCdevkit/{title}")
    root = tree.find_root(root, inner, ("ImageSets/Main", "Annotations", "JPEGImages"), title)
    archive = ARCHIVES[year][split]
    listing = root / "ImageSets" / "Main" / f"{SPLITS[year][split]}.txt"
    ids = tree.lines(listing, archive)
    for number, image_id in enumerate(ids, start=1):
        if not IMAGE_IDS[year].fullmatch(image_id):
            raise UserError(f"{listing}: entry {number}: {image_id[:80]!r} is not the name of a VOC {year} image")
    tree.require(root / "Annotations", archive)
    tree.require(root / "JPEGImages", archive)
    paths = tuple(f"JPEGImages/{image_id}.jpg" for image_id in ids)
    tree.require_some_image(root, paths, listing, archive)
    objects = [read_objects(root / "Annotations" / f"{image_id}.xml", archive) for image_id in ids]
    owner = np.repeat(np.arange(len(ids)), [len(found) for found in objects])
    flat = np.array([thing for found in objects for thing in found], dtype=np.float64).reshape(-1, 5)
    classes = flat[:, 0].astype(np.int64)
    truth = np.zeros((len(ids), len(CLASS_NAMES)), dtype=bool)
    truth[owner, classes] = True
    described = DESCRIPTIONS[year]
    return ImageSet(
        name=described.name,
        split=split,
        root=root,
        paths=paths,
        class_names=described.class_names,
        prompt_names=described.prompt_names,
        truth=truth,
        known=np.ones(len(ids), dtype=bool),
        boxes=by_image(owner, classes, flat[:, 1:].astype(np.float32), len(ids)),
        official=IMAGES[year][split],
    )


def read_objects(file: Path, archive: str) -> list[Object]:
    """Read the objects of one annotation that are not difficult: class index, and x0, y0, x1, y1, half-open.

    VOC counts pixels from 1 and includes the last one.

    Raises:
        UserError: the file is missing, is not such an annotation, or declares a document type.
    """
    content = tree.read(file, archive)
    if len(content) > MAX_BYTES:
        raise UserError(f"{file}: {len(content)} bytes; an annotation has {MAX_BYTES} at most")
    try:
        root = ElementTree.fromstring(content, ElementTree.XMLParser(target=_WithoutDocumentType()))
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two: of encodings
        raise UserError(f"{file}: broken XML: {error}") from error
    if root.tag != "annotation":
        raise UserError(f"{file}: the outermost element is <{root.tag[:80]}>, not <annotation>")
    objects = []
    for number, element in enumerate(root.findall("object"), start=1):
        try:
            thing = _object(element)
        except ValueError as error:
            raise UserError(f"{file}: object {number}: {error}") from error
        if thing is not None:
            objects.append(thing)
    return objects


def _object(element: ElementTree.Element) -> Object | None:
    """Read one object; None if it is difficult.

    Raises:
        ValueError: it makes no sense; the message says why.
    """
    name = (element.findtext("name") or "").strip()
    if name not in CLASS_NAMES:
        raise ValueError(f"unknown class {name[:80]!r}" + nearest(name, CLASS_NAMES))
    difficult = (element.findtext("difficult") or "0").strip()
    if difficult not in ("0", "1"):
        raise ValueError(f"<difficult> is {difficult[:80]!r}, neither 0 nor 1")
    box = element.find("bndbox")
    if box is None:
        raise ValueError("no <bndbox>")
    x0, y0, x1, y1 = (_coordinate(box, side) for side in ("xmin", "ymin", "xmax", "ymax"))
    if x0 > x1 or y0 > y1:
        raise ValueError(f"its box is turned inside out: {x0:g}, {y0:g}, {x1:g}, {y1:g}")
    if difficult == "1":
        return None
    return CLASS_NAMES.index(name), max(x0 - 1, 0.0), max(y0 - 1, 0.0), x1, y1


def _coordinate(box: ElementTree.Element, side: str) -> float:
    text = (box.findtext(side) or "").strip()
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"<{side}> is {text[:80]!r}, not a number") from None
    if not 0 <= value <= MAX_COORDINATE:
        raise ValueError(f"<{side}> is {text[:80]}, not within 0 and {MAX_COORDINATE:g}")
    return value


def _describe(year: int) -> Description:
    splits, archives = SPLITS[year], sorted(set(ARCHIVES[year].values()), reverse=True)
    layout = (
        f"VOCdevkit/VOC{year}/JPEGImages/*.jpg",
        f"VOCdevkit/VOC{year}/Annotations/*.xml",
        f"VOCdevkit/VOC{year}/ImageSets/Main/{{{splits['train']},{splits['test']}}}.txt",
    )
    return Description(
        name=f"voc{year % 100:02}",
        title=f"PASCAL VOC {year}",
        class_names=CLASS_NAMES,
        prompt_names=tuple(SPOKEN.get(name, name) for name in CLASS_NAMES),
        forms=(
            Form(
                name=f"train: {splits['train']}, test: {splits['test']}",
                images=IMAGES[year],
                source=f"host.robots.ox.ac.uk/pascal/VOC/voc{year} ({', '.join(archives)})",
                tree="\n".join(layout),
            ),
        ),
        rules="a difficult object does not make its class positive; images without a positive class stay",
        load=partial(load, year=year),
        recipe=f"voc{year % 100:02}",
    )


DESCRIPTIONS = {year: _describe(year) for year in IMAGES}
