"""The pseudo-labels: one (N, C) table, how it begins, and how it is updated (sections 2 and 4)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ccd_fast import kernels
from ccd_fast.errors import UserError
from ccd_fast.labels.bias import bias_of_crops, bias_of_what_is_beside, class_bias, with_known_entries
from ccd_fast.machine.blocks import blocks
from ccd_fast.machine.copies import send
from ccd_fast.runs import RunFolder
from ccd_fast.runs.gathered import Kept
from ccd_fast.runs.mapped_tables import Mapped
from ccd_fast.runs.tables import IN_MEMORY, Tables
from ccd_fast.student import Reading


@dataclass
class PseudoLabels:
    """The state of all labels. A table is replaced by the next one, and does not change itself.

    Attributes:
        table: y, (N, C) float32 in [0, 1], or float16 where it is mapped; zero in unreadable rows.
        bias: b, (C,) float32, the teacher's mean top-1 score by class.
        bias_counts: (C,) int64, the confident images that each class's bias rests on.
        confident: (N,) bool, images whose scores have an entropy at or below the limit.
        readable: (N,) bool, images that could be decoded so far.
        first: the table before any update, where updates are anchored to it.
        told: (N, C) int8, entries that are known: +1 and -1 stay 1 and 0 through all updates; None where none is.
        guess: the table as it would be if nothing were told; None where nothing is.
        near: (N, k) int64, the photographs that look most alike to each, -1 where it was not looked at; None where
            labels are each photograph's own.
        alone: the table as it would be if labels were each photograph's own; None where they are.
    """

    table: torch.Tensor
    bias: torch.Tensor
    bias_counts: torch.Tensor
    confident: torch.Tensor
    readable: torch.Tensor
    first: torch.Tensor | None = None
    told: torch.Tensor | None = None
    guess: torch.Tensor | None = None
    near: torch.Tensor | None = None
    alone: torch.Tensor | None = None

    def state(self) -> dict[str, torch.Tensor]:
        """Give the state as tensors by name, for a checkpoint; ``PseudoLabels(**state)`` reads it back."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    def guessed(self) -> torch.Tensor:
        """Give the table as it would be if nothing were told: an update goes on from there."""
        return self.table if self.guess is None else self.guess

    def anchor(self) -> None:
        """Keep the table as it is now: updates start from it, whatever comes between."""
        self.first = self.guessed()

    def pin(self, tables: Tables = IN_MEMORY) -> None:
        """Set the known entries of readable images to their truth; what was guessed of them is kept beside."""
        if self.told is None:
            return
        guess, told = self.table, self.told

        def pinned(block: slice) -> torch.Tensor:
            labels = guess[block].to(torch.float32, copy=True)
            for sign, truth in ((1, 1.0), (-1, 0.0)):
                labels[(told[block] == sign) & self.readable[block, None]] = truth
            return labels

        self.guess, self.table = guess, tables.made(shape_of(guess), pinned)


def shape_of(table: torch.Tensor) -> tuple[int, int]:
    """Give N and C of a table."""
    images, classes = table.shape
    return images, classes


def apart(before: torch.Tensor, after: torch.Tensor, rows: torch.Tensor) -> float:
    """Give the mean of |y - y'| over some rows, (N,) bool, of two tables, (N, C); NaN of no row."""
    total = 0.0
    for block in blocks(range(len(rows)), after.shape[1]):
        change = (after[block].float() - before[block].float())[rows[block]].abs()
        total += float(change.mean()) * len(change) if len(change) else 0.0
    return total / count if (count := int(rows.sum())) else math.nan


def of_run(folder: RunFolder) -> PseudoLabels:
    """Read the labels of a run's checkpoint, wherever their tables live.

    Raises:
        UserError: there is none, or a table is gone.
    """
    tables = Mapped(folder)
    return PseudoLabels(**{name: tables.found(kept) for name, kept in folder.load_state()["labels"].items()})


class FirstLabels:
    """Gathers the teacher's scores of the whole images, then gives the first pseudo-labels (section 2)."""

    def __init__(
        self,
        images: int,
        classes: int,
        max_entropy: float,
        anchors: int = 0,
        tables: Tables = IN_MEMORY,
        unit: int = 1,
        left: Mapping[str, Kept] | None = None,
    ) -> None:
        """Start with nothing seen, or with what :meth:`state` gave of a pass that was left.

        Args:
            images: N.
            classes: C.
            max_entropy: an image is confident up to this entropy, in nats.
            anchors: A.
            tables: make those of N rows and C columns.
            unit: of the processes' shares; see :class:`ccd_fast.runs.tables.Tables`.
            left: by name.
        """
        self.max_entropy = max_entropy
        self._tables, self._unit = tables, unit
        self.scores = tables.scratch((images, classes), unit, None if left is None else left["scores"])
        self.confident = torch.zeros(images, dtype=torch.bool)
        self.readable = torch.zeros(images, dtype=torch.bool)
        self.named = torch.zeros(images, dtype=torch.bool)
        self.bias_sums = torch.zeros(classes + anchors, dtype=torch.int64)
        self.bias_counts = torch.zeros(classes + anchors, dtype=torch.int64)
        if left is not None:
            vars(self).update({name: kept for name, kept in left.items() if name != "scores"})

    def add(self, rows: torch.Tensor, similarities: torch.Tensor) -> None:
        """Take in the similarities, (M, C + A) float32, of rows, (M,) int64, each once. All stays on their device."""
        if similarities.device != self.confident.device:
            self._move(similarities.device)
        rows = send(rows, similarities.device)  # else the host would wait for the teacher
        scores, self.confident[rows] = kernels.score(similarities, self.max_entropy, self.bias_sums, self.bias_counts)
        classes, where = self.scores.shape[1], self.scores.device
        self.scores[rows.to(where)] = scores[:, :classes].to(where)
        self.named[rows] = scores.argmax(dim=1) < classes
        self.readable[rows] = True

    def put_together(self, reading: Reading) -> None:
        """Bring everything to the host, and to all processes: rows by their share, sums as integers."""
        self._move(torch.device("cpu"))
        self.scores = self._tables.together(self.scores, self._unit)
        for flags in (self.confident, self.readable, self.named):
            reading.put_together(flags)
        for sums in (self.bias_sums, self.bias_counts):
            reading.ranks.total(sums)

    def _move(self, device: torch.device) -> None:
        self.scores = self._tables.moved(self.scores, device)
        vars(self).update({name: tensor.to(device) for name, tensor in self._beside().items()})

    def _beside(self) -> dict[str, torch.Tensor]:
        """Give what stands beside the scores, by name."""
        every = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return {name: tensor for name, tensor in every.items() if name != "scores"}

    def count_known(self, told: torch.Tensor) -> None:
        """Let known entries, (N, C) int8, count in the bias; see :func:`ccd_fast.labels.bias.with_known_entries`."""
        sure = self.confident & self.named
        classes = told.shape[1]
        self.bias_sums[:classes], self.bias_counts[:classes] = 0, 0
        for block in blocks(range(len(told)), told.shape[1]):
            known = torch.where(self.readable[block, None], told[block], 0)
            sums, counts = with_known_entries(self.scores[block], sure[block], known)
            self.bias_sums[:classes] += sums
            self.bias_counts[:classes] += counts

    def state(self) -> dict[str, Kept]:
        """Give what was gathered, by name, for a pass that is left."""
        beside: dict[str, Kept] = {name: tensor.cpu() for name, tensor in self._beside().items()}
        return {**beside, "scores": self._tables.kept(self.scores)}

    def finish(self, floor: float, min_count: int, debias: bool) -> PseudoLabels:
        """Compute bias and labels from what was gathered.

        Args:
            floor: label smoothing from below (epsilon).
            min_count: see :func:`ccd_fast.labels.bias.class_bias`.
            debias: divide by the bias; otherwise the bias is kept as 1 for every class. Where no class is on top of
                the things beside them in any image, ``bias_counts`` are 0, and the bias is theirs.

        Raises:
            UserError: no image is confident, so that there is no bias.
        """
        classes = self.scores.shape[1]
        bias, counts = torch.ones(classes), self.bias_counts[:classes]
        if debias and counts.any():
            bias = class_bias(self.bias_sums[:classes], counts, min_count)
        elif debias and self.bias_counts.any():
            bias = bias_of_what_is_beside(self.bias_sums, self.bias_counts, classes)
        elif debias:
            self._refuse_doubt_alone()

        def labels(block: slice) -> torch.Tensor:
            found = debiased_labels(self.scores[block], bias, floor)
            found[~self.readable[block]] = 0
            return found

        table = self._tables.made(shape_of(self.scores), labels)
        return PseudoLabels(table, bias, counts.clone(), self.confident, self.readable)

    def _refuse_doubt_alone(self) -> None:
        classes, most = self.scores.shape[1], math.log(len(self.bias_sums))
        every = (self.scores[block][self.readable[block]] for block in blocks(range(len(self.scores)), classes))
        least = [float((-torch.xlogy(seen, seen).sum(dim=1)).min()) for seen in every if len(seen)]
        lowest = f"the lowest entropy of an image's scores is {min(least, default=math.nan):.2f} nats,"
        if len(self.bias_sums) > classes:  # only the classes' part of the scores was kept
            lowest = "the entropy of every image's scores, with those of what stands beside the classes, is"
        raise UserError(
            f"no image is confident: {lowest} above "
            f"labels.max_entropy = {self.max_entropy:.4g} (evenly spread scores have {most:.2f}): "
            "check the class names and the teacher, or begin anew with a higher labels.max_entropy and --overwrite"
        )


def debiased_labels(scores: torch.Tensor, bias: torch.Tensor, floor: float) -> torch.Tensor:
    """Compute y = clip(max(p, epsilon) / b, 0, 1) (section 2).

    Args:
        scores: p, (N, C) float32.
        bias: b, (C,) float32.
        floor: epsilon.
    """
    return (scores.clamp_min(floor) / bias).clamp(0, 1)


@dataclass(frozen=True)
class Update:
    """How a label update weighs what the teacher sees (section 4).

    Attributes:
        floor: epsilon.
        weight: lambda, of the old label.
        bias_again: most entropy, in nats, and smallest count of :func:`ccd_fast.labels.bias.class_bias`, where the bias
            is measured anew over the crops; None where it is that of the labels.
    """

    floor: float
    weight: float
    bias_again: tuple[float, int] | None = None


def update_labels(
    labels: PseudoLabels,
    rows: torch.Tensor,
    crop_scores: torch.Tensor,
    update: Update,
    tables: Tables = IN_MEMORY,
    unit: int = 1,
) -> None:
    """Draw labels towards what the teacher sees in the crops (section 4).

    q_i is the elementwise maximum over the crops of image i, and
    y_i becomes clip(lambda y_i + (1 - lambda) max(q_i, epsilon) / b, 0, 1). An image without a crop keeps its y_i.
    Anchored labels take the first y_i in place of the last one.

    Args:
        labels: get their next table, the same on all processes.
        rows: (M,) int64, the image of each crop, ascending.
        crop_scores: (M, C) float32, the teacher's scores, on the device where the update is to be made.
        update: how.
        tables: make the next table; of their processes each updates the rows of its own.
        unit: of the processes' shares; see :class:`ccd_fast.runs.tables.Tables`.
    """
    device, bias = crop_scores.device, labels.bias
    if update.bias_again is not None:
        bias = bias_of_crops(crop_scores, bias, *update.bias_again, tables.ranks)
    images, crops = torch.unique_consecutive(rows, return_counts=True)
    if (images.diff() <= 0).any():
        raise ValueError("crops stand in the order of their images")
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), crops.cumsum(0)]).to(device)
    before, anchor, bias = labels.guessed(), labels.first, bias.to(device)

    def updated(block: slice) -> torch.Tensor:
        start, stop = torch.searchsorted(images, torch.tensor([block.start, block.stop])).tolist()
        own = images[start:stop] - block.start
        table = before[block].to(torch.float32, copy=True)
        if anchor is not None:
            table[own] = anchor[block][own].float()
        table, own = table.to(device), own.to(device)
        kernels.update(table, own, offsets[start : stop + 1], crop_scores, bias, update.floor, update.weight)
        return table.cpu()

    labels.table, labels.guess = tables.made(shape_of(before), updated, unit), None
    labels.pin(tables)
