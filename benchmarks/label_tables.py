"""Does a process's memory stay flat where label tables are mapped? A million rows of 200 classes, in memory and mapped.

``python benchmarks/label_tables.py OUT.json [ROWS CLASSES]``: everything that walks over the tables of a run, through
the functions of a run, on 1, 2 and 4 processes that meet over gloo. No photograph is read and no network is asked: what
teacher and student say is drawn, alike for every number of processes. Crops are one a row.

Told of each process: the most memory of its own, the anonymous pages (``RssAnon`` of ``/proc/self/status``, looked at
every 20 ms), before and during the work. Pages of mapped files are the system's: processes share them, and it takes
them back when it needs them. And seconds a stage, the bytes of the checkpoint, and the most bytes of ``labels/``.
"""

import hashlib
import multiprocessing
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch

from ccd_fast.bench import measure
from ccd_fast.datasets.folder import unlabelled
from ccd_fast.labels import FirstLabels, Update, limits, on_disk, update_labels
from ccd_fast.labels.bias import bias_by_class
from ccd_fast.labels.table import apart, of_run
from ccd_fast.machine.ranks import ALONE, join, leave
from ccd_fast.runs.folder import STATE, RunFolder
from ccd_fast.runs.mapped_tables import open_tables
from ccd_fast.student import Reading, reading
from ccd_fast.student.cam import activity_threshold

UNIT = 4096
"""Rows that are drawn, and gathered, at a time: a process's share begins at a multiple of it."""
PROCESSES = (1, 2, 4)
LOOKS = 0.02
SETTLE = 4


def drawn(start: int, count: int, classes: int, kind: int) -> torch.Tensor:
    """Draw what a network says of some rows, (count, C): the same whoever asks."""
    generator = torch.Generator().manual_seed(start * SETTLE + kind)
    return torch.randn((count, classes), generator=generator)


def anonymous() -> int:
    """Give the bytes of this process that are no file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def held(folder: Path) -> int:
    """Give the bytes that the tables of a run take on the disk."""
    found = 0
    for file in (folder / "labels").glob("*"):
        if "table-" in file.name or "scratch-" in file.name:
            try:
                found += file.stat().st_blocks * 512
            except FileNotFoundError:  # it was renamed meanwhile
                continue
    return found


class Watch:
    """Looks at the memory of this process, and at the disk, again and again."""

    def __init__(self, folder: Path) -> None:
        """Begin to look."""
        self.folder, self.start = folder, anonymous()
        self.peak, self.disk, self.seconds = self.start, 0, dict[str, float]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(LOOKS):
            self.peak, self.disk = max(self.peak, anonymous()), max(self.disk, held(self.folder))

    def end(self) -> dict[str, Any]:
        """Stop looking, and tell."""
        self._ended.set()
        self._thread.join()
        return {
            "before_mib": round(self.start / 2**20),
            "peak_mib": round(self.peak / 2**20),
            "most_on_disk_mib": round(self.disk / 2**20),
            "seconds": self.seconds,
        }

    @contextmanager
    def stage(self, name: str, wait: Callable[[], None]) -> Iterator[None]:
        """Time a stage, from when all processes begin it to when all have ended it."""
        wait()
        start = time.perf_counter()
        yield
        wait()
        self.seconds[name] = round(time.perf_counter() - start, 2)


def work(where: str, rank: int, size: int, port: int, out: Path, shape: tuple[int, int], told: Any) -> None:
    """Be one process of a run."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size)}
    reading.LOAD_BATCH = UNIT
    ranks, _ = join("cpu") if size > 1 else (ALONE, "cpu")
    torch.set_num_threads(1)
    folder = RunFolder(out, ranks)
    images = unlabelled(Path(), [f"class {c}" for c in range(shape[1])], [f"{row:08d}.jpg" for row in range(shape[0])])
    tables = open_tables("mapped" if where == "mapped" else "memory", folder, shape, False, lambda _: None)
    passes = Reading(cast(Any, SimpleNamespace(device=torch.device("cpu"))), tables)
    own = passes.share(shape[0])
    parts = [range(start, min(start + UNIT, own.stop)) for start in range(own.start, own.stop, UNIT)]
    watch = Watch(out)

    with watch.stage("first labels", ranks.wait):
        first = FirstLabels(*shape, 4.0, 0, tables, passes.batch_size)
        for part in parts:
            first.add(torch.tensor(part), 3 * drawn(part.start, len(part), shape[1], 0))
        first.put_together(passes)
        labels = first.finish(0.0125, 10, True)
    with watch.stage("bias by class", ranks.wait):
        bias_by_class(first.scores, labels.table, labels.confident, images.class_names)
        del first
    with watch.stage("tau", ranks.wait):
        seen = tables.scratch(shape, passes.batch_size)
        for part in parts:
            seen[part.start : part.stop] = torch.sigmoid(drawn(part.start, len(part), shape[1], 1) - 2)
        seen = tables.together(seen, passes.batch_size)
        tau = activity_threshold(seen, 2, 0.0, labels.readable)
        del seen
    with watch.stage("update", ranks.wait):
        labels.anchor()
        before = labels.table
        crops = tables.gathered(shape[1], torch.device("cpu"))
        for part in parts:
            crops.add(torch.softmax(3 * drawn(part.start, len(part), shape[1], 2), dim=1))
        update_labels(labels, torch.tensor(own), crops.whole(), Update(0.0125, 0.5), tables, passes.batch_size)
        changed = apart(before, labels.table, labels.readable)
        del before, crops
    with watch.stage("checkpoint", ranks.wait):
        kept = {name: tables.kept(tensor) for name, tensor in labels.state().items()}
        folder.save_state({"labels": kept})
        tables.sweep(kept.values())
        del kept
    with watch.stage("labels for people (Parquet)", ranks.wait):
        on_disk.save(folder, 2, images, labels)
    with watch.stage("thresholds of ten classes", ranks.wait):
        least = limits.by_class(labels.table[tables.sample(shape)][:, :10])
    digest = hashlib.sha256()
    for start in range(0, shape[0], UNIT):
        digest.update(labels.table[start : start + UNIT].numpy().tobytes())
    figures = {"tau": tau, "changed": changed, "least": float(least.mean()), "labels": digest.hexdigest()[:16]}
    told.put((rank, watch.end() | figures))
    ranks.wait()
    leave()


def one(where: str, size: int, out: Path, shape: tuple[int, int]) -> dict[str, Any]:
    """Run so many processes, and tell what each took."""
    RunFolder(out).create(overwrite=False)
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = context.Queue()
    every = [context.Process(target=work, args=(where, rank, size, port, out, shape, told)) for rank in range(size)]
    for process in every:
        process.start()
    found = dict(told.get(timeout=3600) for _ in every)
    for process in every:
        process.join()
    of_all = [found[rank] for rank in range(size)]
    same = {name: of_all[0][name] for name in ("tau", "changed", "least", "labels")}
    assert all(each[name] == value for each in of_all for name, value in same.items()), "the processes disagree"
    row = {
        "tables": where,
        "processes": size,
        "before_mib": [each["before_mib"] for each in of_all],
        "peak_mib": [each["peak_mib"] for each in of_all],
        "seconds": of_all[0]["seconds"],
        "checkpoint_mib": round((out / STATE).stat().st_size / 2**20, 1),
        "on_disk_after_mib": round(held(out) / 2**20, 1),
        "most_on_disk_mib": max(each["most_on_disk_mib"] for each in of_all),
        **same,
    }
    print(row, flush=True)
    return row


def main() -> None:
    """Run all, and write it after each."""
    target = Path(sys.argv[1])
    shape = tuple(int(word) for word in (*sys.argv[2:], *("1000000", "200")[len(sys.argv) - 2 :]))
    record: dict[str, Any] = {"rows": shape[0], "classes": shape[1], "results": []}
    with tempfile.TemporaryDirectory() as folder:
        for where in ("mapped", "memory"):
            for size in PROCESSES:
                record["results"].append(one(where, size, Path(folder) / f"{where}-{size}", cast(Any, shape)))
                of_one = {row["labels"] for row in record["results"] if row["tables"] == where}
                assert len(of_one) == 1, "the number of processes changes labels"
                if where == "memory" and size == 1:
                    record["mapped_from_memory"] = away(Path(folder))
                measure.save(record, target)
                if size > 1:
                    shutil.rmtree(Path(folder) / f"{where}-{size}")


def away(folder: Path) -> dict[str, float]:
    """Tell how far mapped labels are from those in memory."""
    memory, mapped = (of_run(RunFolder(folder / f"{where}-1")) for where in ("memory", "mapped"))
    parts = zip(memory.table.split(UNIT), mapped.table.split(UNIT), strict=True)
    largest = max(float((ours - theirs.float()).abs().max()) for ours, theirs in parts)
    return {"largest": largest, "mean": apart(memory.table, mapped.table, memory.readable)}


if __name__ == "__main__":
    main()
