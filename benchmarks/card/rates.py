"""What a card reaches at most: matrix products by number format, copies within its memory and to and from the host."""

import argparse
from pathlib import Path

import torch

from ccd_fast.bench import measure

ACROSS = 2**28
"""Bytes of a copy to or from the host."""


def options() -> argparse.ArgumentParser:
    """Give the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--device", default="cuda", help="cpu, cuda or cuda:N")
    parser.add_argument("--tiny", action="store_true", help="small matrices and arrays")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    return parser


def across(device: str, to_card: bool) -> float:
    """Measure copies between the host's pinned memory and the card's, bytes/s."""
    host, card = (
        torch.zeros(ACROSS, dtype=torch.uint8).pin_memory(),
        torch.zeros(ACROSS, dtype=torch.uint8, device=device),
    )
    target, source = (card, host) if to_card else (host, card)
    timing = measure.in_turn({"copy": lambda: target.copy_(source, non_blocking=True)}, warmup=2, device=device)["copy"]
    return ACROSS / timing.median


def main() -> None:
    """Measure, print and write."""
    given = options().parse_args()
    device, kind = given.device, torch.device(given.device).type
    if given.tiny:
        measure.MATMUL_SIDE[kind], measure.COPY_BYTES[kind] = 256, 2**20
    formats = (
        {"fp32": torch.float32}
        if kind == "cpu"
        else {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    )
    found = {"matmul_flops": {name: measure.matmul_rate(device, dtype) for name, dtype in formats.items()}}
    if kind == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        found["matmul_flops"]["tf32"] = measure.matmul_rate(device, torch.float32)
    copies = {"within": measure.copy_rate(device)}
    if kind == "cuda":
        copies |= {"to_the_card": across(device, True), "to_the_host": across(device, False)}
    found["copy_bytes_per_s"] = copies
    print(measure.as_json(found))
    measure.save(found, given.out)


if __name__ == "__main__":
    main()
