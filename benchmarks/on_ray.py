"""Labels of demo scenes by one actor, by two, and by one process without Ray: what the pool costs, and how it scales.

``python benchmarks/on_ray.py OUT.json [SCENES]``; by default 4,000 scenes in 20 shards, on two cores with nothing
beside it. Each actor is held to a core of its own, decoder and engine included, so that one actor does not borrow the
second's; the one process has both. The ways take turns: the process before and after, the pools twice between.

A pool's rate is all photographs over the time from when its actors have opened their teachers (their mean) to the last
report: with Ray's own part, the hand-over of shards, and the wait for the slower actor at the end. Beside it stands
what the reckoning of shards to actors in ``scale_on_paper.py`` makes of the shards' own times.
"""

import json
import logging
import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from rich.console import Console
from scale_on_paper import greedy

from ccd_fast.bench import measure
from ccd_fast.cluster import pool
from ccd_fast.cluster.passes import Run
from ccd_fast.cluster.shards import Shard, find
from ccd_fast.cluster.steps import Job, Score, Step
from ccd_fast.cluster.storage import Place
from ccd_fast.demo import tiny_clip
from ccd_fast.demo.drawing import draw
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.engines import default_folder
from ccd_fast.outputs import labelling
from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import Stages

SHARDS, ACTORS, ROUNDS = 20, 2, 2
QUIET = Stages(Console(quiet=True))


@dataclass
class HeldToACore(Score):
    """The first pass of the labels, by an actor that takes a core of its own, and its decoder with it.

    Attributes:
        taken: folder where actors say which core they have.
    """

    taken: str = ""

    def open(self, images: Any, stages: Stages, device: str) -> None:
        """Take a core, then open the teacher."""
        cores = sorted(os.sched_getaffinity(0))
        for core in cores:
            try:
                (Path(self.taken) / str(core)).touch(exist_ok=False)
            except FileExistsError:
                continue
            for thread in Path("/proc/self/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})
            return super().open(images, stages, device)
        raise RuntimeError(f"no core is left of {cores}")


def write_shards(work: Path, scenes: int) -> Path:
    """Spread drawn scenes over tar shards."""
    files = sorted((draw(1, QUIET, scenes, 20).root / "images" / "train").iterdir())
    (work / "shards").mkdir()
    for n in range(SHARDS):
        with tarfile.open(work / "shards" / f"{n:03d}.tar", "w") as archive:
            for file in files[n::SHARDS]:
                archive.add(file, file.name)
    return work / "shards"


def by_one_process(shards: Path, recipe: Recipe, scenes: int) -> float:
    """Give the photographs a second of one process with all cores, without what it opens."""
    records: list[dict[str, Any]] = []
    torch.set_num_threads(ACTORS)
    stages = Stages(Console(quiet=True), records.append)
    labelling.by_teacher(shards, CLASS_NAMES, recipe, stages, "cpu", "webdataset")
    return scenes / sum(record["seconds"] for record in records)


def by_a_pool(shards: Path, work: Path, recipe: Recipe, scenes: int, actors: int) -> dict[str, float]:
    """Give the rates of a pool, and the seconds that its shards took to be done."""
    out, taken = work / f"out-{actors}", work / "taken"
    for folder in (out, taken):
        shutil.rmtree(folder, ignore_errors=True)
    taken.mkdir()
    ready, records = list[float](), list[dict[str, Any]]()

    def heard(left: Sequence[Shard], step: Step) -> Iterator[dict[str, Any]]:
        for report in pool.over(pool.Pool(actors=actors, device="cpu", gpus=0.0), left, step):
            record = report["record"]
            records.append(record)
            if "open" in record["parts"]:
                opened = record["parts"]["fetch"] + record["parts"]["open"]
                ready.append(time.perf_counter() - record["seconds"] + opened)
            yield report

    job = Job(Place(str(shards)), Place(str(out)), CLASS_NAMES, "cpu")
    start = time.perf_counter()
    Run(job, find(job.source, "webdataset"), heard, lambda _: None).go(
        HeldToACore(job, recipe, taken=str(taken)), "scores"
    )
    end = time.perf_counter()
    assert len(ready) == actors, f"{len(ready)} actors opened a teacher, where {actors} should"
    times = [record["seconds"] - record["parts"].get("open", 0.0) for record in records]
    assert sum(record["photographs"] for record in records) == scenes
    return {
        "per_second": scenes / (end - statistics.fmean(ready)),
        "with_its_start_per_second": scenes / (end - start),
        "seconds": end - statistics.fmean(ready),
        "shards_to_actors_reckoned_s": greedy(times, actors),
    }


def main() -> None:
    """Measure all ways in turn, and write the figures."""
    scenes = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    work = Path(tempfile.mkdtemp(prefix="ccd-fast-on-ray-"))
    shards = write_shards(work, scenes)
    teacher = f"teacher.model='''{tiny_clip.install(default_folder())}'''"
    recipe = config.load("demo", [teacher, "labels.grids=[2]", "student.weights=none"])
    labelling.by_teacher(shards, CLASS_NAMES, recipe, QUIET, "cpu", "webdataset")  # makes the engine, warms the files

    alone = [by_one_process(shards, recipe, scenes)]
    ray.init(num_cpus=ACTORS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    pools: dict[int, list[dict[str, float]]] = {1: [], ACTORS: []}
    for _ in range(ROUNDS):
        for actors, found in pools.items():
            found.append(by_a_pool(shards, work, recipe, scenes, actors))
    ray.shutdown()
    alone.append(by_one_process(shards, recipe, scenes))
    shutil.rmtree(work)

    middle = {n: {key: statistics.fmean(each[key] for each in found) for key in found[0]} for n, found in pools.items()}
    one, both, process = middle[1]["per_second"], middle[ACTORS]["per_second"], statistics.fmean(alone)
    told = {
        "one_process_per_second": round(process, 2),
        "one_actor_per_second": round(one, 2),
        "actors_per_second": round(both, 2),
        "efficiency_against_one_actor": round(both / (ACTORS * one), 3),
        "efficiency_against_one_process": round(both / process, 3),
        "with_their_start_per_second": round(middle[ACTORS]["with_its_start_per_second"], 2),
        "seconds": round(middle[ACTORS]["seconds"], 2),
        "shards_to_actors_reckoned_s": round(middle[ACTORS]["shards_to_actors_reckoned_s"], 2),
    }
    rounds = {"one_process": alone, "one_actor": pools[1], "actors": pools[ACTORS]}
    sizes = {"scenes": scenes, "shards": SHARDS, "actors": ACTORS}
    measure.save({"benchmark": "on ray", **sizes, **told, "rounds": rounds}, Path(sys.argv[1]))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
