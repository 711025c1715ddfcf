"""Timing in turns, the limits of the device, and the records that keep what was measured.

Rates of different things are compared only within one run: what is timed takes turns, so that a machine that slows
down slows all of them. Warm-up is never inside a rate.
"""

import json
import shlex
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ccd_fast import machine
from ccd_fast.engines.ceilings import MATMUL_SIDE, matmul_rate, time_once
from ccd_fast.runs.writing import write_whole

__all__ = [
    "COPY_BYTES",
    "MATMUL_SIDE",
    "REPEATS",
    "Timing",
    "as_json",
    "copy_rate",
    "in_turn",
    "matmul_rate",
    "ratio",
    "save",
    "time_once",
]

REPEATS = 5
COPY_BYTES = {"cpu": 256 * 2**20, "cuda": 2**30}
"""Size of the array of :func:`copy_rate`: larger than any cache."""


@dataclass(frozen=True)
class Timing:
    """How long something took, repeat by repeat.

    Attributes:
        seconds: one figure a repeat.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Give the median, in seconds."""
        return statistics.median(self.seconds)

    def record(self) -> dict[str, Any]:
        """Give what a JSON file keeps: median, fastest, slowest, and the number of repeats."""
        low, high = min(self.seconds), max(self.seconds)
        return {"median_s": self.median, "min_s": low, "max_s": high, "n": len(self.seconds)}


def ratio(over: Timing, under: Timing) -> float:
    """Give how many times as long one thing took as another: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(over.seconds, under.seconds, strict=True))


def in_turn(
    calls: Mapping[str, Callable[[], object]], repeats: int = REPEATS, warmup: int = 1, device: str = "cpu"
) -> dict[str, Timing]:
    """Time several things in turn, each once a round.

    Args:
        calls: what to time, by name.
        repeats: rounds that count.
        warmup: rounds before them that do not.
        device: where the calls run.

    Returns:
        The timing of each.
    """
    rounds = [{name: time_once(call, device) for name, call in calls.items()} for _ in range(warmup + repeats)]
    return {name: Timing(tuple(r[name] for r in rounds[warmup:])) for name in calls}


def copy_rate(device: str = "cpu", repeats: int = REPEATS) -> float:
    """Measure what a copy within the device's memory reaches, in bytes/s, read and written bytes counted."""
    source = torch.zeros(COPY_BYTES[torch.device(device).type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timing = in_turn({"copy": lambda: target.copy_(source)}, repeats, 2, device)["copy"]
    return 2 * source.numel() / timing.median


def as_json(results: Mapping[str, Any]) -> str:
    """Give results as JSON, with the command, the machine and the versions."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return json.dumps({"command": command, **results, "machine": machine.describe()}, indent=1)


def save(results: Mapping[str, Any], out: Path) -> None:
    """Write what :func:`as_json` gives."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, f"{as_json(results)}\n".encode())
