"""Steady rates: at least so much work, at least twice, so that clocks have settled and noise shows."""

import math
import time
from collections.abc import Callable

import torch

REPEATS = 2


def seconds(call: Callable[[], object], device: str) -> float:
    """Time one call by the host's clock, from an idle device to an idle device."""
    wait(device)
    start = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - start


def wait(device: str) -> None:
    """Wait until a device is idle."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def steady(call: Callable[[], object], device: str, least: float, repeats: int = REPEATS) -> list[float]:
    """Time a call again and again.

    Args:
        call: queues some work, and need not wait for it.
        device: that does it.
        least: seconds of work of all repeats together, at least.
        repeats: that are told apart.

    Returns:
        Seconds a call, one figure a repeat; what came before (two calls) does not count.
    """
    seconds(call, device)
    once = seconds(call, device)
    runs = max(1, math.ceil(least / repeats / max(once, 1e-6)))

    def several() -> None:
        for _ in range(runs):
            call()

    return [seconds(several, device) / runs for _ in range(repeats)]


def product(device: str, dtype: torch.dtype, side: int, least: float) -> list[float]:
    """Measure what a product of square matrices of random numbers reaches, FLOP/s, one figure a repeat.

    Random ones, as zeros draw less power, and a card runs faster on them than on anything else.
    """
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return [2 * side**3 / each for each in steady(lambda: left @ right, device, least)]
