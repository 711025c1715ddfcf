"""``--on ray``: two nodes on this machine give what one process gives; what cannot be is refused in a line."""

import io
import json
import os
from collections import Counter

import pytest
from cluster.sharded_world import of_bytes, rows, write_shards
from rich.console import Console

from ccd_fast.cluster import pool
from ccd_fast.cluster.shards import Shard
from ccd_fast.datasets import Source
from ccd_fast.recipes import config
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.training import train

pytestmark = pytest.mark.usefixtures("cache")
HALF = ("--threshold", "0.5")
BARE = ("--set", "labels.anchors=none")
"""What the tests' own fixture says, said to the actors too, which are other processes."""
SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "student.runtime=onnxruntime",
         "train.epochs=2", "train.warmup_epochs=1", "train.batch_size=16", "relabel.min_tau=0.0")  # fmt: skip


@pytest.fixture(scope="module")
def shards(photo_folder, tmp_path_factory):
    return write_shards(photo_folder / "images", tmp_path_factory.mktemp("shards"), 4)


@pytest.fixture
def asked(shards, photo_folder, tiny_clip):
    named = {"--data-root": shards, "--classes": photo_folder / "classes.txt", "--teacher": tiny_clip}
    words = [word for pair in named.items() for word in pair]
    return [
        "label",
        *words,
        "--dataset",
        "webdataset",
        "--set",
        "teacher.batch_size=8",
        *BARE,
        "--device",
        "cpu",
        *HALF,
    ]


@pytest.fixture(scope="module")
def cluster(cache):
    """Two nodes of one core each."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ccd_fast[ray]'")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # it would write a token into the user's home
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a machine that has other work
    each = {"num_cpus": 1, "object_store_memory": 2**27}
    made = Cluster(initialize_head=True, head_node_args={**each, "include_dashboard": False})
    made.add_node(**each)
    ray.init(address=made.address, log_to_driver=False)
    yield
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def run(shards, photo_folder, tiny_clip, cache, tmp_path_factory):
    """A run over the shards, whose student is run by its engine, as over shards."""
    knobs = [f"teacher.model='''{tiny_clip}'''", "teacher.batch_size=8", "labels.anchors=none", *SMALL]
    out = RunFolder(tmp_path_factory.mktemp("trained") / "run")
    source = Source("webdataset", shards, photo_folder / "classes.txt")
    train(source, config.load("folder", knobs), out, Stages(Console(file=io.StringIO()), out.add_metrics))
    return out.path


def test_two_nodes_give_the_labels_of_one_process_to_the_bit(ccd, asked, cluster, tmp_path):
    assert ccd(*asked, "--out", tmp_path / "one.parquet")[0] == 2  # one photograph cannot be read
    code, out, err = ccd(*asked, "--out", tmp_path / "many", "--on", "ray", "--json")
    assert code == 2 and "damaged" not in err, err
    assert "labels: 4 of 4 shards" in err, err
    assert "4 shards, 2 actors of 1 cores and 0 GPUs" in err
    assert rows(tmp_path / "many") == of_bytes((tmp_path / "one.parquet").read_bytes())
    found = json.loads(out)
    assert (found["shards"], found["photographs"], found["unreadable"]) == (4, 37, 1)
    code, _, err = ccd(*asked, "--out", tmp_path / "many", "--on", "ray", "--incremental")
    assert "scores: 4 of 4 shards are done already" in err and "labels: 4 of 4 shards are done already" in err
    assert ccd(*asked, "--out", tmp_path / "many", "--on", "ray")[0] == 2


@pytest.mark.faults  # for its minute: over shards without Ray, test_with_a_run.py asks the same
@pytest.mark.timeout(1800)
def test_what_a_run_says_on_two_nodes_is_what_it_says_in_one_process(ccd, run, shards, cluster, tmp_path):
    tars = sorted(shards.rglob("*.tar"))
    labels = ("label", "--run", run, "--data-root", shards, "--dataset", "webdataset", "--device", "cpu", *HALF)
    predictions = ("predict", run, "--device", "cpu", "--top-k", "2")
    for one, many in ((labels, labels), ((*predictions, *tars), (*predictions, shards))):
        assert ccd(*one, "--out", tmp_path / f"{one[0]}.parquet")[0] == 2  # one photograph cannot be read
        code, _, err = ccd(*many, "--out", tmp_path / one[0], "--on", "ray")
        assert code == 2 and "4 shards, 2 actors of 1 cores" in err, err
        found = rows(tmp_path / one[0])
        assert len(found) == 37 and any(row["labels"] for row in found.values())
        assert found == of_bytes((tmp_path / f"{one[0]}.parquet").read_bytes())


def test_a_shard_is_handed_out_again_a_few_times_and_then_left(monkeypatch):
    shards, deadly, tried = [Shard(f"{n}", "tar") for n in range(5)], {"1": 1, "3": 99}, Counter()

    def some_die(of_pool, left, step):
        for shard in left:
            tried[shard.name] += 1
            if tried[shard.name] > deadly.get(shard.name, 0):
                yield {"shard": shard.name, "record": {}}

    monkeypatch.setattr(pool, "_round", some_die)
    heard = [report["shard"] for report in pool.over(pool.Pool(), shards, None)]
    assert heard == ["0", "2", "4", "1"]
    assert tried == {"0": 1, "1": 2, "2": 1, "3": pool.ROUNDS, "4": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--incremental"], "--incremental: with --on ray only"),
        (["--actors", "2", "--keep-top", "3"], "--actors, --keep-top: with --on ray only"),
        (["--on", "ray", "--format", "coco"], "--format: not with --on ray"),
        (["--on", "ray", "--labels-per-image", "2"], "--labels-per-image: not with --on ray"),
        (["--on", "dask"], "--on dask: it is ray, or ray://HOST:PORT"),
        (["--on", "ray", "--dataset", "voc12"], "--dataset voc12: over shards it is one of"),
        (["--on", "ray", "--data-root", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_over_shards_is_refused_in_a_line(ccd, asked, tmp_path, words, said):
    code, _, err = ccd(*asked, "--out", tmp_path / "out", *words)
    assert code == 2 and said in err and len(err.splitlines()) == 1


def test_thresholds_of_all_photographs_at_once_are_asked_for(ccd, asked, tmp_path):
    code, _, err = ccd(*asked[: -len(HALF)], "--out", tmp_path / "out", "--on", "ray")
    assert code == 2 and "give --threshold, or --thresholds for every class" in err


def test_without_ray_the_line_says_what_to_install(ccd, asked, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    code, _, err = ccd(*asked, "--out", tmp_path / "out", "--on", "ray")
    assert code == 2 and "pip install 'ccd_fast[ray]'" in err
