"""What each part of the method is worth on demo worlds of several seeds.

``python benchmarks/demo_seeds.py RUNS OUT.json SEED…``; runs that are finished are kept, so it can be interrupted.
"""

import sys
from pathlib import Path

from rich.console import Console

from ccd_fast import machine
from ccd_fast.bench import measure
from ccd_fast.demo import story
from ccd_fast.runs.progress import Stages
from ccd_fast.studies import ablation, cells
from ccd_fast.studies.variants import COMPONENTS

if __name__ == "__main__":
    runs, out, seeds = Path(sys.argv[1]), Path(sys.argv[2]), [int(seed) for seed in sys.argv[3:]]
    machine.keep_freed_memory()
    stages = Stages(Console(stderr=True))
    plan = cells.Plan(
        source=lambda seed: story.draw(seed, stages),
        recipe=story.recipe,
        folder=lambda row, seed: runs / f"seed-{seed}" / row.replace(" ", "-"),
        stages=stages,
        shared=runs / ".shared",
    )
    done = cells.run_cells(plan, COMPONENTS, seeds)
    print(ablation.components(done).as_markdown())
    measure.save({"seeds": seeds, "n": len(seeds), "cells": [cell.record() for cell in done]}, out)
