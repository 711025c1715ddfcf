"""Every table, report and file with ten thousand classes: how long each takes, and the memory that it adds at most.

``python benchmarks/many_classes.py OUT.json [CLASSES [PHOTOGRAPHS]]``: labels are drawn, no network is asked. Times of
one run each, on the CPU, by the clock and of the processor, where other programs run beside; the memory is the
process's largest, before and after.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from ccd_fast.bench import kernels, measure
from ccd_fast.datasets import ImageSet
from ccd_fast.datasets.folder import read_class_names, unlabelled
from ccd_fast.datasets.known import read_truth
from ccd_fast.evaluation import evaluate_images, scores
from ccd_fast.labels import FirstLabels, PseudoLabels, Update, on_disk, update_labels
from ccd_fast.labels.bias import bias_by_class
from ccd_fast.outputs import Labelled, decisions, label_files, labelling
from ccd_fast.recipes import config
from ccd_fast.runs import RunFolder
from ccd_fast.teacher.twins import twins_warning

T = TypeVar("T")
WIDTH = 512
"""Numbers of an embedding."""


def drawn(root: Path, classes: int, photographs: int) -> ImageSet:
    """Give photographs of one colour, and as many classes, with every photograph of two of them."""
    (root / "photographs").mkdir()
    for number in range(photographs):
        Image.new("RGB", (64, 48), (number % 256, 80, 160)).save(root / "photographs" / f"{number:05d}.jpg")
    (root / "classes.txt").write_text("".join(f"class {c:05d}\n" for c in range(classes)), encoding="utf-8")
    return unlabelled(root / "photographs", read_class_names(root / "classes.txt"))


class Record:
    """Times calls, one after the other."""

    def __init__(self) -> None:
        """Nothing is timed yet."""
        self.rows: list[dict[str, object]] = []

    def __call__(self, what: str, call: Callable[[], T]) -> T:
        """Time a call; give what it gives."""
        before, start, started = peak_mib(), time.perf_counter(), time.process_time()
        found = call()
        seconds, busy = time.perf_counter() - start, time.process_time() - started
        row: dict[str, object] = {"what": what, "seconds": round(seconds, 3), "processor_seconds": round(busy, 3)}
        row["more_mib"] = round(peak_mib() - before, 1)
        print(f"{what}: {seconds:.1f} s, {busy:.1f} of a processor, {row['more_mib']} MiB more", flush=True)
        self.rows.append(row)
        return found


def peak_mib() -> float:
    """Give the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Time everything, and write it."""
    out = Path(sys.argv[1])
    classes, photographs = (int(word) for word in (*sys.argv[2:], *("10000", "500")[len(sys.argv) - 2 :]))
    record = Record()
    with tempfile.TemporaryDirectory() as folder:
        measured(record, Path(folder), classes, photographs)
    measure.save({"classes": classes, "photographs": photographs, "results": record.rows}, out)


def measured(record: Record, root: Path, classes: int, photographs: int) -> None:
    """Go through everything that has a row or a column for each class."""
    images = record("photographs drawn, class names read", lambda: drawn(root, classes, photographs))
    names = images.class_names
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(classes, WIDTH, generator=generator), dim=1)
    record("twins: classes that nearly coincide", lambda: twins_warning(embeddings, 100.0, names))
    raw = torch.randn(photographs, classes, generator=generator)
    raw[torch.arange(photographs), torch.arange(photographs) * 7 % classes] += 14
    limit = config.load("folder").labels.entropy_limit(classes)
    gathered = FirstLabels(photographs, classes, limit)
    record("scores of the teacher added", lambda: gathered.add(torch.arange(photographs), raw))
    labels = record("bias and first labels", lambda: gathered.finish(0.0, 1, debias=True))
    owners = torch.arange(photographs).repeat_interleave(2)
    crops = torch.softmax(torch.randn(2 * photographs, classes, generator=generator), dim=1)
    record("labels updated from two crops each", lambda: update_labels(labels, owners, crops, Update(0.0, 0.5)))
    files(record, root, images, labels, gathered.scores)


def files(record: Record, root: Path, images: ImageSet, labels: PseudoLabels, given: torch.Tensor) -> None:
    """Write and read back all files that name classes."""
    table, readable = labels.table, labels.readable
    run = RunFolder(root / "run")
    run.create(overwrite=False)
    record("labels of a run (Parquet)", lambda: on_disk.save(run, 0, images, labels))
    sure = labels.confident & readable
    record(
        "bias by class (JSON)", lambda: run.write_json("b.json", bias_by_class(given, table, sure, images.class_names))
    )
    labelled = Labelled(images, table, readable, {}, "drawn")
    decided = labelling.chosen(labelled, np.full(len(images.class_names), 0.5, dtype=np.float32))
    for kind in label_files.FORMATS:
        end = {"csv": "csv", "parquet": "parquet", "jsonl": "jsonl", "imagefolder": "jsonl"}.get(kind, "json")
        file = root / f"{kind}.{end}"
        record(f"label --format {kind}", lambda kind=kind, file=file: label_files.write(labelled, decided, kind, file))
    record("remarks on the labels", lambda: decisions.remarks(labelled, decided))
    truth = record(
        "CSV read back as --truth",
        lambda: read_truth(root / "csv.csv", images.class_names, images.root, images.paths),
    )
    known = np.zeros((len(images), len(images.class_names)), dtype=bool)
    for row, path in enumerate(images.paths):
        known[row, truth[path][1] or []] = True
    told = ImageSet(
        "folder", "test", images.root, images.paths, images.class_names, images.prompt_names, known,
        np.ones(len(images), dtype=bool),
    )  # fmt: skip
    record("metrics with every class", lambda: evaluate_images(table, told, readable, 0.5))
    record("scores kept for intervals", lambda: scores.save(run, "drawn", told, table, readable))
    for make in (kernels.score_case, kernels.update_case):
        case = make(torch.device("cpu"), 64, len(images.class_names), torch.float32)
        record(f"kernel twin {case.name}, 64 rows, {kernels.SETS} calls", lambda case=case: [c() for c in case.calls])
    print(json.dumps({"sizes": {f.name: f.stat().st_size for f in root.glob("*.*") if f.is_file()}}))


if __name__ == "__main__":
    main()
