"""What a training step of each system of the paper's table costs, beside one of BCE.

``python benchmarks/systems.py OUT.json [THREADS]``: random weights, pixels and labels, one step a call, in turn; every
ratio is the median over the rounds of how many times as long a step takes as BCE's, what learns beside included.
SARB and SST are timed in an epoch in which they blend, and make pseudo-labels.
"""

import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.bench.measure import ratio
from ccd_fast.recipes import config
from ccd_fast.student import network
from ccd_fast.systems import CCD, SYSTEMS, Seen, with_its_head
from ccd_fast.training.compared import LossOfSystem
from ccd_fast.training.steps import Trainer

CASES = (("tf_efficientnet_lite0", 224, 16, 20), ("tf_efficientnet_lite0", 224, 16, 80))
"""Backbone, side of the views, batch, classes."""
IMAGES, WORDS, EPOCHS, ROUNDS = 5000, 512, 10, 7


def step_of(name: str, plain: network.Student, pixels: torch.Tensor, known: np.ndarray[Any, Any]) -> Callable[[], None]:
    """Give what takes a step of a system, and lets learn what learns beside the student."""
    batch, (images, classes) = len(pixels), known.shape
    words = torch.randn(classes, WORDS, generator=torch.Generator().manual_seed(0))
    trainer = Trainer(with_its_head(deepcopy(plain), name, words, known, 0), config.load("folder").train, 224)
    everything = torch.ones(images, dtype=torch.bool)
    soft = torch.rand(images, classes) if name == "cdul" else None
    seen = Seen(known, soft, everything, 1.5, 0.005, EPOCHS, images // batch, 1e-3, 0)
    make = SYSTEMS[name].make
    assert make is not None
    system = make(seen, trainer.student.head)
    epoch = EPOCHS // 2
    if name == "sarb":
        width = trainer.student.head.classifiers.weight.shape[1]
        system.take_vectors(epoch, [torch.randn(30, width) for _ in range(classes)])
    system.before_epoch(epoch)
    trainer.begin_epoch()
    rows, loss = torch.arange(batch), LossOfSystem(system)

    def step() -> None:
        _, logits = trainer.step(pixels, None, rows, loss)
        system.after_step(rows, logits)

    return step


def compare(backbone: str, size: int, batch: int, classes: int) -> dict[str, Any]:
    """Time a step of every system, in turn."""
    plain = network.build(backbone, classes, 3.0, "none")
    pixels = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    known = np.random.default_rng(0).choice([-1, 0, 1], (IMAGES, classes), p=[0.085, 0.9, 0.015]).astype(np.int8)
    names = [name for name in SYSTEMS if name != CCD]
    times = measure.in_turn({name: step_of(name, plain, pixels, known) for name in names}, ROUNDS)
    return {
        "case": {"backbone": backbone, "size": size, "batch": batch, "classes": classes, "images": IMAGES},
        "as_long_as_bce": {name: round(ratio(times[name], times["bce"]), 3) for name in names},
        "bce_seconds": times["bce"].median,
    }


def main(out: Path, threads: int = 0) -> None:
    """Time all cases, and write the file."""
    machine.keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    measure.save({"cases": [compare(*case) for case in CASES], "rounds": ROUNDS}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
