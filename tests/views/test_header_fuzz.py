"""Headers that nobody thought of: both backends give the same pixels, or both refuse; and no process ends of it."""

import os
import random
import time

import numpy as np
import pytest

from ccd_fast.views import installed_backends, open_backend
from ccd_fast.views.apart import decoder_apart
from tests.views.header_fuzzer import fuzzed

if "dali" not in installed_backends():
    pytest.skip("nvidia-dali is not installed", allow_module_level=True)

AT_ONCE = 48
FEW, MANY = 240, int(os.environ.get("HEADERS", "10000"))
MOST_APART = 3
"""Levels of 0 to 255 between libraries of two versions that round otherwise."""


def compare(count: int, seed: int, folder) -> tuple[int, int]:
    """Decode fuzzed files by both backends; give how many both read, and how many both refuse."""
    rng = random.Random(seed)
    pillow, dali = open_backend("pillow", 2), open_backend("dali", 2)
    files = [folder / f"{place}" for place in range(AT_ONCE)]
    read = refused = 0
    worker = decoder_apart(2).process
    for start in range(0, count, AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, count))
        for file in files[: len(rows)]:
            file.write_bytes(fuzzed(rng))
        theirs, ours = (backend.decode(files[: len(rows)], rows) for backend in (pillow, dali))
        assert ours.unreadable == theirs.unreadable, _keep(files, start, ours.unreadable, theirs.unreadable)
        for row, a, b in zip(ours.rows.tolist(), ours.pixels, theirs.pixels, strict=True):
            off = np.abs(a.astype(int) - np.asarray(b).astype(int)).max()
            assert off <= MOST_APART, _keep(files, start, row, off)
        read += len(ours)
        refused += len(ours.unreadable)
    assert decoder_apart(2).process is worker, "a file ended the decoder"
    return read, refused


def _keep(files, start: int, *what) -> str:
    """Name the files of a batch that went wrong, for whoever looks."""
    return f"batch from {start} in {files[0].parent}: {what}"


def test_headers_that_were_tampered_with_give_the_same_pixels_or_a_reason(tmp_path):
    read, refused = compare(FEW, 0, tmp_path)
    assert min(read, refused) > FEW / 6


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_many_headers(tmp_path, counts):
    start = time.monotonic()
    read, refused = compare(MANY, 1, tmp_path)
    print(f"\ntried: {MANY} headers, {read} read alike, {refused} refused alike, {time.monotonic() - start:.0f} s")
    counts |= {"tampered_headers": MANY, "of_them_read_alike": read, "of_them_refused_alike": refused}
