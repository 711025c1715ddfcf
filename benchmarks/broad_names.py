"""What are broad class names worth to a CLIP, and what does it gain to be asked for their kinds too?

``python benchmarks/broad_names.py OUT.json CLIP WORK coco2017=COCO NAME=ROOT …``: each ROOT is a folder with
``classes.txt`` and ``labels.csv``; of COCO's 80 classes their twelve supercategories are made, of which a photograph is
where it is of one of their classes. *Training* photographs alone are used. The labels are those of ``label``
(``benchmarks/thresholds.py``), with names as they are and with all broad ones widened (``teacher.names``); views are
kept in WORK. Average precision of the broad classes, and the mean over all.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from thresholds import EVERYDAY, labels_of, views_of

from ccd_fast.bench import measure
from ccd_fast.datasets import Source
from ccd_fast.evaluation.metrics import average_precision
from ccd_fast.prompts import kinds_beside
from ccd_fast.teacher import load_clip

COCO = "coco2017"
SUPERCATEGORIES = {
    "person": 1,
    "vehicle": 8,
    "outdoor thing": 5,
    "animal": 10,
    "accessory": 5,
    "sports equipment": 10,
    "kitchen item": 7,
    "food": 10,
    "furniture": 6,
    "electronics": 6,
    "appliance": 5,
    "indoor thing": 7,
}
"""How many of COCO's classes, in their order, each has."""


def main() -> None:
    """Measure, print, and write the figures."""
    out, clip, work = Path(sys.argv[1]), load_clip(sys.argv[2]), Path(sys.argv[3])
    sets: dict[str, Any] = {}
    for name, root in (word.split("=", 1) for word in sys.argv[4:]):
        folder = Path(root)
        files = () if name == COCO else (folder / "classes.txt", folder / "labels.csv")
        images = Source(COCO if name == COCO else "folder", folder, *files).load("train")
        assert images.truth is not None
        names, truth = images.prompt_names, torch.from_numpy(images.truth)
        if name == COCO:
            names = tuple(SUPERCATEGORIES)
            truth = torch.stack([own.any(dim=1) for own in truth.split(list(SUPERCATEGORIES.values()), dim=1)], dim=1)
        views, broad = views_of(images, clip, work / f"{name}.npz"), kinds_beside(names)
        found = dict[str, Any]()
        for way in ("given", "widened"):
            table = labels_of(views, names, clip, EVERYDAY, wide=way == "widened").table
            ap = average_precision(table, truth)
            found[way] = {"map": float(ap.nanmean())} | {one: float(ap[names.index(one)]) for one in broad}
            print(name, way, *(f"{key} {100 * value:.1f}" for key, value in found[way].items()), flush=True)
        sets[name] = {"photographs": len(images), "classes": len(names), "asked_for_too": broad, **found}
    measure.save({"benchmark": "broad names", "recipe": "folder", "sets": sets}, out)


if __name__ == "__main__":
    main()
