"""Two actors of one core each beside one process with both: labels of demo scenes in 20 shards.

``python benchmarks/on_ray.py OUT.json [SCENES]``; by default 2,000 scenes. Told are the rate of one process, that of
the pool with and without the start of its actors, their ratio, and what the reckoning of shards to actors in
``scale_on_paper.py`` makes of the shards' own times.
"""

import json
import logging
import sys
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from rich.console import Console
from scale_on_paper import greedy

from ccd_fast.bench import measure
from ccd_fast.cluster import output, passes, pool
from ccd_fast.cluster.passes import Run
from ccd_fast.cluster.shards import find
from ccd_fast.cluster.steps import Job, Verdict
from ccd_fast.cluster.storage import Place
from ccd_fast.demo import tiny_clip
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.world import write_world
from ccd_fast.engines import default_folder
from ccd_fast.outputs import labelling
from ccd_fast.recipes import config
from ccd_fast.runs import Stages

SHARDS, ACTORS = 20, 2


def write_shards(work: Path, scenes: int) -> Path:
    """Draw scenes, and spread them over tar shards."""
    write_world(work / "world", seed=1, train=scenes, test=0)
    files = sorted((work / "world" / "images" / "train").iterdir())
    (work / "shards").mkdir()
    for n in range(SHARDS):
        with tarfile.open(work / "shards" / f"{n:03d}.tar", "w") as archive:
            for file in files[n::SHARDS]:
                archive.add(file, file.name)
    return work / "shards"


def main() -> None:
    """Measure both, and write the figures."""
    scenes = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    work = Path(tempfile.mkdtemp(prefix="ccd-fast-on-ray-"))
    shards = write_shards(work, scenes)
    teacher = f"teacher.model='''{tiny_clip.install(default_folder())}'''"
    recipe = config.load("demo", [teacher, "labels.grids=[2]", "student.weights=none"])

    torch.set_num_threads(ACTORS)
    records: list[dict[str, Any]] = []
    stages = Stages(Console(quiet=True), records.append)
    labelling.by_teacher(shards, CLASS_NAMES, recipe, stages, "cpu", "webdataset")
    alone = scenes / sum(record["seconds"] for record in records)

    ray.init(num_cpus=ACTORS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    actors = pool.connect(pool.Pool(actors=ACTORS, device="cpu"))
    job = Job(Place(str(shards)), Place(str(work / "out")), CLASS_NAMES, "cpu")
    start = time.perf_counter()
    parts = find(job.source, "webdataset")
    found = passes.first_labels(
        Run(job, parts, partial(pool.over, actors), print), recipe, Verdict(np.full(len(CLASS_NAMES), 0.5, np.float32))
    )
    seconds = time.perf_counter() - start
    ray.shutdown()
    kept = list(output.records(job.out, "scores", {shard.name for shard in parts}))
    times = [record["seconds"] - record["parts"].get("open", 0.0) for record in kept]
    first_pass, opened = found["passes"]["scores"]["seconds"], max(r["parts"].get("open", 0.0) for r in kept)
    rates = {
        "one_process_per_second": round(alone, 2),
        "pool_per_second": round(scenes / (sum(times) / ACTORS), 2),
        "efficiency": round(scenes / (sum(times) / ACTORS) / alone, 3),
        "pool_with_its_start_per_second": round(scenes / first_pass, 2),
    }
    reckoned = {
        "first_pass_s": first_pass,
        "an_engine_opened_s": round(opened, 2),
        "shards_to_actors_reckoned_s": round(greedy(times, ACTORS), 2),
        "both_passes_s": round(seconds, 2),
    }
    sizes = {"scenes": scenes, "shards": SHARDS, "actors": ACTORS}
    measure.save({"benchmark": "on ray", **sizes, **rates, **reckoned, "passes": found["passes"]}, Path(sys.argv[1]))
    print(json.dumps({**rates, **reckoned}))


if __name__ == "__main__":
    main()
