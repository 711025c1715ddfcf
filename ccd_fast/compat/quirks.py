"""Each way in which the published code differs from the method as described, as one small function."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch.nn.functional import interpolate

from ccd_fast.errors import RunError, UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""CLIP gets pixels normalised for the student."""

ENTROPY_GUARD = 1e-10
"""Added to a score before its logarithm."""

TAU_STEP, TAU_WINDOW = 0.001, 100
"""The search of the activity threshold: its step, and the views that a step looks at."""

FLAT = 1e-5
"""Added to max - min when a map is normalised."""

ABSENT_CLASS_AP = 0.0
"""Average precision of a class without positives; it counts in the mean."""

VOC_PROMPT_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table", "dog"),
    *("horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor"),
)
"""The names in the prompts, whatever the data set."""


def prompt_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Give the names for the prompts: the 20 of PASCAL VOC.

    Raises:
        UserError: the classes are others, so that the published code cannot run on them.
    """
    if [name.replace(" ", "") for name in class_names] != [name.replace(" ", "") for name in VOC_PROMPT_NAMES]:
        raise UserError(
            "compat = 'official': the published code knows the 20 classes of PASCAL VOC only, in alphabetical order "
            f"({', '.join(VOC_PROMPT_NAMES[:3])}, …); use compat = 'none' for other classes"
        )
    return VOC_PROMPT_NAMES


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Normalise views, (B, S, S, 3) uint8, by ImageNet's mean and std: (B, 3, S, S) float32."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def cut(view: torch.Tensor, box: Sequence[int], side: int) -> torch.Tensor:
    """Cut a box out of a normalised view, and resize it so that its long side is ``side``.

    The aspect is kept, the filter is bilinear without antialiasing, and the new sides are the integer part of a
    float product, which can fall one short.

    Args:
        view: (1, 3, S, S) float32.
        box: x0, y0, x1, y1 in pixels, half-open.
        side: the long side, in pixels.

    Returns:
        (1, 3, h, w) float32.
    """
    x0, y0, x1, y1 = box
    height, width = resized_sides(y1 - y0, x1 - x0, side)
    return interpolate(view[:, :, y0:y1, x0:x1], size=(height, width), mode="bilinear", align_corners=False)


def resized_sides(height: int, width: int, side: int) -> tuple[int, int]:
    """Scale two sides so that the longer is ``side``, or one less where the float product falls short of it."""
    ratio = side / max(height, width)
    return int(height * ratio), int(width * ratio)


def grid_side(pixels: int) -> int:
    """Give the side of the attention pool's grid for a side of the input: H // 32, one more where H % 32 is 31."""
    return pixels // 32 + (pixels % 32 == 31)


def positions(embedding: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resample the attention pool's positional embeddings for an input, and round them to half precision.

    Args:
        embedding: (1 + g * g, E) float32.
        height: of the input, in pixels.
        width: of the input, in pixels.

    Returns:
        (1 + h * w, E) float32, h and w being the grid's; the embedding itself where the grid is its own.
    """
    rows, columns = grid_side(height), grid_side(width)
    if rows == columns and rows * columns + 1 == len(embedding):
        return embedding
    return bilinear_positions(embedding, rows, columns).half().float()


def bilinear_positions(positions: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resample the positional embeddings of an attention pool bilinearly (align_corners = False).

    Args:
        positions: (1 + g * g, E), that of the mean token first, then a square grid, row by row.
        height: of the new grid.
        width: of the new grid.

    Returns:
        (1 + height * width, E).
    """
    side = math.isqrt(len(positions) - 1)
    grid = positions[1:].T.reshape(1, -1, side, side)
    resized = interpolate(grid, size=(height, width), mode="bilinear", align_corners=False)
    return torch.cat([positions[:1], resized.flatten(2)[0].T])


def softmax(similarities: torch.Tensor, half: bool) -> torch.Tensor:
    """Compute CLIP's scores from (B, C) similarities; in half precision where CLIP runs on a GPU."""
    return torch.softmax(similarities.half() if half else similarities, dim=1).float()


def entropy(scores: torch.Tensor) -> torch.Tensor:
    """Compute -sum p ln(p + 1e-10) of each row of (N, C) scores, in nats."""
    return -(scores * torch.log(scores + ENTROPY_GUARD)).sum(dim=1)


def plain_bias(scores: torch.Tensor, confident: torch.Tensor) -> torch.Tensor:
    """Compute the mean top-1 score of each class over the confident images; NaN for a class that is never on top.

    Args:
        scores: (N, C) float32.
        confident: (N,) bool.
    """
    top_scores, top = scores[confident].max(dim=1)
    sums, counts = torch.zeros(scores.shape[1]), torch.zeros(scores.shape[1])
    return sums.index_add(0, top, top_scores) / counts.index_add(0, top, torch.ones_like(top_scores))


def refuse_nan(bias: torch.Tensor, class_names: Sequence[str]) -> None:
    """Stop a run whose bias, (C,), is NaN somewhere.

    Raises:
        RunError: it names the classes.
    """
    nan = [name for name, value in zip(class_names, bias.tolist(), strict=True) if value != value]
    if nan:
        raise RunError(
            f"compat = 'official': the bias of {', '.join(nan)} is NaN, as no confident image has it on top; "
            "the published code divides by it all the same"
        )


def searched_threshold(rows: Iterable[torch.Tensor], start: float, k: int) -> float:
    """Search the activity threshold over training views, upward only.

    The counts of active classes are added up, divided by the window. At each index that is a multiple of the window,
    0 excepted, the search stops if the sum lies strictly between k and k + 2; otherwise it takes a step and begins
    the sum anew. So the first window has one view more than the others, and the last step may never be looked at.

    Args:
        rows: (C,) float32 each, the student's probabilities, in the order in which the views are visited; the
            search asks for no more than it needs.
        start: where it begins.
        k: the paper's k.
    """
    tau, active = start, 0.0
    for index, probabilities in enumerate(rows):
        active += int((probabilities >= tau).sum()) / TAU_WINDOW
        if index % TAU_WINDOW == 0 and index != 0:
            if k < active < k + 2:
                break
            tau += TAU_STEP
            active = 0.0
    return tau


def first_and_last_box(
    cam: torch.Tensor, view_size: int, threshold: float, margin: int, what: str
) -> tuple[int, int, int, int]:
    """Box a class activation map by the first and the last pixel above the threshold, in row-major order.

    The x-range is only that of those two pixels. Both sides of the slice are moved by the margin, without the one that
    would take the last pixel in.

    Args:
        cam: (h, w) float32.
        view_size: side of the view, in pixels.
        threshold: on the min-max normalised map.
        margin: growth on every side, in pixels.
        what: the map, for the error.

    Returns:
        x0, y0, x1, y1 in the view's pixels, half-open, clipped to the view.

    Raises:
        RunError: the map is flat.
    """
    size = (view_size, view_size)
    upsampled = interpolate(cam[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    low, high = upsampled.min(), upsampled.max()
    hot = torch.nonzero((upsampled - low) / (high - low + FLAT) > threshold)
    if not len(hot):
        raise RunError(
            f"compat = 'official': the class activation map of {what} is flat, where the published code fails"
        )
    (first_y, first_x), (last_y, last_x) = hot[0].tolist(), hot[-1].tolist()
    left, right = min(first_x, last_x), max(first_x, last_x)
    return (
        max(left - margin, 0),
        max(first_y - margin, 0),
        min(right + margin, view_size),
        min(last_y + margin, view_size),
    )


def with_nothing_seen(
    rows: torch.Tensor, crop_scores: torch.Tensor, readable: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give every readable image without a crop one whose scores are all 0, so that its labels decay.

    Args:
        rows: (M,) int64, the image of each crop, ascending.
        crop_scores: (M, C) float32.
        readable: (N,) bool.

    Returns:
        Both with the empty crops in their places.
    """
    has_crop = torch.zeros_like(readable)
    has_crop[rows] = True
    lacking = torch.nonzero(readable & ~has_crop)[:, 0]
    zeros = crop_scores.new_zeros((len(lacking), crop_scores.shape[1]))
    all_rows, order = torch.cat([rows, lacking]).sort(stable=True)
    return all_rows, torch.cat([crop_scores, zeros])[order]
