"""What a device's arithmetic can do at most, and what a network asks of it: how near a stage is to the hardware.

The ceiling is the rate of a matrix product, measured on the device itself. It bounds all that is made of products and
convolutions; a convolution that takes fewer operations than are counted (Winograd) can exceed it.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from ccd_fast.engines.precision import DTYPES, Precision

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
def ceiling(device: str, precision: Precision) -> float:
    """Give :func:`matmul_rate` of three repeats, measured once in a process."""
    return matmul_rate(device, DTYPES[precision], repeats=3)


def _backward_operations(
    grad_shape: Sequence[int], x_shape: Sequence[int], w_shape: Sequence[int], *rest: Any, **_: Any
) -> int:
    """Count a convolution's gradients: that of its input and that of its weights take as much as its forward pass."""
    transposed, wanted = rest[4], rest[7]
    forward = 2 * math.prod(x_shape if transposed else grad_shape) * math.prod(w_shape[1:])
    return forward * (int(wanted[0]) + int(wanted[1]))


CONVOLUTION_BACKWARD: dict[Any, Any] = {torch.ops.aten.convolution_backward: _backward_operations}
"""For torch's counter, whose own formula leaves the groups of a depthwise convolution out of account."""


def operations(network: nn.Module, image_size: int, training: bool = False) -> int:
    """Count the floating-point operations of one view, by running the network's graph without its numbers.

    A multiplication and an addition are two; only products and convolutions count.

    Args:
        network: maps (B, S, S, 3) uint8 to a tensor, or to several of which the first is learned from.
        image_size: S, in pixels.
        training: count the backward pass too; parameters without gradients get none.
    """
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
    return int(counter.get_total_flops()) // COUNTED


def least_seconds(
    network: nn.Module, image_size: int, precision: Precision, device: str, training: bool = False
) -> float:
    """Give the seconds that a view takes at the ceiling of the device; arguments as of :func:`operations`."""
    return operations(network, image_size, training) / ceiling(torch.device(device).type, precision)
