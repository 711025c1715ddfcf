"""Deaths on a Ray of two nodes, for ``make test-faults``: no shard of demo scenes is lost or done twice.

``ACTORS`` and ``NODES`` in the environment say how many actors and nodes are killed (6 and 1).
"""

import os
import random
import signal
import threading
import time
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from cluster.sharded_world import of_bytes, rows, run_over
from rich.console import Console

from ccd_fast.cluster import passes, pool
from ccd_fast.cluster.steps import Verdict
from ccd_fast.demo import tiny_clip as demo_clip
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.world import write_world
from ccd_fast.errors import RunError
from ccd_fast.outputs import label_files, labelling
from ccd_fast.recipes import config
from ccd_fast.runs import Stages
from tests.datasets.shard_maker import write_shard

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("cache"), pytest.mark.timeout(1800)]
ACTORS, NODES = int(os.environ.get("ACTORS", "6")), int(os.environ.get("NODES", "1"))
SHARDS, SCENES = 20, 400
HALF = np.full(len(CLASS_NAMES), 0.5, dtype=np.float32)


@pytest.fixture(scope="module")
def recipe(cache):
    teacher = f"teacher.model='''{demo_clip.install(cache)}'''"
    return config.load("demo", [teacher, "labels.grids=[2]", "labels.anchors=none", "student.weights=none"])


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


OF_A_NODE = {"num_cpus": 1, "object_store_memory": 2**27}


@pytest.fixture(scope="module")
def cluster(cache):
    """A head without cores, and two nodes of one core."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ccd_fast[ray]'")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # it would write a token into the user's home
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a machine that has other work
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 2**27})
    nodes = [made.add_node(**OF_A_NODE) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False)
    yield made, nodes
    ray.shutdown()
    made.shutdown()


def actors_of(node) -> list[int]:
    """Give the processes of a node's actors: children of its raylet that say what they are."""
    (raylet,) = node.all_processes["raylet"]
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            title = (place / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == raylet.process.pid and title.startswith(b"ray::") and b"Worker(" in title:
            found.append(int(place.name))
    return found


def over_two(shards, out):
    actors = pool.connect(pool.Pool(actors=2, device="cpu"))
    return run_over(shards, out, over=partial(pool.over, actors), prompts=CLASS_NAMES)


def ends_well(shards, out, recipe) -> bool:
    """Label; where the run ends with a line, show it."""
    try:
        passes.first_labels(over_two(shards, out), recipe, Verdict(HALF))
    except RunError as error:
        print(error)
        return False
    return True


def label_until_done(shards, out, recipe) -> int:
    """Label, and as a person would, once more where a run has ended with a line. Gives how often it was run."""
    return next(times for times in range(1, 10) if ends_well(shards, out, recipe))


class Meanwhile(threading.Thread):
    """Does something each time that a few more shards are scored, so often as is asked."""

    def __init__(self, out, times, deed) -> None:
        super().__init__(daemon=True)
        self.out, self.times, self.deed, self.did, self.over = out, times, deed, 0, False

    def run(self) -> None:
        generator, wanted = random.Random(0), 2
        while self.did < self.times and not self.over:
            if len(list(self.out.glob("done/scores/*.json"))) >= wanted and self.deed():
                self.did += 1
                wanted += generator.randrange(1, 3)
            time.sleep(0.05)


def killing(kill, wanted, shards, recipe, expected, tmp_path, run=0) -> tuple[int, int]:
    """Label while something is killed, again and again until it was often enough. Gives how often, and the outputs."""
    out = tmp_path / str(run)
    out.mkdir()
    killer = Meanwhile(out, wanted, kill)
    killer.start()
    times = label_until_done(shards, out, recipe)
    killer.over = True
    killer.join()
    print(f"\n{killer.did} killed, {times} runs")
    assert killer.did > 0
    assert rows(out) == expected
    if killer.did >= wanted:
        return killer.did, 1
    more, outputs = killing(kill, wanted - killer.did, shards, recipe, expected, tmp_path, run + 1)
    return killer.did + more, outputs + 1


def test_whatever_actors_die_two_nodes_give_the_labels_of_one_process(
    cluster, shards, recipe, expected, tmp_path, counts
):
    def kill() -> bool:
        alive = [pid for node in cluster[1] for pid in actors_of(node)]
        if alive:
            os.kill(alive[0], signal.SIGKILL)
        return bool(alive)

    died, outputs = killing(kill, ACTORS, shards, recipe, expected, tmp_path)
    counts |= {"actor_deaths": died, "outputs_that_ended_equal_to_one_process": outputs}


def test_a_node_that_dies_takes_no_shard_with_it(cluster, shards, recipe, expected, tmp_path, counts):
    made, nodes = cluster

    def kill() -> bool:
        made.remove_node(nodes[1], allow_graceful=False)
        with mock.patch("ray._private.utils.set_sigterm_handler"):  # which no thread but the first may set
            nodes[1] = made.add_node(**OF_A_NODE)
        return True

    died, outputs = killing(kill, NODES, shards, recipe, expected, tmp_path)
    counts |= {"node_deaths": died, "outputs_after_node_deaths_that_ended_equal": outputs}
