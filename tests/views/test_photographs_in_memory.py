"""Photographs that nobody needs any longer leave the memory at once, not when Python's collector comes by."""

import gc
from collections import Counter

import numpy as np
import pytest

from ccd_fast.views import installed_backends, open_backend
from tests.views import samples


@pytest.mark.parametrize("name", installed_backends())
def test_photographs_are_not_kept_by_rings_of_references(name, tmp_path):
    kinds = ["jpeg", "png", "webp", "jpeg, CMYK" if "jpeg, CMYK" in samples.LIKE_THE_SCENE else "tiff, LZW"]
    files = [tmp_path / str(index) for index in range(24)]
    for index, file in enumerate(files):
        file.write_bytes(samples.LIKE_THE_SCENE[kinds[index % 4]])
    files[5].write_bytes(files[5].read_bytes()[:-40])
    backend = open_backend(name, 2)
    boxes = np.array([[0, 0, 9, 9], [2, 3, 14, 12]])

    def work() -> None:
        photographs = backend.decode(files, np.arange(24))
        whole = backend.whole(photographs, 32, "bilinear")
        backend.crop(photographs, np.array([3, 7]), boxes, 32, "bicubic")
        backend.jitter(whole, np.tile(np.float32([1.1, 0.9, 1.0, 10.0]), (len(whole), 1)))

    def pictures() -> Counter[str]:
        kept = [type(thing).__name__ for thing in gc.get_objects()]
        return Counter(kind for kind in kept if kind in ("Batch", "Tensor", "Photographs", "Image"))

    work()
    gc.collect()
    before = pictures()
    gc.disable()
    try:
        for _ in range(5):
            work()
        assert pictures() == before
    finally:
        gc.enable()
