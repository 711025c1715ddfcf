"""Where relabel passes spend their time on a card: how busy it is, and what the host does while it has nothing to do.

The decoder of JPEGs is no kernel and not seen here (``nvidia-smi dmon`` shows it, beside the passes), and where the
profiler's buffers overflow it drops kernels: what it calls idle is at most that.
"""

import gzip
import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from torch.profiler import ProfilerActivity, profile, record_function

from card import switches, timing
from card.relabel_passes import opened
from card.setting import Setting
from card.trace import MARK, read_trace
from card.ways import SAYS, Way, ways

LARGEST_TRACE = 12 * 2**20
"""Bytes of a compressed trace that is kept."""


def measure(setting: Setting) -> None:
    """Profile the fastest and the slowest way that was measured, or the first where none was."""
    measured = [way for way in setting.passes if way.views != "pillow"]  # which says nothing of the card
    ranked = sorted(measured, key=lambda way: setting.passes[way], reverse=True)
    chosen = dict.fromkeys([ranked[0], ranked[-1]] if ranked else [next(ways(setting))])
    for name, way in zip(("best", "worst"), chosen, strict=False):
        one(setting, name, way)


def one(setting: Setting, name: str, way: Way) -> None:
    """Profile a way; its trace is kept where it is not too large."""
    with ExitStack() as stack:
        if way.priority is not None:
            stack.enter_context(switches.priorities(way.priority, setting.device))
        stack.enter_context(switches.load_batch(way.load_batch))
        load = opened(setting, way, setting.best_engine(), setting.photographs[0])[0].first(setting.sizes.profiled)
        load.update()
        plain = min(timing.seconds(load.update, setting.device) for _ in range(2))
        with tempfile.TemporaryDirectory() as work:
            trace = profiled(load.update, setting.device, Path(work))
            found = read_trace(json.loads(trace.read_text(encoding="utf-8"))["traceEvents"])
            packed = gzip.compress(trace.read_bytes(), 6)
    if len(packed) <= LARGEST_TRACE:
        (setting.out / f"{name}-trace.json.gz").write_bytes(packed)
    busy, note = found["busy"], f"{SAYS[way.views]}; kernels only, under the profiler: no decoder of JPEGs in it"
    if busy is not None:  # the profiler slows the host, and so the card waits longer than without it
        found["busy_without_profiler"] = min(busy * found["seconds"] / plain, 1.0)
    what = f"the card works in the {name} pass: {way}"
    shown, unit = ("not seen", "") if busy is None else (round(100 * busy, 1), "% of the time")
    setting.ledger.figure(what, shown, unit, note, plain_s=plain, **found)


def profiled(call: Callable[[], object], device: str, folder: Path) -> Path:
    """Run something once under the profiler; give the trace."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.startswith("cuda") else [])]
    with profile(activities=activities) as profiler, record_function(MARK):
        call()
        timing.wait(device)
    trace = folder / "trace.json"
    profiler.export_chrome_trace(str(trace))
    return trace
