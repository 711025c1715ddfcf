"""The pseudo-labels: one (N, C) table, the teacher's class bias, and which images are confident (sections 2 and 4)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ccd_fast import kernels
from ccd_fast.errors import UserError
from ccd_fast.ranks import Ranks


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
    """

    table: torch.Tensor
    bias: torch.Tensor
    bias_counts: torch.Tensor
    confident: torch.Tensor
    readable: torch.Tensor
    first: torch.Tensor | None = None

    def state(self) -> dict[str, torch.Tensor]:
        """Give the state as tensors by name, for a checkpoint; ``PseudoLabels(**state)`` reads it back."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    def anchor(self) -> None:
        """Keep the table as it is now: updates start from it, whatever came between."""
        self.first = self.table.clone()


class FirstLabels:
    """Gathers the teacher's scores of the whole images, then gives the first pseudo-labels (section 2)."""

    def __init__(self, images: int, classes: int, max_entropy: float) -> None:
        """Start with nothing seen, for N images and C classes; ``max_entropy`` in nats."""
        self.max_entropy = max_entropy
        self.scores = torch.zeros((images, classes))
        self.confident = torch.zeros(images, dtype=torch.bool)
        self.readable = torch.zeros(images, dtype=torch.bool)
        self.bias_sums = torch.zeros(classes, dtype=torch.int64)
        self.bias_counts = torch.zeros(classes, dtype=torch.int64)

    def add(self, rows: torch.Tensor, similarities: torch.Tensor) -> None:
        """Take in the similarities, (M, C) float32, of some rows, (M,) int64, each once. All stays on their device."""
        if similarities.device != self.scores.device:
            self._move(similarities.device)
        rows = rows.to(self.scores.device, non_blocking=True)  # else the host would wait for the teacher
        self.scores[rows], self.confident[rows] = kernels.score(
            similarities, self.max_entropy, self.bias_sums, self.bias_counts
        )
        self.readable[rows] = True

    def put_together(self, ranks: Ranks, block: int) -> None:
        """Bring everything to the host, and to all processes: rows by :meth:`Ranks.share`, sums as integers."""
        self._move(torch.device("cpu"))
        for table in (self.scores, self.confident, self.readable):
            ranks.put_together(table, block)
        for sums in (self.bias_sums, self.bias_counts):
            ranks.total(sums)

    def _move(self, device: torch.device) -> None:
        vars(self).update({name: tensor.to(device) for name, tensor in self._tensors().items()})

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}

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
            min_count: see :func:`class_bias`.
            debias: divide by the bias; otherwise the bias is kept as 1 for every class.

        Raises:
            UserError: no image is confident, so that there is no bias.
        """
        bias = torch.ones(self.scores.shape[1])
        if debias:
            self._refuse_doubt_alone()
            bias = class_bias(self.bias_sums, self.bias_counts, min_count)
        table = debiased_labels(self.scores, bias, floor)
        table[~self.readable] = 0
        return PseudoLabels(table, bias, self.bias_counts, self.confident, self.readable)

    def _refuse_doubt_alone(self) -> None:
        if self.bias_counts.any():
            return
        entropy = -torch.xlogy(self.scores[self.readable], self.scores[self.readable]).sum(dim=1)
        lowest = float(entropy.min()) if len(entropy) else math.nan
        most = math.log(self.scores.shape[1])
        raise UserError(
            f"no image is confident: the lowest entropy of an image's scores is {lowest:.2f} nats, above "
            f"labels.max_entropy = {self.max_entropy:g} (evenly spread scores have {most:.2f}): "
            "check the class names and the teacher, or begin anew with a higher labels.max_entropy and --overwrite"
        )


def class_bias(sums: torch.Tensor, counts: torch.Tensor, min_count: int) -> torch.Tensor:
    """Compute b_c, the mean top-1 score of class c over the confident images (section 2).

    A class that rests on fewer than ``min_count`` images is drawn towards the mean of the other classes'
    biases: as if the images it lacks had scored that mean. A class that is never on top gets that mean. It is the
    mean of those that rest on ``min_count`` images or more, or, where there are none, of all that are ever on top.

    Args:
        sums: (C,) int64, sums of top-1 scores in units of 2**-32.
        counts: (C,) int64.
        min_count: images from which on a class's own mean stands alone.

    Returns:
        b, (C,) float32, above 0.

    Raises:
        ValueError: no class has a confident image.
    """
    total = (sums.double() / kernels.FIXED_POINT).numpy()
    seen = counts.numpy()
    if not seen.any():
        raise ValueError("no class has a confident image, so that there is no bias")
    wanted = max(min_count, 1)
    trusted = seen >= wanted if (seen >= wanted).any() else seen > 0
    own = np.where(seen > 0, total / np.maximum(seen, 1), 0)
    others = trusted.sum() - trusted
    prior = np.where(others > 0, ((own * trusted).sum() - own * trusted) / np.maximum(others, 1), own)
    lacking = np.maximum(wanted - seen, 0)
    bias = (total + lacking * prior) / (seen + lacking)
    return torch.from_numpy(bias.astype(np.float32))


def bias_by_class(
    scores: torch.Tensor, labels: PseudoLabels, class_names: Sequence[str]
) -> dict[str, dict[str, float | int | None]]:
    """Tell of each class how sure the teacher is where it is on top, and what the labels make of that.

    Args:
        scores: p, (N, C) float32, of the whole images.
        labels: the first ones.
        class_names: C names.

    Returns:
        By class: ``images``, the confident images with the class on top; ``mean_top_score`` and ``mean_top_label``,
        means over them, None where there are none.
    """
    sure = labels.confident & labels.readable
    top = scores[sure].argmax(dim=1, keepdim=True)
    found: dict[str, dict[str, float | int | None]] = {}
    for c, name in enumerate(class_names):
        own = top[:, 0] == c
        means = (float(values[sure][own, c].mean()) if own.any() else None for values in (scores, labels.table))
        found[name] = {"images": int(own.sum()), **dict(zip(("mean_top_score", "mean_top_label"), means, strict=True))}
    return found


def debiased_labels(scores: torch.Tensor, bias: torch.Tensor, floor: float) -> torch.Tensor:
    """Compute y = clip(max(p, epsilon) / b, 0, 1) (section 2).

    Args:
        scores: p, (N, C) float32.
        bias: b, (C,) float32.
        floor: epsilon.
    """
    return (scores.clamp_min(floor) / bias).clamp(0, 1)


def bias_of_crops(
    scores: torch.Tensor, before: torch.Tensor, max_entropy: float, min_count: int, ranks: Ranks
) -> torch.Tensor:
    """Compute the bias of section 2 over the crops of an update in place of the whole images.

    Args:
        scores: p, (M, C) float32, of this process's crops.
        before: b, (C,) float32, which stays where no crop is confident.
        max_entropy: a crop is confident up to this entropy, in nats.
        min_count: see :func:`class_bias`.
        ranks: the processes that share the crops.

    Returns:
        b, (C,) float32, on the host.
    """
    sums, counts = (torch.zeros(scores.shape[1], dtype=torch.int64, device=scores.device) for _ in range(2))
    if len(scores):
        kernels.score(scores.log(), max_entropy, sums, counts)  # their softmax are the scores
    sums, counts = (ranks.total(values.cpu()) for values in (sums, counts))
    return class_bias(sums, counts, min_count) if counts.any() else before


def update_labels(
    labels: PseudoLabels,
    rows: torch.Tensor,
    crop_scores: torch.Tensor,
    floor: float,
    ema: float,
    bias: torch.Tensor | None = None,
) -> None:
    """Draw labels towards what the teacher sees in the crops, in place (section 4).

    q_i is the elementwise maximum over the crops of image i, and
    y_i becomes clip(lambda y_i + (1 - lambda) max(q_i, epsilon) / b, 0, 1). An image without a crop keeps its y_i.
    Anchored labels take the first y_i in place of the last one.

    Args:
        labels: changed in place.
        rows: (M,) int64, the image of each crop; crops of an image stand side by side.
        crop_scores: (M, C) float32, the teacher's scores, on the device where the update is to be made.
        floor: epsilon.
        ema: lambda.
        bias: b, (C,) float32; by default that of the labels.
    """
    device = crop_scores.device
    bias = labels.bias if bias is None else bias
    images, crops = torch.unique_consecutive(rows, return_counts=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), crops.cumsum(0)])
    if labels.first is not None:
        labels.table[images] = labels.first[images]
    table = labels.table.to(device)
    kernels.update(table, images.to(device), offsets.to(device), crop_scores, bias.to(device), floor, ema)
    if table is not labels.table:
        labels.table.copy_(table)
