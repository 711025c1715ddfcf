"""``--on ray``: two actors on this machine give the labels of one process; what cannot be is refused in a line."""

import json
import os
from collections import Counter

import pytest
from cluster.sharded_world import of_bytes, rows, write_shards

from ccd_fast.cluster import pool
from ccd_fast.cluster.shards import Shard

pytestmark = pytest.mark.usefixtures("cache")
HALF = ("--threshold", "0.5")
BARE = ("--set", "labels.anchors=none")
"""What the tests' own fixture says, said to the actors too, which are other processes."""


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
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ccd_fast[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # it would write a token into the user's home
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a machine that has other work
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=2**27, log_to_driver=False)
    yield
    ray.shutdown()


def test_two_actors_give_the_labels_of_one_process_to_the_bit(ccd, asked, cluster, tmp_path):
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
