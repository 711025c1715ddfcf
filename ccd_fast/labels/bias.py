"""The teacher's class bias: how sure it is of each class where that class is on top (section 2)."""

from collections.abc import Sequence

import numpy as np
import torch

from ccd_fast import kernels
from ccd_fast.machine import Ranks
from ccd_fast.machine.blocks import blocks


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


UNNAMED = (
    "warning: in every photograph an everyday thing is likelier than any of the classes (labels.anchors): how sure the "
    "teacher is of a class is guessed from those; check the class names and the teacher"
)
"""Where :func:`bias_of_what_is_beside` is all there is."""


def bias_of_what_is_beside(sums: torch.Tensor, counts: torch.Tensor, classes: int) -> torch.Tensor:
    """Give all classes the mean top-1 score of what stands beside them (``labels.anchors``; not in the paper).

    So few photographs that no class is on top in any may show some all the same.

    Args:
        sums: (C + A,) int64, sums of top-1 scores in units of 2**-32.
        counts: (C + A,) int64, with one above 0 among the A last.
        classes: C.

    Returns:
        b, (C,) float32, above 0.
    """
    mean = float(sums[classes:].double().sum()) / kernels.FIXED_POINT / int(counts[classes:].sum())
    return torch.full((classes,), mean)


def with_known_entries(
    scores: torch.Tensor, confident: torch.Tensor, told: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Count what the bias rests on, where some labels are known.

    A known positive counts with its score, on top or not; a confident image whose top class is known to be absent does
    not count. Without a known entry it is what :func:`ccd_fast.kernels.score` counts.

    Args:
        scores: p, (N, C) float32.
        confident: (N,) bool.
        told: (N, C) int8: +1, -1, or 0 where nothing is known.

    Returns:
        Sums of scores in units of 2**-32, and counts, (C,) int64 each.
    """
    counted = torch.zeros(scores.shape, dtype=torch.bool)
    counted[torch.arange(len(scores)), torch.from_numpy(scores.numpy().argmax(axis=1))] = confident
    counted = (counted & (told != -1)) | (told == 1)
    units = (scores.double() * kernels.FIXED_POINT).round().long()
    return (units * counted).sum(dim=0), counted.sum(dim=0)


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
    for block in blocks(range(len(scores)), scores.shape[1]):
        kernels.score(scores[block].log(), max_entropy, sums, counts)  # their softmax are the scores
    sums, counts = (ranks.total(values.cpu()) for values in (sums, counts))
    return class_bias(sums, counts, min_count) if counts.any() else before


def bias_by_class(
    scores: torch.Tensor, table: torch.Tensor, confident: torch.Tensor, class_names: Sequence[str]
) -> dict[str, dict[str, float | int | None]]:
    """Tell of each class how sure the teacher is where it is on top, and what the labels make of that.

    Args:
        scores: p, (N, C) float32, of the whole images.
        table: y, (N, C) float32 or float16, the first labels.
        confident: (N,) bool, images that were read and are confident.
        class_names: C names.

    Returns:
        By class: ``images``, the confident images with the class on top; ``mean_top_score`` and ``mean_top_label``,
        means over them, None where there are none.
    """
    counts = torch.zeros(len(class_names), dtype=torch.int64)
    sums = [torch.zeros(len(class_names), dtype=torch.float64) for _ in range(2)]
    for block in blocks(range(len(scores)), len(class_names)):
        rows = confident[block]
        top = scores[block][rows].argmax(dim=1)
        counts += torch.bincount(top, minlength=len(class_names))
        for total, values in zip(sums, (scores, table), strict=True):
            total.index_add_(0, top, values[block][rows].gather(1, top[:, None])[:, 0].double())
    means = ((values / counts).float().tolist() for values in sums)
    return {
        name: {"images": images, "mean_top_score": score, "mean_top_label": label}
        if images
        else {"images": 0, "mean_top_score": None, "mean_top_label": None}
        for name, images, score, label in zip(class_names, counts.tolist(), *means, strict=True)
    }
