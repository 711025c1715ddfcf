"""What a device's arithmetic can do at most, and what a network asks of it: how near a stage is to the hardware.

The ceiling is the rate of a matrix product, measured on the device itself, in the arithmetic that is in use. It bounds
all that is made of products and convolutions; a convolution that takes fewer operations than are counted (Winograd) can
exceed it.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from ccd_fast.engines.precision import DTYPES, Precision
from ccd_fast.engines.tower import EmbedPixels

Arithmetic = Precision | Literal["tf32"]
"""TF32 is what a GPU's convolutions of float32 are done in, unless that is switched off: 10 bits behind the comma."""

REPEATS = 5
MATMUL_SIDE = {"cpu": 2048, "cuda": 8192}
"""Side of the square matrices of :func:`matmul_rate`: large enough to be bound by arithmetic."""
COUNTED = 2
"""Pictures that operations are counted on: batch normalisation in training wants more than one value a channel."""


def time_once(call: Callable[[], object], device: str = "cpu") -> float:
    """Time one call, in seconds; on a GPU between two events of the current stream."""
    if torch.device(device).type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    start_s = time.perf_counter()
    call()
    return time.perf_counter() - start_s


def matmul_rate(device: str = "cpu", dtype: torch.dtype = torch.float32, repeats: int = REPEATS) -> float:
    """Measure what a matrix product reaches, in FLOP/s; the median of some repeats after two that do not count."""
    side = MATMUL_SIDE[torch.device(device).type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds = [time_once(lambda: left @ right, device) for _ in range(2 + repeats)]
    return 2 * side**3 / statistics.median(seconds[2:])


@lru_cache
def ceiling(device: str, arithmetic: Arithmetic) -> float:
    """Give :func:`matmul_rate` of three repeats, measured once in a process."""
    if arithmetic != "tf32":
        return matmul_rate(device, DTYPES[arithmetic], repeats=3)
    flags = torch.backends.cuda.matmul
    before, flags.allow_tf32 = flags.allow_tf32, True
    try:
        return matmul_rate(device, repeats=3)
    finally:
        flags.allow_tf32 = before


def _backward_operations(
    grad_shape: Sequence[int], x_shape: Sequence[int], w_shape: Sequence[int], *rest: Any, **_: Any
) -> int:
    """Count a convolution's gradients: that of its input and that of its weights take as much as its forward pass."""
    transposed, wanted = rest[4], rest[7]
    forward = 2 * math.prod(x_shape if transposed else grad_shape) * math.prod(w_shape[1:])
    return forward * (int(wanted[0]) + int(wanted[1]))


CONVOLUTION_BACKWARD: dict[Any, Any] = {torch.ops.aten.convolution_backward: _backward_operations}
"""For torch's counter, whose own formula leaves the groups of a depthwise convolution out of account."""
CONVOLUTIONS = (torch.ops.aten.convolution, torch.ops.aten.convolution_backward)


def operations(network: nn.Module, image_size: int, training: bool = False) -> int:
    """Count the floating-point operations of one view, by running the network's graph without its numbers.

    A multiplication and an addition are two; only products and convolutions count.

    Args:
        network: maps (B, S, S, 3) uint8 to a tensor, or to several of which the first is learned from.
        image_size: S, in pixels.
        training: count the backward pass too; parameters without gradients get none.
    """
    return sum(_counted(network, image_size, training))


def _counted(network: nn.Module, image_size: int, training: bool) -> tuple[int, int]:
    """Count the operations of convolutions, and those of products; arguments as of :func:`operations`."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    state = {
        name: torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad and training)
        for name, tensor in tensors.items()
    }
    pixels = torch.zeros((COUNTED, image_size, image_size, 3), dtype=torch.uint8, device="meta")
    was_training = network.training
    network.train(training)
    try:
        with FlopCounterMode(display=False, custom_mapping=CONVOLUTION_BACKWARD) as counter:
            with torch.set_grad_enabled(training):
                out = functional_call(network, state, (pixels,))
            if training:
                out[0].sum().backward()
    finally:
        network.train(was_training)
    found = counter.get_flop_counts()["Global"]
    convolutions = sum(int(found.get(operator, 0)) for operator in CONVOLUTIONS)
    return convolutions // COUNTED, (int(counter.get_total_flops()) - convolutions) // COUNTED


def least_seconds(
    network: nn.Module, image_size: int, precision: Precision, device: str, training: bool = False
) -> float:
    """Give the seconds that a view takes at the ceiling of the device; arguments as of :func:`operations`."""
    kind = torch.device(device).type
    convolutions, products = _counted(network, image_size, training)
    each = ((convolutions, _of_convolutions(network, precision, kind)), (products, precision))
    return sum(count / ceiling(kind, arithmetic) for count, arithmetic in each if count)


def _of_convolutions(network: nn.Module, precision: Precision, kind: str) -> Arithmetic:
    """Say what a network's convolutions are done in; of a teacher, whose engines do without it, never TF32."""
    tf32 = kind == "cuda" and torch.backends.cudnn.allow_tf32 and not isinstance(network, EmbedPixels)
    return "tf32" if precision == "fp32" and tf32 else precision
