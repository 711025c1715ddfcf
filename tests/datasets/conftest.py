"""A small tree of each benchmark data set, a few dozen images each."""

from pathlib import Path

import pytest
from benchmark_trees import make_coco, make_nus_recrawled, make_nus_release, make_voc, things

from ccd_fast.datasets import coco, nuswide, voc

TRAIN, TEST = 24, 12
BENCHMARKS = ("voc07", "voc12", "coco", "coco2017", "nus", "nus re-crawled")


def make_benchmark(root: Path, name: str) -> Path:
    if name.startswith("voc"):
        train, test = (things(voc.CLASS_NAMES, n, seed) for seed, n in enumerate((TRAIN, TEST)))
        return make_voc(root, 2007 if name == "voc07" else 2012, train, test)
    if name.startswith("coco"):
        categories = {class_name: 1 + 3 * c for c, class_name in enumerate(coco.CLASS_NAMES)}
        train, test = (things(coco.CLASS_NAMES, n, seed) for seed, n in enumerate((TRAIN, TEST)))
        return make_coco(root / "coco", 2014 if name == "coco" else 2017, categories, train, test).parent
    train, test = (things(nuswide.CLASS_NAMES, n, seed) for seed, n in enumerate((TRAIN, TEST)))
    train[3] = []
    make = make_nus_release if name == "nus" else make_nus_recrawled
    return make(root, nuswide.CLASS_NAMES, train, test)


@pytest.fixture(scope="session")
def benchmark_root(tmp_path_factory):
    """Give the root of a small tree by the benchmark's name; made once, not to be changed."""
    made: dict[str, Path] = {}

    def root(name: str) -> Path:
        if name not in made:
            made[name] = make_benchmark(tmp_path_factory.mktemp(name.replace(" ", "-")), name)
        return made[name]

    return root
