"""How good first labels are, by what the teacher looks at and how soft its scores are; no training.

``python benchmarks/first_labels.py DATASET ROOT CLASSES LABELS TEACHER OUT.json`` with ``-`` for files that the
data set does not need; Every photograph is seen whole and in
the cells of 2x2 and 3x3. For each temperature and each set of views: the mAP of half the whole image's scores and half
the highest of the cells, before and after the division by the bias and the clipping at 1. The labels that are known are
those of the training part; nothing else is looked at.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ccd_fast.bench import measure
from ccd_fast.datasets import ImageSet, Source
from ccd_fast.engines import EngineSettings, Store, open_engine
from ccd_fast.evaluation import mean_average_precision
from ccd_fast.labels import FirstLabels, debiased_labels
from ccd_fast.labels.view_choice import grid_boxes
from ccd_fast.recipes import config
from ccd_fast.teacher import Teacher, Vocabulary, class_embeddings, load_clip
from ccd_fast.views import open_backend, to_image_boxes

TEMPERATURES = (1.0, 1.5, 2.0, 2.5, 3.3, 5.0)
GRIDS: dict[str, tuple[int, ...]] = {"whole": (), "2x2": (2,), "3x3": (3,), "2x2 and 3x3": (2, 3)}
SEEN = (2, 3)
BATCH = 16


def similarities(images: ImageSet, teacher: Teacher) -> torch.Tensor:
    """Look at every photograph whole and at its cells: (N, 1 + 4 + 9, C) float32."""
    backend = open_backend("auto", torch.get_num_threads())
    shares = np.concatenate([grid_boxes(side) for side in SEEN])
    found = []
    for rows in np.split(np.arange(len(images)), range(BATCH, len(images), BATCH)):
        photographs = backend.decode(images.files(rows), rows)
        if photographs.unreadable:
            sys.exit(f"{images.paths[next(iter(photographs.unreadable))]}: cannot be read")
        size, number = teacher.image_size, len(photographs)
        whole = backend.whole(photographs, size, teacher.interpolation)
        boxes = to_image_boxes(np.tile(shares, (number, 1)), photographs.sizes.repeat(len(shares), axis=0), 1, None)
        cells = backend.crop(photographs, np.arange(number).repeat(len(shares)), boxes, size, teacher.interpolation)
        seen = [teacher.similarities(whole)[:, None], teacher.similarities(cells).view(number, len(shares), -1)]
        found.append(torch.cat(seen, dim=1))
        print(f"{rows[-1] + 1} of {len(images)}", end="\r", file=sys.stderr, flush=True)
    return torch.cat(found)


def table(seen: torch.Tensor, truth: torch.Tensor) -> dict[str, dict[str, list[float]]]:
    """Give the mAP before and after debiasing, in %, by views and temperature."""
    places, start = {}, 1
    for side in SEEN:
        places[side] = range(start, start + side * side)
        start += side * side
    found: dict[str, dict[str, list[float]]] = {name: {} for name in GRIDS}
    for temperature in TEMPERATURES:
        recipe = config.load("folder", [f"teacher.temperature={temperature}"])
        soft = seen / temperature
        first = FirstLabels(len(seen), seen.shape[2], recipe.entropy_limit(seen.shape[2]))
        first.add(torch.arange(len(seen)), soft[:, 0].contiguous())
        bias = first.finish(recipe.labels.floor, recipe.bias.min_count, debias=True).bias
        scores = soft.softmax(dim=2)
        for name, sides in GRIDS.items():
            cells = [place for side in sides for place in places[side]]
            own = (scores[:, 0] + scores[:, cells].amax(dim=1)) / 2 if cells else scores[:, 0]
            both = (own, debiased_labels(own, bias, recipe.labels.floor))
            found[name][f"{temperature:g}"] = [100 * mean_average_precision(each, truth) for each in both]
    return found


def main() -> None:
    """Measure, print, write."""
    dataset, root, classes, labels, teacher_name, out = sys.argv[1:7]
    files = [None if name == "-" else Path(name) for name in (classes, labels)]
    images = Source(dataset, Path(root), *files).load("train")
    recipe, clip = config.load("folder"), load_clip(teacher_name)
    settings = EngineSettings("onnxruntime", batch_size=BATCH, threads=torch.get_num_threads())
    embeddings = class_embeddings(clip, images.prompt_names, recipe.teacher.templates)
    seen = similarities(images, Teacher(clip, open_engine(clip.tower, settings, Store()), Vocabulary(embeddings)))
    assert images.truth is not None
    found = table(seen, torch.from_numpy(images.truth))
    for name, own in found.items():
        print(f"{name:12}", "  ".join(f"T {t}: {raw:.1f} ({kept:.1f})" for t, (raw, kept) in own.items()))
    facts: dict[str, Any] = {"benchmark": "first labels by views and temperature, training part", "data": dataset}
    facts |= {"photographs": len(images), "classes": len(images.class_names), "teacher": Path(teacher_name).name}
    measure.save({**facts, "map_before_and_after_debiasing": found}, Path(out))


if __name__ == "__main__":
    main()
