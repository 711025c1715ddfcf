"""Training by torchrun on two nodes, two rendezvous ends on this machine, for ``make test-faults`` (docs/SCALE.md)."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from same_bits import assert_equal, remains
from test_ranks import KNOBS, MORE, STILL

if not Path(f"/proc/self/task/{os.getpid()}/children").is_file():
    pytest.skip("this system does not say which processes a node has started", allow_module_level=True)
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
LONG = ("train.epochs=6", "relabel.epochs=2")
THE_SAME = ("labels", "tau", "test_maps")


def tree(pid: int) -> list[int]:
    """Give a process and all below it: torchrun puts what it starts into groups of their own."""
    below = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(each for file in below for child in file.read_text().split() for each in tree(int(child)))]


def power_off(node: "subprocess.Popen[bytes]") -> None:
    """End all of a node at once, as a machine that loses its power does."""
    for pid in tree(node.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def node(photo_folder, tiny_clip, cache):
    """Start one node of a run."""
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
        started.append(subprocess.Popen([*map(str, [*launched, *command])], stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            power_off(process)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run(node, out, nodes, *more) -> None:
    port = free_port()
    ends = [node(out, number, nodes, port, *more) for number in range(nodes)]
    assert [end.wait(600) for end in ends] == [0] * nodes, (out.parent / f"{out.name}-0.log").read_text()[-3000:]


@pytest.fixture(scope="module")
def one(node, tmp_path_factory):
    """What a run on one machine leaves."""
    out = tmp_path_factory.mktemp("nodes") / "one"
    run(node, out, 1)
    return remains(out)


def test_two_nodes_are_one_machine(node, one, tmp_path):
    run(node, tmp_path / "two", 2)
    two = remains(tmp_path / "two")
    for name in THE_SAME:
        assert_equal(two[name], one[name])


@pytest.mark.parametrize("then", [1, 2])
def test_where_a_node_dies_the_others_stop_and_so_many_go_on(node, one, tmp_path, then):
    out, port = tmp_path / "dies", free_port()
    ends = [node(out, number, 2, port) for number in range(2)]
    until = time.monotonic() + 600
    while not (out / "checkpoints" / "state.pt").is_file() and time.monotonic() < until:
        time.sleep(0.05)
    power_off(ends[1])
    assert ends[0].wait(600) not in (0, None)
    assert not (out / "summary.json").exists(), "it had ended before the node died"
    run(node, out, then, "--resume")
    for name in THE_SAME:
        assert_equal(remains(out)[name], one[name])
