"""Training by torchrun on two nodes, two rendezvous ends on this machine, for ``make test-faults`` (docs/SCALE.md)."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from test_interrupted import assert_equal, remains
from test_ranks import KNOBS, MORE, STILL

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("cache"), pytest.mark.timeout(1800)]
LONG = ("train.epochs=6", "relabel.epochs=2")


@pytest.fixture
def node(photo_folder, tiny_clip):
    """Start one node of a run, in a group of processes of its own."""
    started = []

    def start(out, number, nodes, port, *more):
        knobs = [*KNOBS, *MORE, *STILL, *LONG, "student.backbone=test_resnet", "teacher.batch_size=4"]
        place = ["--nnodes", nodes, "--node-rank", number, "--master-addr", "127.0.0.1", "--master-port", port]
        command = ["train", "--out", out, *more]
        if "--resume" not in more:
            command += ["--data-root", photo_folder, "--classes", photo_folder / "classes.txt", "--teacher", tiny_clip]
            command += [word for knob in knobs for word in ("--set", knob)]
        launched = [sys.executable, "-m", "torch.distributed.run", *place, "--nproc-per-node", 1, "-m", "ccd_fast"]
        log = (out.parent / f"{out.name}-{number}.log").open("a")
        started.append(
            subprocess.Popen([*map(str, [*launched, *command])], stdout=log, stderr=log, start_new_session=True)
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run(node, out, nodes, *more) -> None:
    port = free_port()
    ends = [node(out, number, nodes, port, *more) for number in range(nodes)]
    assert [end.wait(600) for end in ends] == [0] * nodes, (out.parent / f"{out.name}-0.log").read_text()[-3000:]


@pytest.mark.parametrize("then", [1, 2])
def test_two_nodes_are_one_machine_and_a_node_that_dies_comes_back(node, tmp_path, then):
    run(node, tmp_path / "one", 1)
    run(node, tmp_path / "two", 2)
    one, two = remains(tmp_path / "one"), remains(tmp_path / "two")
    for name in ("labels", "tau", "test_maps"):
        assert_equal(two[name], one[name])

    out, port = tmp_path / "dies", free_port()
    ends = [node(out, number, 2, port) for number in range(2)]
    until = time.monotonic() + 600
    while not (out / "checkpoints" / "state.pt").is_file() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(ends[1].pid, signal.SIGKILL)
    assert ends[0].wait(600) != 0
    run(node, out, then, "--resume")
    for name in ("labels", "tau", "test_maps"):
        assert_equal(remains(out)[name], one[name])
