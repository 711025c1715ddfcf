"""What are broad class names worth to a CLIP, and what does it gain to be asked for their kinds too?

``python benchmarks/broad_names.py OUT.json CLIP WORK coco2017=COCO NAME=ROOT …``: each ROOT is a folder with
``classes.txt`` and ``labels.csv``; of COCO's 80 classes their twelve supercategories are made, of which a photograph is
where it is of one of their classes. *Training* photographs alone are used. The labels are those of ``label``
(``benchmarks/thresholds.py``), with names as they are and with all broad ones widened (``teacher.names``); views are
kept in WORK. Average precision of the broad classes, and the mean over all, with three ways to put the odds of a
class's texts together: their sum, their mean, and between them. Then a few supercategories alone, as a person has them,
with everyday nouns beside them: what is labelled, at thresholds chosen without labels, of the photographs of none.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from thresholds import EVERYDAY, RULES, f1s, labels_of, shares, views_of

from ccd_fast.bench import measure
from ccd_fast.datasets import Source
from ccd_fast.evaluation.metrics import average_precision
from ccd_fast.prompts import kinds_beside
from ccd_fast.recipes import config
from ccd_fast.teacher import Clip, load_clip, vocabulary

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


FEW = (
    ("animal",),
    ("vehicle", "person"),
    ("food", "animal"),
    ("person", "furniture"),
    ("person", "animal", "vehicle"),
    ("vehicle", "furniture", "food"),
    ("person", "animal", "vehicle", "accessory", "appliance"),
    ("person", "animal", "vehicle", "furniture", "food"),
)
GIVEN = "given"
WAYS: dict[str, float] = {
    GIVEN: 0.0,
    "the sum of odds": 0.0,
    "over the root of their number (in use)": 0.5,
    "the mean": 1.0,
}
"""Names as given, and by their kinds too with this power of the number of texts."""


def of_labels(
    views: torch.Tensor, names: Sequence[str], truth: torch.Tensor, clip: Clip, way: str, beside: str
) -> dict[str, float]:
    """Measure the labels of one way."""
    vocabulary.POWER = WAYS[way]
    table = labels_of(views, names, clip, beside, wide=way != GIVEN).table
    ap, given = average_precision(table, truth), (table >= RULES["in use"](table)).numpy()
    cf1, of1 = f1s(given, truth.numpy())
    broad = {one: float(ap[names.index(one)]) for one in kinds_beside(names)}
    found = {"map": float(ap.nanmean()), **broad, "cf1": cf1, "of1": of1}
    return found if truth.any(dim=1).all() else found | shares(given, truth.numpy())


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
        views, beside = (
            views_of(images, clip, work / f"{name}.npz"),
            config.load("folder").labels.anchors_for(len(names)),
        )
        found = dict[str, Any]()
        for way in WAYS:
            found[way] = of_labels(views, names, truth, clip, way, beside)
            print(name, way, found[way], flush=True)
        sets[name] = {"photographs": len(images), "asked_for_too": kinds_beside(names), "labels": found}
        if name == COCO:
            sets["a few of them"] = few = dict[str, Any]()
            for own in FEW:
                columns = [names.index(one) for one in own]
                rows = {way: of_labels(views, own, truth[:, columns], clip, way, EVERYDAY) for way in WAYS}
                few[", ".join(own)] = rows
                print(*own, *(f"{way}: {row}" for way, row in rows.items()), sep="\n  ", flush=True)
    measure.save({"benchmark": "broad names", "recipe": "folder", "sets": sets}, out)


if __name__ == "__main__":
    main()
