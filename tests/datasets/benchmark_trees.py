"""Makers of small trees in exactly the layouts of VOC, COCO and NUS-WIDE: real JPEG files, real annotations."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ccd_fast.datasets import coco, nuswide, voc

TRAIN, TEST = 24, 12
BENCHMARKS = ("voc07", "voc12", "coco", "coco2017", "nus", "nus re-crawled")

VOC_OBJECT = """\t<object>
\t\t<name>{name}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>{difficult}</difficult>
\t\t<bndbox>
\t\t\t<xmin>{0}</xmin>
\t\t\t<ymin>{1}</ymin>
\t\t\t<xmax>{2}</xmax>
\t\t\t<ymax>{3}</ymax>
\t\t</bndbox>
\t\t<part>
\t\t\t<name>head</name>
\t\t\t<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>
\t\t</part>
\t</object>
"""
VOC_ANNOTATION = """<annotation>
\t<folder>VOC{year}</folder>
\t<filename>{name}.jpg</filename>
\t<source>
\t\t<database>The VOC{year} Database</database>
\t\t<annotation>PASCAL VOC{year}</annotation>
\t\t<image>flickr</image>
\t</source>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""
VOC_NAMES = {2007: "{:06d}", 2012: "2008_{:06d}"}
VOC_SPLITS = {2007: ("trainval", "test"), 2012: ("train", "val")}


class Thing(NamedTuple):
    """An object: its class, its box as x0, y0, x1, y1 in pixels, half-open, and whether VOC calls it difficult."""

    name: str
    box: tuple[int, int, int, int]
    difficult: bool = False


Photos = list[list[Thing]]


def things(names: tuple[str, ...], images: int, seed: int) -> Photos:
    """Objects of some classes for each of a number of 80×64 pictures; each picture has one at least."""
    rng = np.random.default_rng(seed)
    photos = []
    for index in range(images):
        chosen = {names[index % len(names)], *(name for name in names if rng.random() < 0.3)}
        corners = [(int(rng.integers(0, 30)), int(rng.integers(0, 30))) for _ in chosen]
        photos.append([Thing(n, (x, y, x + 30, y + 25)) for n, (x, y) in zip(sorted(chosen), corners, strict=True)])
    return photos


def write_jpeg(file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    file.parent.mkdir(parents=True, exist_ok=True)
    coarse.resize((80, 64), Image.Resampling.BICUBIC).save(file, quality=90)


def make_voc(root: Path, year: int, train: Photos, test: Photos) -> Path:
    """Write ``VOCdevkit/VOC<year>`` under a folder; image ids count from 1, the training images first."""
    home = root / "VOCdevkit" / f"VOC{year}"
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (home / folder).mkdir(parents=True)
    number = 0
    for split, photos in zip(VOC_SPLITS[year], (train, test), strict=True):
        ids = []
        for objects in photos:
            number += 1
            name = VOC_NAMES[year].format(number)
            ids.append(name)
            write_jpeg(home / "JPEGImages" / f"{name}.jpg", number)
            text = "".join(
                VOC_OBJECT.format(x0 + 1, y0 + 1, x1, y1, name=thing, difficult=int(difficult))
                for thing, (x0, y0, x1, y1), difficult in objects
            )
            annotation = VOC_ANNOTATION.format(year=year, name=name, width=80, height=64, objects=text)
            (home / "Annotations" / f"{name}.xml").write_text(annotation)
        (home / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids))
    return root


def make_coco(root: Path, year: int, categories: dict[str, int], train: Photos, test: Photos) -> Path:
    """Write ``annotations/``, ``train<year>/`` and ``val<year>/`` in a folder, with COCO's own category ids."""
    (root / "annotations").mkdir(parents=True)
    number = 0
    for split, photos in (("train", train), ("val", test)):
        images, annotations = [], []
        for objects in photos:
            number += 1
            prefix = f"COCO_{split}{year}_" if year == 2014 else ""
            name = f"{prefix}{number:012d}.jpg"
            write_jpeg(root / f"{split}{year}" / name, number)
            url = f"http://images.cocodataset.org/{split}{year}/{name}"
            image = {"license": 3, "file_name": name, "coco_url": url, "height": 64, "width": 80, "id": number}
            images.append({**image, "date_captured": "2013-11-14 11:18:45", "flickr_url": url})
            for thing, (x0, y0, x1, y1), _ in objects:
                annotation = {"segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]], "area": 750.0, "iscrowd": 0}
                annotation |= {"image_id": number, "bbox": [x0, y0, x1 - x0, y1 - y0]}
                annotation |= {"category_id": categories[thing], "id": 100 + len(annotations)}
                annotations.append(annotation)
        content = {
            "info": {"description": f"COCO {year} Dataset"},
            "licenses": [{"url": "", "id": 3, "name": ""}],
            "images": images,
            "annotations": annotations,
            "categories": [{"supercategory": "any", "id": i, "name": name} for name, i in categories.items()],
        }
        (root / "annotations" / f"instances_{split}{year}.json").write_text(json.dumps(content))
    return root


def make_nus_release(root: Path, class_names: tuple[str, ...], train: Photos, test: Photos) -> Path:
    """Write ``ImageList``, ``Groundtruth`` and ``Flickr`` in a folder; lists have backslashes, as in the release."""
    (root / "ImageList").mkdir(parents=True)
    (root / "Groundtruth" / "TrainTestLabels").mkdir(parents=True)
    number = 0
    for split, photos in (("Train", train), ("Test", test)):
        listed = []
        for _ in photos:
            number += 1
            folder, name = ("actor", "zebra")[number % 2], f"{number:04d}_{2124494179 + number}.jpg"
            write_jpeg(root / "Flickr" / folder / name, number)
            listed.append(f"{folder}\\{name}\r\n")
        (root / "ImageList" / f"{split}Imagelist.txt").write_bytes("".join(listed).encode())
        for concept in class_names:
            labels = [int(any(thing.name == concept for thing in objects)) for objects in photos]
            file = root / "Groundtruth" / "TrainTestLabels" / f"Labels_{concept}_{split}.txt"
            file.write_text("".join(f"{label}\n" for label in labels))
    return root


def make_nus_recrawled(root: Path, class_names: tuple[str, ...], train: Photos, test: Photos, dtype: str = "U") -> Path:
    """Write the four arrays and ``Flickr`` in a folder."""
    number = 0
    for split, photos in (("train", train), ("val", test)):
        paths, labels = [], np.zeros((len(photos), len(class_names)))
        for row, objects in enumerate(photos):
            number += 1
            paths.append(f"{number:04d}_{2124494179 + number}.jpg")
            write_jpeg(root / "Flickr" / paths[-1], number)
            for thing in objects:
                labels[row, class_names.index(thing.name)] = 1.0
        np.save(root / f"formatted_{split}_images.npy", np.array(paths).astype(dtype))
        np.save(root / f"formatted_{split}_labels.npy", labels)
    return root


def make_benchmark(root: Path, name: str) -> Path:
    """Write the small tree of a benchmark under a folder, and give the root to name in ``--data-root``."""
    if name.startswith("voc"):
        train, test = (things(voc.CLASS_NAMES, n, seed) for seed, n in enumerate((TRAIN, TEST)))
        return make_voc(root, 2007 if name == "voc07" else 2012, train, test)
    if name.startswith("coco"):
        categories = {class_name: 1 + 3 * c for c, class_name in enumerate(coco.CLASS_NAMES)}
        train, test = (things(coco.CLASS_NAMES, n, seed) for seed, n in enumerate((TRAIN, TEST)))
        return make_coco(root / "coco", 2014 if name == "coco" else 2017, categories, train, test).parent
    train, test = (things(nuswide.CLASS_NAMES, n, seed) for seed, n in enumerate((TRAIN, TEST)))
    train[3] = []
    make = make_nus_release if name == "nus" else make_nus_recrawled
    return make(root, nuswide.CLASS_NAMES, train, test)
