"""A small data set in shards, what a single process says of it, and a pool of one worker in this process."""

import io
from pathlib import Path

import pyarrow
import pyarrow.parquet

from ccd_fast.cluster.passes import Run
from ccd_fast.cluster.shards import find
from ccd_fast.cluster.steps import Job
from ccd_fast.cluster.storage import Place
from ccd_fast.cluster.worker import Worker
from tests.datasets.shard_maker import write_shard

CLASSES = ("cat", "dog", "traffic light", "boat")


def write_shards(photographs: Path, root: Path, count: int, bad: bool = True) -> Path:
    """Spread photographs over tar shards in two folders; one photograph more cannot be read."""
    files = sorted(file for file in photographs.rglob("*") if file.suffix in (".jpg", ".png"))
    for n in range(count):
        members = {f"{n}-{file.name}": file.read_bytes() for file in files[n::count]}
        if n == 1 and bad:
            members["1-rubbish.jpg"] = b"\xff\xd8 not whole"
        write_shard(root / f"part{n % 2}" / f"{n:03d}.tar", members)
    return root


def alone(shards, step):
    """Do a step to shards here, in a process that starts anew: what it has opened is not kept."""
    worker = Worker(step)
    for shard in shards:
        yield worker.report(shard)


def run_over(source, out, dataset="webdataset", over=alone, prompts=CLASSES):
    source, out = Place(str(source)), Place(str(out))
    job = Job(source, out, prompts, "cpu")
    return Run(job, find(source, dataset), over, lambda line: None)


def rows(out: str) -> dict[str, dict]:
    """Read all tables of labels: a row a photograph, by its path; none may stand twice."""
    place, found = Place(str(out)), {}
    for name in place.names("labels"):
        for row in pyarrow.parquet.read_table(io.BytesIO(place.read(f"labels/{name}"))).to_pylist():
            assert row["path"] not in found, "a photograph stands twice"
            found[row["path"]] = row
    return found


def of_bytes(content: bytes) -> dict[str, dict]:
    """Read a table that the single process has written, in the same way."""
    return {row["path"]: row for row in pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()}
