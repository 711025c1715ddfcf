"""What a card reaches at most: matrix products by number format, copies within its memory and to and from the host."""

from collections.abc import Callable

import torch

from card import timing
from card.setting import Setting

ACROSS = 4
"""A copy to or from the host is this many times smaller than one within the card."""


def measure(setting: Setting) -> None:
    """Measure the ceilings of everything after them."""
    device, sizes, ledger = setting.device, setting.sizes, setting.ledger
    formats = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32} if setting.on_card else {}
    for name, dtype in (formats or {"fp32": torch.float32}).items():
        found = timing.product(device, dtype, sizes.matrix, sizes.work)
        ledger.figure(f"matrix product, {name}", min(found) / 1e12, "TFLOP/s", "the slower repeat", repeats=found)
    for name, (call, size) in copies(setting).items():
        found = [size / each for each in timing.steady(call, device, sizes.work)]
        ledger.figure(f"copy, {name}", min(found) / 1e9, "GB/s", "the slower repeat", repeats=found)


def copies(setting: Setting) -> dict[str, tuple[Callable[[], object], int]]:
    """Give copies by name, with the bytes that they read and write on the card."""
    size, device = setting.sizes.copied, setting.device
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found: dict[str, tuple[Callable[[], object], int]] = {
        "within the memory": (lambda: target.copy_(source), 2 * size),
    }
    if setting.on_card:
        host, there = torch.empty(size // ACROSS, dtype=torch.uint8, pin_memory=True), target[: size // ACROSS]
        found["host to card, pinned"] = (lambda: there.copy_(host, non_blocking=True), size // ACROSS)
        found["card to host, pinned"] = (lambda: host.copy_(there, non_blocking=True), size // ACROSS)
    return found
