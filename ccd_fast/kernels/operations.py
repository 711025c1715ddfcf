"""The fused operations of the method: score views, update labels, find CAM boxes, cut and resize crops.

Each takes and gives torch tensors and runs on the device that they are on: on the CPU its NumPy twin, on a zero-copy
view of the same memory; on a GPU its CUDA kernel, in one launch on torch's current stream, without waiting for it.
Nothing is converted or moved behind the caller's back: tensors are contiguous, on one device, and of the types that
are named below. Another one is a ``ValueError``; a GPU without CuPy is a ``UserError``.
"""

from types import ModuleType

import torch

from ccd_fast.errors import UserError
from ccd_fast.kernels import cupy_kernels, launches, numpy_twins

FIXED_POINT = numpy_twins.FIXED_POINT
MAX_VIEW_SIZE = 4096
"""Pixels. Far beyond it, positions on the view would no longer be exact in 32-bit integers."""

FLOAT = (torch.float32,)
FLOAT_OR_HALF = (torch.float32, torch.float16)
INTEGER = (torch.int64,)


def score(
    similarities: torch.Tensor, max_entropy: float, bias_sums: torch.Tensor, bias_counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn similarities into scores, and add the confident ones to the bias sums (sections 1 and 2).

    Of equal similarities the lowest class is on top. A row with a NaN or +inf becomes NaN and is not confident; a
    similarity of -inf is a score of 0. The bias sums are the same bits in any order of rows and calls.

    Args:
        similarities: (M, C) float32 or float16, scale times cosine.
        max_entropy: a row is confident up to this entropy, in nats.
        bias_sums: (C,) int64, changed in place: sums of top-1 scores in units of 2**-32.
        bias_counts: (C,) int64, changed in place: confident rows with this class on top.

    Returns:
        Scores, (M, C) float32, the softmax of each row; and the confident flags, (M,) bool.

    Raises:
        ValueError: a tensor of another shape, type, layout or device.
    """
    _check("similarities", similarities, FLOAT_OR_HALF, (None, None), similarities)
    classes = similarities.shape[1]
    if not classes:
        raise ValueError("kernels: similarities has no classes")
    _check("bias_sums", bias_sums, INTEGER, (classes,), similarities)
    _check("bias_counts", bias_counts, INTEGER, (classes,), similarities)
    return _implementation(similarities).score(similarities, max_entropy, bias_sums, bias_counts)  # type: ignore[no-any-return]


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

    An image without crops keeps its labels, bit by bit. A NaN score gives a NaN label. What ``rows`` and ``offsets``
    hold is not checked: on a GPU that would mean to wait for it.

    Args:
        table: (N, C) float32, changed in place in ``rows``.
        rows: (R,) int64, images, each once.
        offsets: (R + 1,) int64, ascending; image r owns crops offsets[r] … offsets[r + 1] - 1, or none.
        crop_scores: (M, C) float32 or float16.
        bias: (C,) float32.
        floor: label smoothing from below (epsilon).
        ema: weight of the old label (lambda).

    Raises:
        ValueError: a tensor of another shape, type, layout or device.
    """
    _check("table", table, FLOAT, (None, None), table)
    classes = table.shape[1]
    _check("rows", rows, INTEGER, (None,), table)
    _check("offsets", offsets, INTEGER, (len(rows) + 1,), table)
    _check("crop_scores", crop_scores, FLOAT_OR_HALF, (None, classes), table)
    _check("bias", bias, FLOAT, (classes,), table)
    _implementation(table).update(table, rows, offsets, crop_scores, bias, floor, ema)


def cam_boxes(maps: torch.Tensor, view_size: int, threshold: float, margin: float) -> torch.Tensor:
    """Box the hot region of each class activation map (section 4).

    Args:
        maps: (M, h, w) float32 or float16.
        view_size: side of the view in pixels, at most 4,096.
        threshold: the box encloses the min-max normalised map above this.
        margin: growth of the box on every side, as a share of the view.

    Returns:
        (M, 4) int64: x0, y0, x1, y1 in the view's pixels, half-open; the whole view for a map that is flat or has a
        NaN.

    Raises:
        ValueError: maps of another shape, type or layout, or a view that is too large.
    """
    _check("maps", maps, FLOAT_OR_HALF, (None, None, None), maps)
    if 0 in maps.shape[1:]:
        raise ValueError(f"kernels: maps has shape {tuple(maps.shape)}: no samples")
    if not 0 < view_size <= MAX_VIEW_SIZE:
        raise ValueError(f"kernels: a view of {view_size} pixels; it must be 1 to {MAX_VIEW_SIZE}")
    return _implementation(maps).cam_boxes(maps, view_size, threshold, margin)  # type: ignore[no-any-return]


def crop_resize(
    pictures: torch.Tensor, owner: torch.Tensor, boxes: torch.Tensor, size: int, interpolation: str, longest: int
) -> torch.Tensor:
    """Cut boxes out of decoded photographs and resize them to squares, antialiased: the bits that Pillow gives.

    The photographs lie anywhere in the memory of the device that the tensors are on; whoever calls holds them until
    the work is done. What the tensors hold is not checked: on a GPU that would mean to wait for it.

    Args:
        pictures: (B, 3) int64: address of the first of a photograph's (height, width, 3) uint8 pixels; height; width.
        owner: (M,) int64, the photograph of each box.
        boxes: (M, 4) int64: x0, y0, x1, y1 in the photograph's pixels, half-open, inside it, not empty.
        size: side of the squares in pixels, at most 4,096.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
        longest: no side of a box is longer, in pixels.

    Returns:
        (M, size, size, 3) uint8.

    Raises:
        ValueError: a tensor of another shape, type, layout or device, another filter, or a square that is too large.
    """
    _check("pictures", pictures, INTEGER, (None, 3), pictures)
    _check("owner", owner, INTEGER, (None,), pictures)
    _check("boxes", boxes, INTEGER, (len(owner), 4), pictures)
    if not 0 < size <= MAX_VIEW_SIZE:
        raise ValueError(f"kernels: a square of {size} pixels; it must be 1 to {MAX_VIEW_SIZE}")
    if interpolation not in launches.REACH:
        raise ValueError(f"kernels: no filter {interpolation!r}; there are {', '.join(launches.REACH)}")
    return _implementation(pictures).crop_resize(pictures, owner, boxes, size, interpolation, longest)  # type: ignore[no-any-return]


def available(device: torch.device) -> bool:
    """Tell whether the operations run on a device: on a CPU always, on a GPU where CuPy is installed."""
    return device.type == "cpu" or (device.type == "cuda" and cupy_kernels.available())


def _implementation(tensor: torch.Tensor) -> ModuleType:
    kind = tensor.device.type
    if kind == "cpu":
        return numpy_twins
    if kind != "cuda":
        raise ValueError(f"kernels: no implementation for device {tensor.device}")
    if not cupy_kernels.available():
        raise UserError("kernels on a GPU need CuPy, which is not installed: pip install 'ccd_fast[cuda]'")
    return cupy_kernels


def _check(
    name: str,
    tensor: torch.Tensor,
    dtypes: tuple[torch.dtype, ...],
    shape: tuple[int | None, ...],
    beside: torch.Tensor,
) -> None:
    """Raise a ValueError unless a tensor has the type, shape (None: any) and layout wanted, beside another one."""
    if tensor.dtype not in dtypes:
        wanted = " or ".join(str(dtype) for dtype in dtypes)
        raise ValueError(f"kernels: {name} is {tensor.dtype}; it must be {wanted}")
    if tensor.ndim != len(shape) or any(
        want not in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    ):
        wanted = ", ".join("any" if extent is None else str(extent) for extent in shape)
        raise ValueError(f"kernels: {name} has shape {tuple(tensor.shape)}; it must be ({wanted})")
    if tensor.device != beside.device:
        raise ValueError(f"kernels: {name} is on {tensor.device}, the others on {beside.device}; move it there")
    if not tensor.is_contiguous():
        raise ValueError(f"kernels: {name} is not contiguous; call .contiguous()")
