"""The three fused operations of the method: score views, update labels, find CAM boxes.

Each takes and gives torch tensors and runs on the device that they are on. On the CPU that is its NumPy twin,
on a zero-copy view of the same memory.
"""

import torch

from ccd_fast.kernels import numpy_twins

__all__ = ["FIXED_POINT", "cam_boxes", "score", "update"]

FIXED_POINT = numpy_twins.FIXED_POINT


def score(
    similarities: torch.Tensor, max_entropy: float, bias_sums: torch.Tensor, bias_counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn similarities into scores, and add the confident ones to the bias sums (sections 1 and 2).

    Args:
        similarities: (M, C) float32, scale times cosine.
        max_entropy: a row is confident up to this entropy, in nats.
        bias_sums: (C,) int64, changed in place: sums of top-1 scores in units of 2**-32.
        bias_counts: (C,) int64, changed in place: confident rows with this class on top.

    Returns:
        Scores, (M, C) float32, the softmax of each row; and the confident flags, (M,) bool.
    """
    _on_the_cpu(similarities, bias_sums, bias_counts)
    scores, confident = numpy_twins.score(
        similarities.numpy(), max_entropy, bias_sums.numpy(), bias_counts.numpy()
    )
    return torch.from_numpy(scores), torch.from_numpy(confident)


def update(
    table: torch.Tensor,
    rows: torch.Tensor,
    offsets: torch.Tensor,
    crop_scores: torch.Tensor,
    bias: torch.Tensor,
    floor: float,
    ema: float,
) -> None:
    """Update pseudo-labels in place from the scores of crops (section 4).

    Args:
        table: (N, C) float32, changed in place in ``rows``.
        rows: (R,) int64, the images that have crops, each once.
        offsets: (R + 1,) int64; image r owns crops offsets[r] … offsets[r + 1] - 1, at least one.
        crop_scores: (M, C) float32.
        bias: (C,) float32.
        floor: label smoothing from below (epsilon).
        ema: weight of the old label (lambda).
    """
    _on_the_cpu(table, rows, offsets, crop_scores, bias)
    numpy_twins.update(
        table.numpy(), rows.numpy(), offsets.numpy(), crop_scores.numpy(), bias.numpy(), floor, ema
    )


def cam_boxes(maps: torch.Tensor, view_size: int, threshold: float, margin: float) -> torch.Tensor:
    """Box the hot region of each class activation map (section 4).

    Args:
        maps: (M, h, w) float32.
        view_size: side of the view in pixels.
        threshold: the box encloses the min-max normalised map above this.
        margin: growth of the box on every side, as a share of the view.

    Returns:
        (M, 4) int64: x0, y0, x1, y1 in the view's pixels, half-open; the whole view for a flat map.
    """
    _on_the_cpu(maps)
    return torch.from_numpy(numpy_twins.cam_boxes(maps.numpy(), view_size, threshold, margin))


def _on_the_cpu(*tensors: torch.Tensor) -> None:
    for tensor in tensors:
        if tensor.device.type != "cpu":
            raise RuntimeError(f"kernels: no implementation for device {tensor.device}")
