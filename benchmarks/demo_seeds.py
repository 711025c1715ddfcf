"""What each part of the method is worth on demo worlds of several seeds.

``python benchmarks/demo_seeds.py RUNS OUT.json SEED…``; runs that are finished are kept, so it can be interrupted.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from ccd_fast import ablate, machine
from ccd_fast.bench import measure
from ccd_fast.demo import story
from ccd_fast.progress import Stages

if __name__ == "__main__":
    runs, out, seeds = Path(sys.argv[1]), Path(sys.argv[2]), [int(seed) for seed in sys.argv[3:]]
    machine.keep_freed_memory()
    stages = Stages(Console(stderr=True))
    cells = ablate.components(
        lambda seed: story.draw(seed, stages),
        story.recipe,
        lambda row, seed: runs / f"seed-{seed}" / row.replace(" ", "-"),
        stages,
        seeds,
    )
    print(ablate.as_markdown(cells))
    measure.save({"seeds": seeds, "n": len(seeds), "cells": [asdict(cell) for cell in cells]}, out)
