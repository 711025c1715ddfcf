"""How good labels are after one update from maps, beside crops at the same boxes; no training.

``python benchmarks/maps_labels.py DATASET ROOT CLASSES LABELS TEACHER OUT.json [IMAGES]`` with ``-`` for files that the
data set does not need. The boxes are those of a grid of 2x2, random ones, and the objects' own where the data set has
boxes; half of the old label is kept. mAP is that of the first IMAGES training photographs, whose labels are known, with
a paired bootstrap over them. For labels and students of whole trainings: ``TABLE=maps`` of ``schedules.py``.
"""

import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ccd_fast import engines
from ccd_fast.bench import measure
from ccd_fast.datasets import ImageSet, Source
from ccd_fast.engines import EngineSettings, Store
from ccd_fast.evaluation import mean_average_precision
from ccd_fast.evaluation.bootstrap import paired
from ccd_fast.labels import PseudoLabels, Update, ViewChoice
from ccd_fast.labels.from_maps import Maps, relabel_from_maps
from ccd_fast.labels.relabel import relabel
from ccd_fast.labels.view_choice import Cams
from ccd_fast.labels.whole_images import score_whole_images
from ccd_fast.recipes import config
from ccd_fast.runs import Stage
from ccd_fast.student import Reading
from ccd_fast.teacher import Teacher, Vocabulary, class_embeddings, load_clip
from ccd_fast.teacher.maps import MapTeacher
from ccd_fast.views import open_backend

SIZES = (224, 320, 448)
CHOICES = ("ground-truth", "grid", "random")
CROPS = "crops"
ENOUGH = 1e6
"""GiB: no limit."""


def first(images: ImageSet, count: int) -> ImageSet:
    """Give the first images of a data set."""
    truth = None if images.truth is None else images.truth[:count]
    return replace(images, paths=images.paths[:count], known=images.known[:count], truth=truth)


def measured(source: Source, teacher_name: str, count: int, folder: Path) -> dict[str, Any]:
    """Update labels once from crops and from maps, and compare them with the truth."""
    every = source.load("train")
    objects, images = source.objects(every), first(every, count)
    size, recipe = (len(images), len(images.class_names)), config.load("folder", ["views.grid=2"])
    clip, settings = load_clip(teacher_name), EngineSettings("torch", threads=torch.get_num_threads())
    classes = class_embeddings(clip, images.prompt_names, recipe.teacher.templates)
    teacher = Teacher(clip, engines.open_engine(clip.tower, settings, Store()), Vocabulary(classes))
    reading = Reading(open_backend("auto", torch.get_num_threads()))
    knobs = recipe.labels
    gathered, _ = score_whole_images(images, reading, teacher, knobs.entropy_limit(size[1]), stage(images))
    begun = gathered.finish(knobs.floor, recipe.bias.min_count, recipe.bias.debias).state()
    truth = torch.from_numpy(images.truth)
    looking = {
        side: Maps(MapTeacher(clip, side, settings, Store(), Vocabulary(classes)), folder, ENOUGH) for side in SIZES
    }
    update, rows = Update(knobs.floor, 0.5), {}
    for choice in CHOICES:
        if choice == "ground-truth" and objects is None:
            continue
        views = recipe.views.model_copy(update={"choice": choice})
        looks = ViewChoice(views, recipe.relabel, Cams(0, 1.0), size, (0, 0), objects)
        tables = {CROPS: labels_of(begun)}
        relabel(images, reading, teacher, None, tables[CROPS], looks, update, stage(images))
        for side, maps in looking.items():
            tables[f"maps of {side} pixels"] = labels = labels_of(begun)
            relabel_from_maps(images, reading, maps, None, labels, looks, update, stage(images))
        of_crops = tables[CROPS].table
        rows[choice] = {
            name: {
                "label_map": mean_average_precision(labels.table, truth),
                **({} if name == CROPS else {"above_crops": asdict(paired(labels.table, of_crops, truth))}),
            }
            for name, labels in tables.items()
        }
        print(choice, {name: round(100 * row["label_map"], 1) for name, row in rows[choice].items()}, flush=True)
    return {"images": size[0], "classes": size[1], "first": mean_average_precision(begun["table"], truth), "rows": rows}


def labels_of(begun: dict[str, torch.Tensor]) -> PseudoLabels:
    """Give the first labels anew."""
    return PseudoLabels(**{name: tensor.clone() for name, tensor in begun.items()})


def stage(images: ImageSet) -> Stage:
    """Give a stage that nobody watches."""
    return Stage("update", len(images), lambda _: None)


if __name__ == "__main__":
    if len(sys.argv) < 7:
        sys.exit(__doc__)
    dataset, root, class_file, label_file, teacher_, out, *images_ = sys.argv[1:]
    files = [None if file == "-" else Path(file) for file in (class_file, label_file)]
    with tempfile.TemporaryDirectory() as made:
        found = measured(Source(dataset, Path(root), *files), teacher_, int((images_ or ["100000"])[0]), Path(made))
    measure.save({"benchmark": "maps labels", "data": [dataset, Path(root).name], **found}, Path(out))
