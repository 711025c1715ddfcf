"""``ccd-fast bench train``: training epochs with and without consistency, beside a relabel pass on the same images.

Everything is timed in one run, in turn; see :mod:`ccd_fast.bench.measure`. The epochs train a copy of the student, so
that every relabel pass asks for the same crops.
"""

import statistics
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from ccd_fast.bench import maps, measure
from ccd_fast.bench.load import EPOCH, Load
from ccd_fast.bench.measure import Timing, ratio
from ccd_fast.bench.relabel import RELABEL_PASS
from ccd_fast.engines import DTYPES, ceilings
from ccd_fast.errors import UserError
from ccd_fast.recipes import Recipe
from ccd_fast.runs import Stage
from ccd_fast.student import Student
from ccd_fast.student.losses import CcdLoss, confidence_weights
from ccd_fast.student.training_views import TrainingViews
from ccd_fast.training.epoch import fit_epoch
from ccd_fast.training.steps import Trainer

PLAIN, CONSISTENT = "epoch", "epoch with consistency"
VIEWS = {PLAIN: 1, CONSISTENT: 2}
"""Forward and backward passes of an image in a step."""
PARTS = ("decode", "views", "student")


def operations(student: Student, image_size: int) -> int:
    """Count the floating-point operations of one view's forward and backward pass, without its numbers.

    A multiplication and an addition are two; only products and convolutions count, not the optimiser.
    """
    return ceilings.operations(student, image_size, training=True)


class Epochs:
    """Epochs of training on the images of a :class:`Load`, and the parts of the time that each took."""

    def __init__(self, load: Load, recipe: Recipe) -> None:
        """Copy the student, and make what trains it.

        Raises:
            UserError: the recipe's precision, or its compilation, cannot be had here.
        """
        self.load = load
        self.recipe = recipe
        self.trainer = Trainer(deepcopy(load.student), recipe.train, recipe.student.image_size)
        self.stages: dict[str, list[Stage]] = {PLAIN: [], CONSISTENT: []}

    def run(self, name: str) -> None:
        """Train for an epoch, :data:`PLAIN` or :data:`CONSISTENT`."""
        stage = Stage(name, len(self.load.images), lambda _: None)
        images, labels, recipe = self.load.images, self.load.labels(), self.recipe
        views = TrainingViews(
            self.load.backend, recipe.student.image_size, recipe.consistency, recipe.seed, EPOCH, len(images)
        )
        loss = CcdLoss(labels.table)
        if name == CONSISTENT:
            weights = confidence_weights(labels.confident, recipe.consistency.omega)
            loss = CcdLoss(labels.table, weights, recipe.consistency.mu)
        fit_epoch(self.trainer, images, labels.readable, views, loss, stage)
        stage.stop()
        self.stages[name].append(stage)

    def record(self, name: str, timing: Timing, work: int, ceiling: float) -> dict[str, Any]:
        """Give what is kept of an epoch.

        Args:
            name: of the epoch.
            timing: of the rounds that count, the last ones.
            work: floating-point operations of an image's view.
            ceiling: what a matrix product reaches, FLOP/s.
        """
        counted = self.stages[name][-len(timing.seconds) :]
        images, flop = len(self.load.images), VIEWS[name] * work
        in_steps = statistics.median(stage.parts["student"] for stage in counted)
        flops = {"epoch": images * flop / timing.median, "steps": images * flop / in_steps}
        return {
            **timing.record(),
            "images_per_s": images / timing.median,
            "share": {
                part: statistics.median(stage.parts[part] / stage.seconds for stage in counted) for part in PARTS
            },
            "flop_per_image": flop,
            "flops": flops,
            "of_matmul": {what: rate / ceiling for what, rate in flops.items()},
        }


def measure_training(load: Load, recipe: Recipe, repeats: int = measure.REPEATS) -> dict[str, Any]:
    """Measure epochs and the relabel pass.

    Args:
        load: what is measured.
        recipe: how to train; image size and student are the load's.
        repeats: rounds that count.

    Returns:
        What was measured, JSON-ready. ``relabel_over_epoch`` is how many times as long as an epoch with consistency
        a relabel pass takes.

    Raises:
        UserError: there are fewer images than a batch takes, or the recipe's precision, or its compilation, cannot be
            had here.
    """
    if len(load.images) < recipe.train.batch_size:
        raise UserError(f"bench train: {len(load.images)} images are fewer than a batch of {recipe.train.batch_size}")
    epochs = Epochs(load, recipe)
    precision = epochs.trainer.precision
    ceiling = measure.matmul_rate(load.device, DTYPES[precision], repeats)
    calls: dict[str, Callable[[], object]] = {name: lambda name=name: epochs.run(name) for name in VIEWS}  # type: ignore[misc]
    calls[RELABEL_PASS] = load.update
    with tempfile.TemporaryDirectory() as folder:
        from_maps = maps.open_passes(load, None, Path(folder))
        if not isinstance(from_maps, str):
            calls |= {maps.LATER: from_maps.later, maps.UNASKED: from_maps.unasked}
        timings = measure.in_turn(calls, repeats, device=load.device)
    crops = load.update()[1].crops
    work = operations(load.student, load.recipe.student.image_size)
    relabelled = timings[RELABEL_PASS]
    return {
        "device": load.device,
        "student": load.recipe.student.backbone,
        "image_size": load.recipe.student.image_size,
        "batch_size": recipe.train.batch_size,
        "precision": precision,
        "compiled": epochs.trainer.compiled,
        "views": load.backend.name,
        "images": len(load.images),
        "matmul_flops": ceiling,
        "epochs": [{"epoch": name, **epochs.record(name, timings[name], work, ceiling)} for name in VIEWS],
        "consistency_costs": ratio(timings[CONSISTENT], timings[PLAIN]),
        "relabel": {
            **relabelled.record(),
            "images_per_s": len(load.images) / relabelled.median,
            "crops": crops,
            "teacher": load.teacher_name,
            "engine": load.teacher.engine.runtime,
        },
        "relabel_over_epoch": ratio(relabelled, timings[CONSISTENT]),
        "maps_over_epoch": {
            key: ratio(timings[name], timings[CONSISTENT])
            for key, name in (("later", maps.LATER), ("boxes_of_training", maps.UNASKED))
            if name in timings
        },
    }
