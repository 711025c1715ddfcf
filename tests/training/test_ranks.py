"""A run on several processes: the labels of one, bit for bit, and nothing lost where one of them dies."""

import json
import multiprocessing
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from same_bits import assert_equal, remains

from ccd_fast.datasets import Source
from ccd_fast.errors import RunError, UserError
from ccd_fast.machine import ranks as ranks_module
from ccd_fast.machine.ranks import ALONE, Ranks, join, lost
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.runs.tables import InMemory
from ccd_fast.student import reading
from ccd_fast.teacher.clip import Teacher
from ccd_fast.training import run as training

BLOCK = 4
STILL = ("train.backbone_learning_rate=0", "train.head_learning_rate=1e-30")
"""The student stays as it began, so that whatever differs is not its doing."""
KNOBS = (
    "student.weights=none",
    "student.image_size=64",
    "train.batch_size=5",
    "train.epochs=3",
    "relabel.epochs=1",
    "labels.anchors=none",
)
MORE = ("relabel.min_tau=0.0", "relabel.cache_mib=0", "views.backend=pillow", "train.save_minutes=0.00000001")
GONE = 3

pytestmark = [pytest.mark.usefixtures("cache"), pytest.mark.skipif(os.name != "posix", reason="processes of POSIX")]
context = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module")
def source(photo_folder, tmp_path_factory):
    """The folder of photographs, one of them damaged."""
    root = tmp_path_factory.mktemp("ranks") / "photos"
    shutil.copytree(photo_folder, root)
    (root / "images" / "part1" / "001.jpg").write_bytes(b"\xff\xd8 not whole")
    return Source("folder", root, root / "classes.txt", root / "labels.csv")


def go(source: Source, clip: Path, out: Path, knobs: tuple[str, ...], resume: bool, ranks: Ranks = ALONE) -> None:
    teacher = (f"teacher.model='''{clip}'''", "teacher.batch_size=4")
    recipe = config.load("folder", [*teacher, "student.backbone=test_resnet", *KNOBS, *MORE, *knobs])
    folder = RunFolder(out, ranks)
    stages = Stages(Console(file=StringIO()), folder.add_metrics)
    with torch.random.fork_rng(devices=[]):
        training.train(source, recipe, folder, stages, resume=resume)


def small_blocks() -> None:
    """Decode few photographs at a time, so that each process has several batches."""
    reading.LOAD_BATCH = BLOCK


def deadly(call, calls, last: int):
    """Give a function that kills its process instead of answering where the count of calls has come to the last."""

    def counted(*arguments):
        if next(calls) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)

    return counted


def one_of(run, rank: int, size: int, port: int, dies: tuple[int, int]) -> None:
    """Be one of several processes; one rank dies at a step or a look of the teacher, counted together, if it is to."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size)}
    small_blocks()
    ranks, _ = join("cpu") if size > 1 else (ALONE, "cpu")
    torch.set_num_threads(1)
    if rank == dies[0]:
        calls = iter(range(1, 10**9))
        for owner, name in ((training.Trainer, "step"), (Teacher, "similarities")):
            setattr(owner, name, deadly(getattr(owner, name), calls, dies[1]))
    try:
        run(ranks=ranks)
    except RunError:
        os._exit(GONE)


NOBODY = (-1, 0)


def processes(run, size: int, dies: tuple[int, int] = NOBODY) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [context.Process(target=one_of, args=(run, rank, size, port, dies)) for rank in range(size)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    return [child.exitcode for child in children]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("items", [0, 1, 5, 32, 97])
@pytest.mark.parametrize("block", [1, 8])
def test_shares_are_whole_blocks_and_leave_nothing_out(items, size, block):
    shares = [Ranks(rank, size).share(items, block) for rank in range(size)]
    assert [item for share in shares for item in share] == list(range(items))
    assert all(share.start % block == 0 or not len(share) for share in shares)
    assert max(map(len, shares)) - min(map(len, shares)) < 2 * block


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_give_the_labels_of_one_bit_for_bit(source, tiny_clip, tmp_path, size):
    for count in (1, size):
        run = partial(go, source, tiny_clip, tmp_path / str(count), STILL, False)
        assert processes(run, count) == [0] * count
    one, several = remains(tmp_path / "1"), remains(tmp_path / str(size))
    assert (one["labels"]["table"] > 0).any() and "near" in one["labels"]
    for name in ("labels", "tau", "test_maps"):
        assert_equal(several[name], one[name])
    assert (tmp_path / str(size) / "quarantine.csv").read_text() == (tmp_path / "1" / "quarantine.csv").read_text()
    assert "001.jpg" in (tmp_path / "1" / "quarantine.csv").read_text()
    tables = [
        (tmp_path / str(count) / "labels" / f"epoch-{epoch:03d}.parquet").read_bytes()
        for epoch in (0, 2)
        for count in (1, size)
    ]
    assert tables[0] == tables[1]
    assert tables[2] == tables[3] != tables[0]


def test_training_on_two_is_training_on_one_but_for_the_order_of_sums(source, tiny_clip, tmp_path):
    knobs = ("student.backbone=test_convnext", "relabel.epochs=0", "train.head_learning_rate=1e-4")
    for count in (1, 2):
        assert processes(partial(go, source, tiny_clip, tmp_path / str(count), knobs, False), count) == [0] * count
    one, two = (RunFolder(tmp_path / str(count)).load_student("last") for count in (1, 2))
    first = RunFolder(tmp_path / "1").read_json("run.json")["training"]
    assert first == {"precision": "fp32", "compiled": False, "processes": 1}
    assert "batch_norm_statistics" not in RunFolder(tmp_path / "2").read_json("run.json")["training"]
    start = training.students.build("test_convnext", 4, 5.0, "none", 0).state_dict()
    moved = torch.cat([(one[name] - start[name]).flatten() for name in one])
    apart = torch.cat([(one[name] - two[name]).flatten() for name in one])
    assert apart.norm() < 0.02 * moved.norm()
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / str(count) / "metrics.jsonl").open() if '"loss"' in line]
        for count in (1, 2)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_batch_norm_of_each_process_is_said(source, tiny_clip, tmp_path):
    knobs = ("train.epochs=1",)
    assert processes(partial(go, source, tiny_clip, tmp_path / "run", knobs, False), 2) == [0, 0]
    described = RunFolder(tmp_path / "run").read_json("run.json")
    assert described["training"]["batch_norm_statistics"] == "of each process"
    assert any("BatchNorm" in line for line in described["could_differ"])


@pytest.mark.parametrize("size", [1, 2])
def test_where_one_dies_all_end_and_the_run_goes_on_with_as_many_or_fewer(source, tiny_clip, tmp_path, size):
    whole = tmp_path / "whole"
    assert processes(partial(go, source, tiny_clip, whole, STILL, False), 2) == [0, 0]
    out = tmp_path / "run"
    assert processes(partial(go, source, tiny_clip, out, STILL, False), 2, dies=(1, 11)) == [GONE, -signal.SIGKILL]
    assert processes(partial(go, source, tiny_clip, out, STILL, True), size) == [0] * size
    for name in ("labels", "tau", "test_maps"):
        assert_equal(remains(out)[name], remains(whole)[name])
    if size == 2:
        assert_equal(remains(out), remains(whole))


def test_the_published_behaviour_is_for_one_process(source, tiny_clip, tmp_path):
    with pytest.raises(UserError, match="one process"):
        training.open_passes(
            config.load("paper-voc12-official"),
            source.load("train"),
            None,
            "cpu",
            print,
            None,
            InMemory(Ranks(1, 2)),
        )


def test_a_process_that_is_gone_is_named(monkeypatch):
    monkeypatch.setattr(ranks_module, "LOOKS", 0.2)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    here = platform.node()
    monkeypatch.setattr(ranks_module, "_places", [(here, os.getpid()), (here, ended.pid), ("elsewhere", ended.pid)])
    time.sleep(0.1)
    error = RuntimeError("[gloo] connection closed by peer")
    told = "process 1 of this run has ended; what was done is kept: go on with --resume"
    assert lost(error) == told  # a zombie yet
    ended.wait()
    assert lost(error) == told
    monkeypatch.setattr(ranks_module, "_places", [(here, os.getpid()), ("elsewhere", ended.pid)])
    assert lost(error).startswith("another process of this run has ended ([gloo] connection closed by peer);")


@pytest.mark.slow
def test_torchrun_names_the_process_that_died_and_the_command_goes_on(source, tiny_clip, tmp_path):
    out = tmp_path / "run"
    knobs = [*KNOBS, *MORE, "student.backbone=test_resnet", "train.epochs=400", "teacher.batch_size=4"]
    command = ["train", "--data-root", source.root, "--classes", source.classes, "--truth", source.truth]
    command += ["--teacher", tiny_clip, "--out", out, *(word for knob in knobs for word in ("--set", knob))]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ccd_fast"]
    with (tmp_path / "log").open("w+") as log:
        run = subprocess.Popen([*map(str, [*start, *command])], stdout=log, stderr=subprocess.STDOUT, text=True)
        until = time.monotonic() + 150
        while not (out / "checkpoints" / "state.pt").is_file() and run.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        for place in Path("/proc").glob("[0-9]*"):
            try:
                environment = (place / "environ").read_bytes().split(b"\0")
                words = (place / "cmdline").read_bytes()
            except OSError:
                continue
            if b"RANK=1" in environment and str(out).encode() in words:
                os.kill(int(place.name), signal.SIGKILL)
        code = run.wait(120)
        log.seek(0)
        said = log.read()
    assert code != 0
    assert "rank      : 1" in said, said[-3000:]
    assert "process 1 of this run has ended" in said or "interrupted" in said
