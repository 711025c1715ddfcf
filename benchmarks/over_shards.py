"""Does memory stay flat over shards? Both passes of the first labels over synthetic tar shards, in one worker.

``python benchmarks/over_shards.py OUT.json [ROWS,ROWS …] [CLASSES]``; by default 10,000 and 100,000 photographs and
1,000 classes. Each number of rows has a process of its own; told is the most memory that it held, and what it wrote.
All shards have the same 1,000 small pictures, so that every shard must have the same bias sums, exactly.
"""

import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ccd_fast.bench import measure
from ccd_fast.cluster import output, passes
from ccd_fast.cluster.passes import Run
from ccd_fast.cluster.shards import find
from ccd_fast.cluster.steps import Job, Verdict
from ccd_fast.cluster.storage import Place
from ccd_fast.cluster.worker import Worker
from ccd_fast.demo import tiny_clip
from ccd_fast.engines import default_folder
from ccd_fast.recipes import config

PICTURES, SIDE = 1000, 32


def write_shards(folder: Path, count: int) -> None:
    """Write one shard of noise, and as many names for it as are wanted."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for n in range(PICTURES):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(file, "JPEG")
            member = tarfile.TarInfo(f"{n:05d}.jpg")
            member.size = file.tell()
            file.seek(0)
            archive.addfile(member, file)
    for n in range(1, count):
        (folder / f"{n:05d}.tar").hardlink_to(folder / "00000.tar")


def one(rows: int, classes: int, work: Path) -> dict[str, Any]:
    """Label so many rows, and tell of the memory that it took."""
    torch.set_num_threads(1)
    write_shards(work / "shards", rows // PICTURES)
    knobs = [
        f"teacher.model='''{tiny_clip.install(default_folder())}'''",
        "labels.grids=[]",
        "labels.max_entropy=100.0",
    ]
    recipe = config.load("demo", [*knobs, "student.weights=none"])
    job = Job(Place(str(work / "shards")), Place(str(work / "out")), tuple(f"class {c}" for c in range(classes)), "cpu")
    parts, peaks = find(job.source, "webdataset"), list[float]()

    def over(left: Any, step: Any) -> Any:
        worker = Worker(step)
        for n, shard in enumerate(left):
            yield worker.report(shard)
            if n == 0:  # everything is loaded by then
                peaks.append(peak())

    start = time.perf_counter()
    found = passes.first_labels(
        Run(job, parts, over, lambda _: None), recipe, Verdict(np.full(classes, 0.5, dtype=np.float32), top=10)
    )
    seconds = time.perf_counter() - start
    sums = [record["bias_sums"] for record in output.records(job.out, "scores", {shard.name for shard in parts})]
    assert found["photographs"] == rows and all(each == sums[0] for each in sums)
    peaks = {"after_one_shard_mib": peaks[0], "peak_mib": peak()}
    rates = {name: each["images_per_second"] for name, each in found["passes"].items()}
    return {"rows": rows, "classes": classes, **peaks, "seconds": round(seconds, 1), "per_second": rates}


def peak() -> float:
    """Give the most memory that this process has held, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main() -> None:
    """Measure each number of rows in a process of its own, and write the figures."""
    if sys.argv[1] == "--one":
        with tempfile.TemporaryDirectory() as work:
            print(json.dumps(one(int(sys.argv[2]), int(sys.argv[3]), Path(work))))
        return
    rows = [int(each) for each in (sys.argv[2] if len(sys.argv) > 2 else "10000,100000").split(",")]
    classes = sys.argv[3] if len(sys.argv) > 3 else "1000"
    found = []
    for each in rows:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(each), classes], check=True, capture_output=True, text=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(found[-1], flush=True)
    growth = round(found[-1]["peak_mib"] - found[0]["peak_mib"], 1)
    measure.save({"benchmark": "over shards", "growth_mib": growth, "runs": found}, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
