"""A process that has loaded everything, and forks: each child is one ``ccd-fast``, which may be killed on its way.

Starting Python and loading torch takes seconds; a child that is forked begins at once. It has one thread, and so has
this process whenever it forks. What a killed child has started itself comes to this process, which waits for its end.

A line of JSON on standard input asks, a line on standard output answers. In another mount namespace (``unshare -Urm``)
the folder of ``--disk`` is a small disk of its own.
"""

import atexit
import contextlib
import ctypes
import importlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import traceback
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

A_SUBREAPER = 36
"""``PR_SET_CHILD_SUBREAPER``: orphans below this process become its children."""
PATIENCE = 20.0
"""Seconds in which what a killed child has started must have ended by itself."""
LOOKS = 5
"""Milliseconds between two looks at a child that is to be killed."""
JUMPS = (-1e8, -3600.0, 0.0, 0.0, 3600.0, 1e8)
"""Seconds by which a clock that jumps is wrong, each time that it is asked."""
LOADED = (
    *("ccd_fast.cli.app", "ccd_fast.training", "ccd_fast.outputs.labelling", "ccd_fast.outputs.export"),
    *("ccd_fast.cluster.passes", "ccd_fast.cluster.pool", "ccd_fast.cluster.output", "ccd_fast.report.page"),
    *("ccd_fast.report.review", "ccd_fast.studies.study", "ccd_fast.views.pillow", "ccd_fast.views.apart"),
    *("ccd_fast.demo.story", "open_clip", "pyarrow.parquet", "fsspec.implementations.local"),
)


def load(names: list[str]) -> None:
    """Import modules, as far as they can be, but for those that start a thread when they are imported."""
    for name in names:
        if name not in sys.modules and not name.startswith("onnxruntime"):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def small_steps() -> None:
    """Change what makes a small world too quick to be killed in its midst, and what a test has no use for."""
    from ccd_fast.cluster import pool
    from ccd_fast.cluster.worker import Worker
    from ccd_fast.outputs import trained
    from ccd_fast.recipes import knobs
    from ccd_fast.student import reading

    def here(of_pool: Any, shards: Any, step: Any) -> Any:
        worker = Worker(step)
        return map(worker.report, shards)

    knobs.FEW_CLASSES = 0
    reading.LOAD_BATCH = 4
    trained.keep_engine = lambda run: None  # type: ignore[assignment]  # `export` and the teacher's engine stand for it
    pool.connect = lambda asked: asked
    pool.over = here
    os.fsync = lambda handle: None  # SIGKILL takes nothing from the system's own memory


def jumping(seed: int) -> None:
    """Let the clock on the wall jump to and fro, by hours and by years."""
    by, real = random.Random(seed), time.time
    time.time = lambda: real() + by.choice(JUMPS)
    fake = SimpleNamespace(now=lambda *zone: datetime.fromtimestamp(time.time(), *zone))
    for module in ("ccd_fast.runs.lock",):
        sys.modules[module].datetime = fake  # type: ignore[attr-defined]


def be(words: list[str], asked: dict[str, Any], said: str) -> None:
    """Be ``ccd-fast`` with some words; never returns."""
    from ccd_fast.cli.app import main

    code: Any = 99
    try:
        os.setsid()
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(handle, stream)
        os.environ |= asked.get("environment", {})
        if "clock" in asked:
            jumping(asked["clock"])
        sys.argv = ["ccd-fast", *words]
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:  # noqa: BLE001 - a child must not go on as its parent
            traceback.print_exc()
        if "modules" in asked:
            Path(asked["modules"]).write_text(json.dumps(sorted(sys.modules)))
        atexit._run_exitfuncs()
        sys.stdout.flush()
    finally:
        os._exit(code if isinstance(code, int) else 98)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Run commands side by side; kill them once they have worked for so many seconds, if it is asked."""
    if "disk" in asked:
        size = f"remount,size={asked['disk']}"
        subprocess.run(["mount", "-o", size, asked["at"]], check=True)
        return {}
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads: a fork would leave their locks held"
    children = []
    for number, words in enumerate(asked["commands"]):
        said = f"{asked['said']}-{number}"
        child = os.fork()
        if not child:
            be(words, asked, said)
        children.append((child, said))
    ends = [_end_of(child, said, asked.get("after")) for child, said in children]
    if "modules" in asked:
        load(json.loads(Path(asked["modules"]).read_text()))
    return {"ends": ends, "left": _left()}


def _end_of(child: int, said: str, after: float | None) -> dict[str, Any]:
    handle = os.pidfd_open(child)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    while after is not None and not poll.poll(LOOKS):
        if _worked(child) >= after:
            os.kill(child, signal.SIGKILL)
            break
    os.close(handle)
    _, status, spent = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    words = Path(said).read_text(errors="replace") if Path(said).exists() else ""
    worked = spent.ru_utime + spent.ru_stime
    return {"code": code, "killed": code == -signal.SIGKILL, "worked": worked, "said": words}


def _worked(child: int) -> float:
    """Give the seconds of a processor that a child has had: a machine that is busy stretches the others."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _left() -> int:
    """Wait for what the children have started, and count what does not end by itself."""
    until = time.monotonic() + PATIENCE
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
    left = [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return len(left)


def serve() -> None:
    """Answer until nobody asks any more."""
    if len(sys.argv) > 1:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", sys.argv[1]], check=True)
    ctypes.CDLL(None).prctl(A_SUBREAPER, 1, 0, 0, 0)
    os.environ["HF_HUB_OFFLINE"] = "1"
    load([*LOADED])
    import torch

    torch.set_num_threads(1)
    small_steps()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    serve()
