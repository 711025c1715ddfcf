"""How often, and how far, should labels be updated? And what do more views and a moving average gain?

``python benchmarks/schedules.py WORK OUT.json 0,1,2 demo``, or in place of ``demo`` a data set and a teacher:
``folder ROOT CLASSES.txt LABELS.csv TEACHER STUDENT_WEIGHTS``, ``coco2017 ROOT - - TEACHER STUDENT_WEIGHTS``. Runs are
kept in WORK, and the same command goes on. On a data set the student's backbone is frozen and there is no consistency
loss (ROWS of the labels are what is studied); in the demo world the whole student is trained. Schedules are to be
chosen by the pseudo-labels of the training images; the test images confirm.

In the environment ``TABLE=gains`` runs the rows of :data:`GAINS` in place of the schedules, ``TABLE=maps`` those of
:data:`MAPS` (``maps-demo`` those for the demo world), ``TABLE=sizes`` those of :data:`SIZES`, ``TABLE=first-head``
those of :data:`FIRST_HEADS`, ``TABLE=neighbours`` those of :data:`NEIGHBOURS`, ``TABLE=names`` those of :data:`NAMES`;
``FULL=1`` trains the whole student on a data set too, with the consistency loss;
``ONLY="running mean;every, lambda 0.5"`` runs some of the rows, and ``SET="student.alpha=2 …"`` sets knobs.
"""

import functools
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.datasets import Source
from ccd_fast.demo import story
from ccd_fast.outputs import origin, trained
from ccd_fast.recipes import config
from ccd_fast.runs.progress import Stage, Stages
from ccd_fast.student import Reading, predict
from ccd_fast.studies import cells
from ccd_fast.studies.cells import Cell
from ccd_fast.studies.variants import FROZEN, slug
from ccd_fast.training.measures import LAST
from ccd_fast.training.memory import Memory, half_of_what_is_free
from ccd_fast.training.passes import evaluation_conditions

EPOCHS = 8
ONCE_BEFORE = "the folder recipe as it was"
ONCE = "once, lambda 0.2 (the paper)"
MOVING = "relabel.average=moving"
SCHEDULES: dict[str, tuple[str, ...]] = {
    ONCE: ("relabel.epochs=1", "relabel.ema=0.2", MOVING),
    "once, lambda 0.5": ("relabel.epochs=1", "relabel.ema=0.5", MOVING),
    "every, lambda 0.2": ("relabel.ema=0.2", MOVING),
    "every, lambda 0.5": ("relabel.ema=0.5", MOVING),
    "every, lambda 0.8": ("relabel.ema=0.8", MOVING),
    "running mean": ("relabel.ema=0.5", "relabel.average=running"),
    "anchored, lambda 0.5": ("relabel.ema=0.5", "relabel.average=anchored"),
    "every, lambda 0.5, whole": ("relabel.ema=0.5", MOVING, "relabel.whole=true"),
    "running mean, whole": ("relabel.ema=0.5", "relabel.average=running", "relabel.whole=true"),
    "anchored, lambda 0.5, whole": ("relabel.ema=0.5", "relabel.average=anchored", "relabel.whole=true"),
    "running mean, two jittered views": (
        *("relabel.ema=0.5", "relabel.average=running"),
        *("views.per_class=2", "views.jitter=0.1"),
    ),
    "running mean, whole, two jittered views": (
        *("relabel.ema=0.5", "relabel.average=running", "relabel.whole=true"),
        *("views.per_class=2", "views.jitter=0.1"),
    ),
    "running mean, bias again": ("relabel.ema=0.5", "relabel.average=running", "bias.again=true"),
    "running mean, tau at every update": ("relabel.ema=0.5", "relabel.average=running", "relabel.tau=every"),
    "running mean, until settled": ("relabel.ema=0.5", "relabel.average=running", "relabel.settle=0.004"),
}
"""Each row with what it changes; all update at every epoch after the warm-up unless they say otherwise."""
AS_CROPS = ("relabel.teacher=crops", "relabel.student=pass")
LABELS_BEFORE = (
    *("student.head=drawn", *AS_CROPS),
    "teacher.templates=['a photo of the {}']",
    "teacher.temperature=1.0",
    "teacher.names=given",
    "labels.grids=[]",
    "labels.anchors=none",
    "relabel.average=running",
    "labels.max_entropy=2.0",
    "train.choose=label-free",
)
RATES_BEFORE = (
    *("train.epochs=5", "train.head_learning_rate=1e-3", "train.schedule=constant", "train.ema=0.0"),
    "student.image_size=224",
)
"""The demo world has rates and views of its own."""
BEFORE = (*LABELS_BEFORE, *RATES_BEFORE)
SEVEN = f"teacher.templates={json.dumps(config.load('folder').teacher.templates)}"
SLOWLY = ("train.epochs=6", "train.head_learning_rate=5e-3", "train.schedule=cosine", "train.ema=0.998")
GAINS: dict[str, tuple[str, ...]] = {
    ONCE_BEFORE: BEFORE,
    "its last epoch": (*BEFORE, "train.choose=last"),
    "seven prompts": (*BEFORE, SEVEN),
    "a grid of 2x2 in the first labels": (*BEFORE, "labels.grids=[2]"),
    "a grid of 3x3": (*BEFORE, "labels.grids=[3]"),
    "the moving average of the weights": (*BEFORE, "train.choose=last", "train.ema=0.998"),
    "the recipe as it is": (),
    "without label updates": ("relabel.epochs=0",),
    "a grid of 3x3, six epochs of a cosine, moving average": (*BEFORE, SEVEN, "labels.grids=[3]", *SLOWLY),
    "the same, without label updates": (*BEFORE, SEVEN, "labels.grids=[3]", *SLOWLY, "relabel.epochs=0"),
}
"""What a change of the recipe gains alone, and together with others."""
CROPS = "crops"
TRAINING = "relabel.student=training"


def looks_once(side: int) -> tuple[str, ...]:
    """Give what makes the teacher look once, at views of so many pixels."""
    return ("relabel.teacher=maps", "relabel.student=pass", f"relabel.maps_size={side}")


def maps_of(*sides: int) -> dict[str, tuple[str, ...]]:
    """Give the rows of the recipe as it is with a teacher that looks once, and without a pass of the student."""
    middle = sides[1]
    return {
        CROPS: AS_CROPS,
        **{f"maps of {side} pixels": looks_once(side) for side in sides},
        "crops, boxes of the training steps": (*AS_CROPS, TRAINING),
        f"maps of {middle} pixels, boxes of the training steps": (*looks_once(middle), TRAINING),
    }


MAPS = maps_of(224, 320, 448)
MAPS_OF_THE_DEMO = maps_of(64, 96, 128)
"""Its CLIP has an input of 64 pixels."""
SMALL = "views of 224 pixels"
SIZES = {
    f"views of {side} pixels": ("student.head=drawn", *AS_CROPS, f"student.image_size={side}")
    for side in (224, 288, 320)
}
"""The recipe as it was before its head began as a regression, by the side of the student's views."""
DRAWN = "drawn weights"
SLOW = "train.head_learning_rate=1e-3"
FIRST_HEADS: dict[str, tuple[str, ...]] = {
    DRAWN: ("student.head=drawn",),
    "ridge": ("student.head=ridge",),
    "ridge, rate 1e-3": ("student.head=ridge", SLOW),
    "ridge, rate 3e-4": ("student.head=ridge", "train.head_learning_rate=3e-4"),
    "ridge, rate 1e-3, no update": ("student.head=ridge", SLOW, "relabel.epochs=0"),
    "ridge, rate 1e-3, three epochs, one before updates": (
        *("student.head=ridge", SLOW),
        *("train.epochs=3", "train.warmup_epochs=1"),
    ),
}
"""What the student's last layer begins with, and how fast it then learns."""
ALONE = "none"
NEIGHBOURS: dict[str, tuple[str, ...]] = {
    ALONE: (*looks_once(320), TRAINING, "labels.neighbours=0"),
    "10 neighbours": (*looks_once(320), TRAINING, "labels.neighbours=10"),
    "10 neighbours, no update": (*looks_once(320), TRAINING, "labels.neighbours=10", "relabel.epochs=0"),
}
"""Whether labels are drawn towards those of photographs that look alike."""
AS_GIVEN = "names as given"
NAMES: dict[str, tuple[str, ...]] = {
    AS_GIVEN: (*looks_once(320), TRAINING, "teacher.names=given"),
    "broad names by their kinds too": (*looks_once(320), TRAINING, "teacher.names=widened"),
}
"""Whether the teacher is asked for a person by man, woman, boy and girl too."""
TABLES = {
    "schedules": (SCHEDULES, ONCE),
    "gains": (GAINS, ONCE_BEFORE),
    "maps": (MAPS, CROPS),
    "maps-demo": (MAPS_OF_THE_DEMO, CROPS),
    "sizes": (SIZES, SMALL),
    "first-head": (FIRST_HEADS, DRAWN),
    "neighbours": (NEIGHBOURS, ALONE),
    "names": (NAMES, AS_GIVEN),
}
"""Rows, and the one that the others are compared with."""
ABOVE = {
    "schedules": "test_map_above_once",
    "gains": "test_map_above_before",
    "maps": "test_map_above_crops",
    "maps-demo": "test_map_above_crops",
    "sizes": "test_map_above_224",
    "first-head": "test_map_above_drawn",
    "neighbours": "test_map_above_none",
    "names": "test_map_above_given",
}
TABLE = os.environ.get("TABLE", "schedules")
AS_MEASURED = (*LABELS_BEFORE, f"train.epochs={EPOCHS}", "train.choose=last", "relabel.epochs=every")
"""What the schedules have in common: what the recipe was when they were measured."""
RESAMPLES = 1000
Scored = tuple[NDArray[np.float32], NDArray[np.bool_]]


def plan(work: Path, arguments: Sequence[str]) -> cells.Plan:
    """Say what the trainings of the rows share."""
    stages, extra = Stages(Console(stderr=True)), os.environ.get("SET", "").split()
    every = [*AS_MEASURED, *extra] if TABLE == "schedules" else extra

    def folder(row: str, seed: int) -> Path:
        return work / f"seed-{seed}" / slug(row)

    if arguments[0] == "demo":
        return cells.Plan(
            source=lambda seed: story.draw(seed, stages),
            recipe=lambda seed, more: story.recipe(seed, [*every, *more]),
            folder=folder,
            stages=stages,
            shared=work / ".shared",
        )
    dataset, root, classes, truth, teacher, weights = arguments
    files = [None if file == "-" else Path(file) for file in (classes, truth)]
    source = Source(dataset, Path(root), *files)
    before = RATES_BEFORE if TABLE == "schedules" else ()
    whole = ("train.backbone_learning_rate=1e-4",)
    frozen = whole if os.environ.get("FULL") else ("consistency.mu=0", *FROZEN)
    named = [f"teacher.model='''{teacher}'''", f"student.weights='''{weights}'''", *frozen]
    return cells.Plan(
        source=lambda seed: source,  # noqa: ARG005 - the same for all
        recipe=lambda seed, more: config.load("folder", [*before, *every, *named, f"seed={seed}", *more]),
        folder=folder,
        stages=stages,
        shared=work / ".shared",
        memory=Memory(half_of_what_is_free()),
    )


def label_maps(cell: Cell) -> list[float]:
    """Give the mAP of the pseudo-labels after each update, on the training images."""
    lines = (cell.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record["pseudo_label_map"] for record in map(json.loads, lines) if "pseudo_label_map" in record]


def seconds_by_stage(cells_: Sequence[Cell]) -> dict[str, float]:
    """Give the seconds of each stage of a training, mean over seeds."""
    names = dict.fromkeys(name for cell in cells_ for name in cell.summary["stages"])
    each = {name: [cell.summary["stages"].get(name, {}).get("seconds", 0.0) for cell in cells_] for name in names}
    return {name: round(statistics.fmean(seconds), 3) for name, seconds in each.items()}


@functools.cache
def test_scores(folder: Path) -> Scored:
    """Give a run's probabilities of the test images that can be read and whose labels are known, and the truth."""
    model = trained.load(folder)
    images = origin.origin(folder)[0].load("test")
    backend, _ = evaluation_conditions(model.recipe)
    stage = Stage("test", len(images), lambda _: None)
    seen = predict(model.student, images.files_of_all(), Reading(backend), model.recipe.student.image_size, stage)
    if images.truth is None:
        raise ValueError("the truth of the test images is not known")
    rows = seen.readable.numpy() & images.known
    return seen.probabilities.numpy()[rows], images.truth[rows]


def average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Give the mAP over the classes that have positives; ties count in the order of the rows."""
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(truth, order, axis=0)
    precision = hits.cumsum(axis=0) / np.arange(1, len(hits) + 1)[:, None]
    positives = hits.sum(axis=0)
    there = positives > 0
    return float(((precision * hits).sum(axis=0)[there] / positives[there]).mean())


def difference(own: Sequence[Cell], other: Sequence[Cell]) -> dict[str, Any]:
    """Give the test mAP of one row above another's, mean over seeds, with a paired bootstrap over the test images.

    The interval says how much depends on these test images; how much depends on the seed is in the figures by seed.
    """
    pairs = [(test_scores(a.folder), test_scores(b.folder)) for a, b in zip(own, other, strict=True)]
    return difference_of(pairs)


def difference_of(pairs: Sequence[tuple[Scored, Scored]]) -> dict[str, Any]:
    """Compare two rows by their scores of the test images, with the truth, a pair a seed; see :func:`difference`."""
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        gains = []
        for number, ((ours, truth), (theirs, _)) in enumerate(pairs):
            if not number or not np.array_equal(truth, pairs[0][0][1]):  # the same images for seeds that share them
                rows = generator.integers(0, len(truth), len(truth))
            gains.append(average_precision(ours[rows], truth[rows]) - average_precision(theirs[rows], truth[rows]))
        drawn.append(statistics.fmean(gains))
    low, high = np.quantile(drawn, [0.025, 0.975])
    gains = [average_precision(a[0], a[1]) - average_precision(b[0], b[1]) for a, b in pairs]
    return {"by_seed": gains, "mean": statistics.fmean(gains), "low": float(low), "high": float(high)}


def main() -> None:
    """Run the schedules, print them, and write the figures."""
    work, out, seeds = Path(sys.argv[1]), Path(sys.argv[2]), [int(seed) for seed in sys.argv[3].split(",")]
    machine.keep_freed_memory()
    only = [name for name in os.environ.get("ONLY", "").split(";") if name]
    every, once_row = TABLES[TABLE]
    if unknown := set(only) - set(every):
        sys.exit(f"ONLY: no rows {sorted(unknown)}; the rows are {', '.join(map(repr, every))}")
    rows = {name: own for name, own in every.items() if not only or name in only}
    planned = plan(work, sys.argv[4:])
    done = cells.run_cells(planned, rows, seeds)
    figures: dict[str, Any] = {}
    once = [cell for cell in done if cell.row == once_row]
    for row in rows:
        own = [cell for cell in done if cell.row == row]
        by_update = np.array([label_maps(cell) for cell in own]).mean(axis=0)
        first = statistics.fmean(cell.summary["results"]["first pseudo-labels, train"] for cell in own)
        figures[row] = {
            "first_label_map": first,
            "label_map_by_epoch": by_update.tolist(),
            "last_label_map_by_seed": [label_maps(cell)[-1] for cell in own if label_maps(cell)],
            "test_map_by_seed": [cell.test.mean_average_precision for cell in own],
            "seconds": statistics.fmean(cell.seconds for cell in own),
            "seconds_by_stage": seconds_by_stage(own),
            "last_test_map_by_seed": [cell.summary["results"][LAST] for cell in own],
            **({} if row == once_row or not once else {ABOVE[TABLE]: difference(own, once)}),
        }
        shown = " ".join(f"{100 * value:.1f}" for value in (first, *by_update))
        test = statistics.fmean(figures[row]["test_map_by_seed"])
        print(f"{row:36} labels {shown}   student {100 * test:.1f}", flush=True)
    given = ["demo"] if sys.argv[4] == "demo" else [sys.argv[4], Path(sys.argv[5]).name, Path(sys.argv[8]).name]
    facts = {
        "data": given,
        "seeds": seeds,
        "epochs": planned.recipe(0, ()).train.epochs,
        "set": os.environ.get("SET", ""),
        "trained_in_full": bool(os.environ.get("FULL")),
    }
    measure.save(
        {
            "benchmark": TABLE,
            **facts,
            "teacher_test_map": done[0].teacher.mean_average_precision,
            "rows": figures,
        },
        out,
    )


if __name__ == "__main__":
    main()
