"""Deaths on a Ray of two nodes, for ``make test-faults``: no shard of demo scenes is lost or done twice.

``ACTORS`` and ``NODES`` in the environment say how many actors and nodes are killed (6 and 2).
"""

import os
from functools import partial

import numpy as np
import pytest
from cluster.sharded_world import of_bytes, rows, run_over
from rich.console import Console

from ccd_fast.cluster import passes, pool
from ccd_fast.cluster.steps import Verdict
from ccd_fast.demo import tiny_clip as demo_clip
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.world import write_world
from ccd_fast.outputs import label_files, labelling
from ccd_fast.recipes import config
from ccd_fast.runs import Stages
from tests.datasets.shard_maker import write_shard

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("cache"), pytest.mark.timeout(1800)]
ACTORS, NODES = (int(os.environ.get(name, default)) for name, default in (("ACTORS", 6), ("NODES", 2)))
SHARDS, SCENES = 20, 400
PLACES = ("CPU", 1)
HALF = np.full(len(CLASS_NAMES), 0.5, dtype=np.float32)


@pytest.fixture(scope="module")
def recipe(cache):
    teacher = f"teacher.model='''{demo_clip.install(cache)}'''"
    return config.load("demo", [teacher, "labels.grids=[2]", "student.weights=none"])


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_world(root / "world", seed=1, train=SCENES, test=0, workers=1)
    files = sorted((root / "world" / "images" / "train").iterdir())
    for n in range(SHARDS):
        members = {file.name: file.read_bytes() for file in files[n::SHARDS]}
        write_shard(root / "shards" / f"{n:03d}.tar", members)
    return root / "shards"


@pytest.fixture(scope="module")
def expected(shards, recipe):
    labelled = labelling.by_teacher(shards, CLASS_NAMES, recipe, Stages(Console(quiet=True)), "cpu", "webdataset")
    return of_bytes(label_files.parquet(labelled, labelling.chosen(labelled, HALF)))


@pytest.fixture
def cluster(cache):
    """A head without cores, and two nodes of one core."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ccd_fast[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 2**27})
    nodes = [made.add_node(num_cpus=1, object_store_memory=2**27) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False)
    yield made, nodes
    ray.shutdown()
    made.shutdown()


def workers() -> list[int]:
    """The processes of actors that are at work."""
    from ray.util.state import list_actors

    return [actor.pid for actor in list_actors(filters=[("state", "=", "ALIVE")]) if "Worker" in actor.class_name]


def over_two(shards_of, out):
    actors = pool.connect(pool.Pool(actors=2, device="cpu"))
    return run_over(shards_of, out, over=partial(pool.over, actors), prompts=CLASS_NAMES)


def test_two_nodes_give_the_labels_of_one_process(cluster, shards, recipe, expected, tmp_path):
    found = passes.first_labels(over_two(shards, tmp_path), recipe, Verdict(HALF))
    assert found["shards"] == SHARDS and found["photographs"] == SCENES
    assert rows(tmp_path) == expected
