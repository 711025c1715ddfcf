"""A data set on disk, checked: are the images there, can they be read, and are they as many as they should be."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.listing import listed, passed_over
from ccd_fast.datasets.registry import DATASETS, Source
from ccd_fast.machine import on_stream_for
from ccd_fast.runs import Stage, Stages
from ccd_fast.views import ViewBackend, open_backend, read_bytes, shards
from ccd_fast.views.files import Encoded
from ccd_fast.views.header import has_transparency

CHUNK = 64
"""Images decoded at a time."""


@dataclass(frozen=True)
class SplitReport:
    """What was found of one split.

    Attributes:
        split: ``"train"`` or ``"test"``.
        images: how many the annotations name.
        official: how many the official split has; None where there is none.
        missing: paths that are not on disk.
        unreadable: paths that cannot be decoded, with the reason; empty after a quick look.
        transparent: how many have transparency, which is put on white; 0 after a quick look.
        listed_twice: paths that the annotations name more than once.
        without_label: how many images are known to have no label.
        unknown: how many images have unknown labels.
        boxes: how many ground-truth boxes there are; None where the data set has none.
        labels: images by class name.
    """

    split: str
    images: int
    official: int | None
    missing: list[str]
    unreadable: dict[str, str]
    transparent: int
    listed_twice: list[str]
    without_label: int
    unknown: int
    boxes: int | None
    labels: dict[str, int]


@dataclass(frozen=True)
class Report:
    """What was found of a data set.

    Attributes:
        dataset: its name.
        root: as it was given.
        quick: whether images were only looked for, not decoded.
        splits: train and test.
        in_both_splits: paths that are for training and for testing.
        passed_over: what lies below the root and is no image for this project, though it may be meant to be one; a line
            each.
        same_content: groups of files with the same bytes, beyond paths named twice; empty after a quick look. They
            occur in official data sets, so they are told and not counted as a mistake.
        problems: what is wrong, a line each; empty if all is well.
    """

    dataset: str
    root: str
    quick: bool
    splits: list[SplitReport]
    in_both_splits: list[str]
    passed_over: list[str]
    same_content: list[list[str]]
    problems: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Give the report as plain data."""
        return asdict(self)


def verify(
    source: Source, stages: Stages, threads: int, quick: bool = False, subset: bool = False, device: str = "cpu"
) -> Report:
    """Check a data set.

    Images are decoded as a run decodes them, by the same backend.

    Args:
        source: where it is.
        stages: shows the progress and the rate.
        threads: that decode.
        quick: only look whether the files are there.
        subset: a part of the official images is meant: their number is not compared.
        device: where a run would decode them.

    Raises:
        UserError: it is not such a data set, or a part of it is missing altogether.
    """
    sets = [source.load(split) for split in ("train", "test")]
    seen = _Seen()
    backend = None if quick else open_backend("auto", threads, device, read=seen.read)
    reports = []
    for images in sets:
        with stages.stage(f"look for the {images.split} images", len(images)) as stage:
            missing = _missing(images, stage)
        unreadable: dict[str, str] = {}
        seen.transparent = 0
        if backend is not None:
            present = [path for path in dict.fromkeys(images.paths) if path not in missing]
            with stages.stage(f"decode the {images.split} images", len(present)) as stage:
                unreadable = _unreadable(images.root, present, backend, stage)
        reports.append(_describe(images, sorted(missing), unreadable, seen.transparent))
    # A folder whose labels have no split column tests on images that it also trains on, and says so (known.py).
    may_share = DATASETS[source.dataset].yours is not None
    shared = [] if may_share else sorted(set(sets[0].paths) & set(sets[1].paths))
    report = Report(
        dataset=source.dataset,
        root=str(source.root),
        quick=quick,
        splits=reports,
        in_both_splits=shared,
        passed_over=passed_over(source.root, listed(source.root)) if may_share else [],
        same_content=[] if quick else _same_content(sets),
    )
    report.problems.extend(_problems(report, subset))
    return report


def _missing(images: ImageSet, stage: Stage) -> set[str]:
    missing: set[str] = set()
    for start in range(0, len(images), CHUNK):
        missing.update(images.missing(slice(start, start + CHUNK)))
        stage.advance(min(CHUNK, len(images) - start))
    return missing


class _Seen:
    """Reads files, and counts those with transparency."""

    def __init__(self) -> None:
        self.transparent = 0

    def read(self, file: Path) -> Encoded | str:
        content = read_bytes(file)
        self.transparent += not isinstance(content, str) and has_transparency(content)
        return content


def _unreadable(root: Path, paths: Sequence[str], backend: ViewBackend, stage: Stage) -> dict[str, str]:
    """Decode images, and give the reason for each that cannot be."""
    found: dict[int, str] = {}
    with on_stream_for("verify", backend.device):
        for start in range(0, len(paths), CHUNK):
            files = [root / path for path in paths[start : start + CHUNK]]
            found |= backend.decode(files, np.arange(start, start + len(files))).unreadable
            stage.advance(len(files))
    return {paths[row]: reason for row, reason in sorted(found.items())}


def _describe(images: ImageSet, missing: list[str], unreadable: dict[str, str], transparent: int) -> SplitReport:
    known = int(images.known.sum())
    truth = np.zeros((0, len(images.class_names)), dtype=bool) if images.truth is None else images.truth[images.known]
    counts = truth.sum(axis=0).tolist()
    return SplitReport(
        split=images.split,
        images=len(images),
        official=images.official,
        missing=missing,
        unreadable=unreadable,
        transparent=transparent,
        listed_twice=sorted(path for path, count in Counter(images.paths).items() if count > 1),
        without_label=int((~truth.any(axis=1)).sum()),
        unknown=len(images) - known,
        boxes=None if images.boxes is None else len(images.boxes),
        labels=dict(zip(images.class_names, counts, strict=True)) if known else {},
    )


def _same_content(sets: Iterable[ImageSet]) -> list[list[str]]:
    """Find files with the same bytes; only those of the same size are read."""
    by_size: dict[int, list[tuple[Path, str]]] = defaultdict(list)
    for root, path in dict.fromkeys((images.root, path) for images in sets for path in images.paths):
        if (size := shards.size(root / path)) is not None:
            by_size[size].append((root, path))
    groups = (group for files in by_size.values() if len(files) > 1 for group in _equal(files))
    return sorted(sorted(group) for group in groups)


def _equal(files: list[tuple[Path, str]]) -> Iterator[list[str]]:
    by_digest: dict[bytes, list[str]] = defaultdict(list)
    for root, path in files:
        content = read_bytes(root / path)
        if not isinstance(content, str):  # reported as unreadable already
            by_digest[hashlib.blake2b(content.data).digest()].append(path)
    yield from (paths for paths in by_digest.values() if len(paths) > 1)


def _problems(report: Report, subset: bool) -> list[str]:
    """Say what is wrong, a line each."""
    found = []
    for split in report.splits:
        if split.official not in (None, split.images) and not subset:
            found.append(
                f"{split.split}: {split.images} images, but the official split has {split.official} "
                "(--subset if a part of them is meant)"
            )
        for what, paths in (
            ("missing", split.missing),
            ("cannot be decoded", list(split.unreadable)),
            ("named more than once", split.listed_twice),
        ):
            if paths:
                found.append(f"{split.split}: {len(paths)} {what}, for example {paths[0]}")
    if report.in_both_splits:
        found.append(f"{len(report.in_both_splits)} in both splits, for example {report.in_both_splits[0]}")
    return found
