"""A small tree of each benchmark data set, a few dozen images each."""

from pathlib import Path

import pytest
from benchmark_trees import make_benchmark


@pytest.fixture(scope="session")
def benchmark_root(tmp_path_factory):
    """Give the root of a small tree by the benchmark's name; made once, not to be changed."""
    made: dict[str, Path] = {}

    def root(name: str) -> Path:
        if name not in made:
            made[name] = make_benchmark(tmp_path_factory.mktemp(name.replace(" ", "-")), name)
        return made[name]

    return root
