"""The pseudo-labels: one (N, C) table, how it begins, and how it is updated (sections 2 and 4)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ccd_fast import kernels
from ccd_fast.errors import UserError
from ccd_fast.labels.bias import bias_of_crops, class_bias, with_known_entries
from ccd_fast.machine import ALONE, Ranks
from ccd_fast.machine.copies import send
from ccd_fast.student import Reading


@dataclass
class PseudoLabels:
    """The state of all labels.

    Attributes:
        table: y, (N, C) float32 in [0, 1]; zero in unreadable rows.
        bias: b, (C,) float32, the teacher's mean top-1 score by class.
        bias_counts: (C,) int64, the confident images that each class's bias rests on.
        confident: (N,) bool, images whose scores have an entropy at or below the limit.
        readable: (N,) bool, images that could be decoded so far.
        first: the table before any update, where updates are anchored to it.
        told: (N, C) int8, entries that are known: +1 and -1 stay 1 and 0 through all updates; None where none is.
        guess: the table as it would be if nothing were told; None where nothing is.
    """

    table: torch.Tensor
    bias: torch.Tensor
    bias_counts: torch.Tensor
    confident: torch.Tensor
    readable: torch.Tensor
    first: torch.Tensor | None = None
    told: torch.Tensor | None = None
    guess: torch.Tensor | None = None

    def state(self) -> dict[str, torch.Tensor]:
        """Give the state as tensors by name, for a checkpoint; ``PseudoLabels(**state)`` reads it back."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    def tables(self) -> list[torch.Tensor]:
        """Give what an update changes row by row."""
        return [self.table] if self.guess is None else [self.table, self.guess]

    def anchor(self) -> None:
        """Keep the table as it is now: updates start from it, whatever came between."""
        self.first = (self.table if self.guess is None else self.guess).clone()

    def unpin(self) -> None:
        """Put back what was guessed of the known entries, so that an update goes on from there."""
        if self.told is not None and self.guess is not None:
            self.table = torch.where(self.told != 0, self.guess, self.table)

    def pin(self) -> None:
        """Set the known entries of readable images to their truth; what was guessed of them is kept beside."""
        if self.told is not None:
            self.guess = self.table.clone()
            for sign, truth in ((1, 1.0), (-1, 0.0)):
                self.table[(self.told == sign) & self.readable[:, None]] = truth


class FirstLabels:
    """Gathers the teacher's scores of the whole images, then gives the first pseudo-labels (section 2)."""

    def __init__(self, images: int, classes: int, max_entropy: float, anchors: int = 0) -> None:
        """Start with nothing seen, for N images, C classes and A anchors; ``max_entropy`` in nats."""
        self.max_entropy = max_entropy
        self.scores = torch.zeros((images, classes))
        self.confident = torch.zeros(images, dtype=torch.bool)
        self.readable = torch.zeros(images, dtype=torch.bool)
        self.named = torch.zeros(images, dtype=torch.bool)
        self.bias_sums = torch.zeros(classes + anchors, dtype=torch.int64)
        self.bias_counts = torch.zeros(classes + anchors, dtype=torch.int64)

    def add(self, rows: torch.Tensor, similarities: torch.Tensor) -> None:
        """Take in the similarities, (M, C + A) float32, of rows, (M,) int64, each once. All stays on their device."""
        if similarities.device != self.scores.device:
            self._move(similarities.device)
        rows, classes = send(rows, self.scores.device), self.scores.shape[1]  # else the host would wait for the teacher
        scores, self.confident[rows] = kernels.score(similarities, self.max_entropy, self.bias_sums, self.bias_counts)
        self.scores[rows] = scores[:, :classes]
        self.named[rows] = scores.argmax(dim=1) < classes
        self.readable[rows] = True

    def put_together(self, reading: Reading) -> None:
        """Bring everything to the host, and to all processes: rows by their share, sums as integers."""
        self._move(torch.device("cpu"))
        for table in (self.scores, self.confident, self.readable, self.named):
            reading.put_together(table)
        for sums in (self.bias_sums, self.bias_counts):
            reading.ranks.total(sums)

    def _move(self, device: torch.device) -> None:
        vars(self).update({name: tensor.to(device) for name, tensor in self._tensors().items()})

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}

    def count_known(self, told: torch.Tensor) -> None:
        """Let known entries, (N, C) int8, count in the bias; see :func:`ccd_fast.labels.bias.with_known_entries`."""
        told = torch.where(self.readable[:, None], told, 0)
        self.bias_sums, self.bias_counts = with_known_entries(self.scores, self.confident & self.named, told)

    def state(self) -> dict[str, torch.Tensor]:
        """Give what was gathered, by name; :meth:`go_on` takes it back."""
        return {name: tensor.cpu() for name, tensor in self._tensors().items()}

    def go_on(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take what :meth:`state` gave in place of what was gathered."""
        vars(self).update(state)

    def finish(self, floor: float, min_count: int, debias: bool) -> PseudoLabels:
        """Compute bias and labels from what was gathered.

        Args:
            floor: label smoothing from below (epsilon).
            min_count: see :func:`ccd_fast.labels.bias.class_bias`.
            debias: divide by the bias; otherwise the bias is kept as 1 for every class.

        Raises:
            UserError: no image is confident, so that there is no bias.
        """
        classes = self.scores.shape[1]
        bias, sums, counts = torch.ones(classes), self.bias_sums[:classes], self.bias_counts[:classes]
        if debias:
            self._refuse_doubt_alone(counts)
            bias = class_bias(sums, counts, min_count)
        table = debiased_labels(self.scores, bias, floor)
        table[~self.readable] = 0
        return PseudoLabels(table, bias, counts.clone(), self.confident, self.readable)

    def _refuse_doubt_alone(self, counts: torch.Tensor) -> None:
        if counts.any():
            return
        if self.confident.any():
            raise UserError(
                "no photograph is of any of the classes: in each an everyday thing is likelier (labels.anchors): check "
                "the class names and the teacher, or begin anew with --set labels.anchors=none and --overwrite"
            )
        seen = self.scores[self.readable]
        entropy, most = -torch.xlogy(seen, seen).sum(dim=1), math.log(len(self.bias_sums))
        lowest = (
            f"the lowest entropy of an image's scores is {float(entropy.min()) if len(seen) else math.nan:.2f} nats,"
        )
        if len(self.bias_sums) > seen.shape[1]:  # only the classes' part of the scores was kept
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
    ranks: Ranks = ALONE,
) -> None:
    """Draw labels towards what the teacher sees in the crops, in place (section 4).

    q_i is the elementwise maximum over the crops of image i, and
    y_i becomes clip(lambda y_i + (1 - lambda) max(q_i, epsilon) / b, 0, 1). An image without a crop keeps its y_i.
    Anchored labels take the first y_i in place of the last one.

    Args:
        labels: changed in place.
        rows: (M,) int64, the image of each crop; crops of an image stand side by side.
        crop_scores: (M, C) float32, the teacher's scores, on the device where the update is to be made.
        update: how.
        ranks: the processes that share the crops; each updates the rows of its own.
    """
    device, bias = crop_scores.device, labels.bias
    if update.bias_again is not None:
        bias = bias_of_crops(crop_scores, bias, *update.bias_again, ranks)
    images, crops = torch.unique_consecutive(rows, return_counts=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), crops.cumsum(0)])
    labels.unpin()
    if labels.first is not None:
        labels.table[images] = labels.first[images]
    table = labels.table.to(device)
    kernels.update(
        table, images.to(device), offsets.to(device), crop_scores, bias.to(device), update.floor, update.weight
    )
    if table is not labels.table:
        labels.table.copy_(table)
    labels.pin()
