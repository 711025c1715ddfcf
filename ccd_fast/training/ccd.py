"""Classifier-guided CLIP Distillation, as a run asks it for its targets (sections 2, 4 and 5)."""

from typing import Any, cast

import numpy as np
import torch

from ccd_fast.errors import UserError
from ccd_fast.labels import FirstLabels, on_disk
from ccd_fast.labels.bias import bias_by_class
from ccd_fast.labels.known import counts
from ccd_fast.labels.neighbours import SURE, draw_together, know_each_other
from ccd_fast.labels.table import apart
from ccd_fast.labels.training_boxes import TrainingBoxes
from ccd_fast.runs.folder import BIAS
from ccd_fast.runs.told import in_words
from ccd_fast.student.losses import CcdLoss, confidence_weights
from ccd_fast.student.training_views import flips
from ccd_fast.training.first_head import MOST
from ccd_fast.training.measures import FIRST, TEACHER, UPDATED, measure, measure_zero_shot
from ccd_fast.training.state import CELLS, Parts, State

NOTHING_TO_LEARN = (
    "no photograph is of any of the classes: in each an everyday thing is likelier (labels.anchors): check the class "
    "names and the teacher, or leave those out with --set labels.anchors=none (and --overwrite, where a run has begun)"
)


class Ccd:
    """The method of the paper; see :class:`ccd_fast.training.method.Method`."""

    def __init__(self, parts: Parts) -> None:
        """Take what the run works with."""
        self.parts = parts
        self.boxes: TrainingBoxes | None = None
        self._flipped = np.empty(0, dtype=bool)

    def first_labels(self) -> State:
        """Score the whole images, and make the first pseudo-labels of them (sections 1 and 2)."""
        parts, recipe, images = self.parts, self.parts.recipe, self.parts.images
        with parts.stages.stage("first labels", len(images), parts.keeper("first labels")) as stage:
            gathered, unreadable = parts.passes.whole_images(images, stage)
        parts.set_aside(images, unreadable)
        told = None if parts.known is None else torch.from_numpy(parts.known)
        if told is not None:
            parts.stages.say(f"known: {in_words(counts(told.numpy()))}")
            cast(FirstLabels, gathered).count_known(told)  # the published code's are refused with known labels
        labels = gathered.finish(recipe.labels.floor, recipe.bias.min_count, recipe.bias.debias)
        if recipe.bias.debias and not labels.bias_counts.any():
            raise UserError(NOTHING_TO_LEARN)
        labels.told = told
        labels.pin(parts.tables)
        sure = labels.confident & gathered.named
        rare = int((labels.bias_counts < max(recipe.bias.min_count, 1)).sum())
        parts.stages.say(
            f"bias from {int(sure.sum())} confident images; "
            f"{rare} of {len(images.class_names)} classes are drawn to the mean"
        )
        state = State(labels)
        measure(parts, state, f"{TEACHER}, train", gathered.scores, images, labels.readable)
        measure(parts, state, FIRST, labels.table, images, labels.readable)
        measure_zero_shot(parts, state)
        on_disk.save(parts.folder, 0, images, labels)
        seen = sure & labels.readable
        parts.folder.write_json(BIAS, bias_by_class(gathered.scores, labels.table, seen, images.class_names))
        return state

    def before_epoch(self, state: State, epoch: int) -> bool:
        """Look at the cells of a grid before the first epoch, and update the labels after the warm-up."""
        looked = self._look_at_the_cells(state)
        return self._update(state, epoch) or looked

    def _look_at_the_cells(self, state: State) -> bool:
        """Draw the first labels towards what the teacher sees in the cells (section 2)."""
        parts, images, labels = self.parts, self.parts.images, state.labels
        if not parts.recipe.labels.grids or state.updated is not None:
            return False
        with parts.stages.stage("cells", len(images), parts.keeper("cells")) as stage:
            unreadable = parts.passes.cells(images, labels, stage)
        parts.folder.add_to_quarantine(images.paths, unreadable)
        measure(parts, state, FIRST, labels.table, images, labels.readable)
        on_disk.save(parts.folder, 0, images, labels)
        state.updated = CELLS
        return True

    def has_seen(self, state: State, rows: torch.Tensor, features: torch.Tensor) -> None:
        """Draw the first labels of all photographs towards those of their neighbours, as every update will."""
        parts, images, labels = self.parts, self.parts.images, state.labels
        count = parts.recipe.labels.neighbours
        if not count:
            return
        if len(images) > MOST:
            parts.stages.say(
                f"labels.neighbours: of more than {MOST:,} photographs not all are seen: labels stay as they are"
            )
            return
        know_each_other(labels, rows, features, count, parts.tables.ranks)
        draw_together(labels, parts.tables)
        parts.stages.say(
            f"labels: drawn towards those of the {count} photographs that look most alike to the student, "
            "now and after every update"
        )
        measure(parts, state, FIRST, labels.table, images, labels.readable)
        on_disk.save(parts.folder, 0, images, labels)

    def _update(self, state: State, epoch: int) -> bool:
        """Set the activity threshold, at the first update or at each, and update the labels (section 4)."""
        parts, images, labels, knobs = self.parts, self.parts.images, state.labels, self.parts.recipe.relabel
        if not parts.recipe.updates_labels(epoch) or state.settled or state.updated == epoch:
            return False
        if state.tau is None and knobs.average == "anchored":
            labels.anchor()
        if state.tau is None or knobs.tau == "every":
            state.tau = self._activity_threshold(epoch)
        before = labels.table
        with parts.stages.stage("relabel", len(images), parts.keeper(f"relabel {epoch}"), epoch=epoch) as stage:
            unreadable = parts.passes.relabel(parts.student, images, labels, state.tau, epoch, stage, self.boxes)
        parts.folder.add_to_quarantine(images.paths, unreadable)
        if labels.near is not None:
            draw_together(labels, parts.tables)
        on_disk.save(parts.folder, epoch, images, labels)
        changed = apart(before, labels.table, labels.readable)
        state.settled = changed < knobs.settle
        ended = f", less than relabel.settle = {knobs.settle:g}: no more updates" if state.settled else ""
        parts.stages.say(f"tau {state.tau:.4f}; labels changed by {changed:.4f} on average{ended}")
        measure(parts, state, UPDATED, labels.table, images, labels.readable)
        state.updated = epoch
        return True

    def _activity_threshold(self, epoch: int) -> float:
        """Set tau, from the training steps where they are what is looked at (section 4)."""
        if self.boxes is not None and self.boxes.tau is not None:
            return self.boxes.tau
        parts = self.parts
        with parts.stages.stage("activity threshold", len(parts.images), epoch=epoch) as stage:
            return parts.passes.activity_threshold(parts.student, parts.images, epoch, stage)

    def loss(self, state: State, epoch: int) -> CcdLoss:
        """Give the BCE on the pseudo-labels, with the consistency loss after the warm-up (sections 3 and 5)."""
        self._begin_to_keep_boxes(state, epoch)
        knobs, labels = self.parts.recipe.consistency, state.labels
        if not self.parts.recipe.is_consistent(epoch):
            return CcdLoss(labels.table)
        return CcdLoss(labels.table, confidence_weights(labels.confident, knobs.omega), knobs.mu)

    def rows(self, state: State) -> torch.Tensor:
        """Give all images that can be read."""
        return state.labels.readable

    def sure(self, state: State, rows: torch.Tensor) -> torch.Tensor:
        """Give the pseudo-labels that are 1; where they are drawn together, those that are nearly."""
        drawn = self.parts.recipe.draws_labels_together(len(self.parts.images))
        return state.labels.table[rows] >= (SURE if drawn else 1)

    def _begin_to_keep_boxes(self, state: State, epoch: int) -> None:
        """Begin an epoch without boxes of the training steps, where the update after it asks for them."""
        parts, recipe, images = self.parts, self.parts.recipe, self.parts.images
        follows = epoch + 1 < recipe.train.epochs and recipe.updates_labels(epoch + 1) and not state.settled
        keeps = parts.trainer.keeps_maps = recipe.boxes_of_the_training(len(images)) and follows
        self._flipped = flips(recipe.seed, epoch, len(images))[:, 0]
        of_none = TrainingBoxes.none(len(images), len(images.class_names), recipe.relabel.k)
        self.boxes = of_none if keeps else None

    def after_step(self, rows: torch.Tensor, logits: torch.Tensor) -> None:
        """Keep the boxes of the step's CAMs, where the next update asks for them."""
        maps, knobs = self.parts.trainer.maps, self.parts.recipe.relabel
        if self.boxes is None or maps is None:
            return
        find = (knobs.min_tau, knobs.cam_threshold, knobs.margin)
        size = self.parts.recipe.student.image_size
        self.boxes.add(rows, (logits.to(maps.device), maps), self._flipped[rows.numpy()], size, find)

    def after_epoch(self, state: State, epoch: int, predicted: torch.Tensor) -> None:  # noqa: ARG002
        """Set tau for the boxes of the training steps; labels are updated before an epoch."""
        knobs = self.parts.recipe.relabel
        if self.boxes is not None:
            ranks = self.parts.folder.ranks
            self.boxes.finish(predicted[self.rows(state)[self.parts.sample]], knobs.k, knobs.min_tau, ranks)

    def kept(self) -> dict[str, Any]:
        """Give the boxes of the training steps, where there are any; all else that changes is in the run's state."""
        return {} if self.boxes is None else self.boxes.state()

    def go_on(self, kept: dict[str, Any]) -> None:
        """Take what :meth:`kept` gave."""
        self.boxes = TrainingBoxes(**kept) if kept else None
