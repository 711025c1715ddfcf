"""Where a relabel pass spends its time on a card, and for what share of it the card was idle, by the torch profiler."""

import argparse
import gzip
import json
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.profiler import ProfilerActivity, profile, record_function

from ccd_fast.bench import measure
from ccd_fast.bench.load import open_load
from ccd_fast.datasets.voc import CLASS_NAMES
from ccd_fast.demo import drawing, tiny_clip
from ccd_fast.runs.progress import Stages

MARK = "relabel pass"
ON_CARD = ("kernel", "gpu_memcpy", "gpu_memset")
"""Categories of the profiler's events that are work of the card."""
SHOWN = 25
"""Kernels that are kept, those that took longest."""
LONGEST_NAME = 120
LARGEST_TRACE = 12 * 2**20
"""Bytes of a compressed trace that is kept."""

Spans = list[tuple[float, float]]


def options() -> argparse.ArgumentParser:
    """Give the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(",")[0])
    parser.add_argument("--data-root", type=Path, help="folder of photographs; by default scenes of the demo world")
    parser.add_argument("--images", type=int, default=512, help="photographs, the first by name")
    parser.add_argument("--teacher", help="as for ccd-fast bench relabel; by default the demo's CLIP")
    parser.add_argument("--batch-size", type=int, default=16, help="crops in a call of the engine")
    parser.add_argument("--student", default="tf_efficientnet_lite0", help="a CNN of timm")
    parser.add_argument("--image-size", type=int, default=224, help="side of the student's view in pixels")
    parser.add_argument("--views", default="auto", help="auto, dali or pillow")
    parser.add_argument("--device", default="cuda", help="cpu, cuda or cuda:N")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    return parser


def union(spans: Iterable[tuple[float, float]], low: float, high: float) -> float:
    """Give the time between two moments that at least one span covers."""
    covered, end = 0.0, low
    for first, last in sorted(spans):
        first, last = max(first, end), min(last, high)
        covered += max(last - first, 0.0)
        end = max(end, last)
    return covered


def read_trace(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Read a pass's work out of the profiler's events.

    Args:
        events: ``traceEvents`` of a Chrome trace: times in microseconds.

    Returns:
        ``seconds`` of the pass; ``busy`` and ``idle``, shares of it, None where the card did nothing that was seen;
        ``busy_by_stream``; and ``kernels``, the longest by name.
    """
    marks = [event for event in events if event.get("name") == MARK and event.get("cat") == "user_annotation"]
    if len(marks) != 1:
        raise ValueError(f"the trace has {len(marks)} marks of the pass")
    low = float(marks[0]["ts"])
    high = low + float(marks[0]["dur"])
    of_stream: dict[str, Spans] = defaultdict(list)
    by_kernel: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") in ON_CARD and low <= float(event["ts"]) < high:
            begin, lasts = float(event["ts"]), float(event["dur"])
            of_stream[str(event.get("args", {}).get("stream", event.get("tid")))].append((begin, begin + lasts))
            by_kernel[str(event["name"])[:LONGEST_NAME]].append(lasts)
    busy = union((span for spans in of_stream.values() for span in spans), low, high) / (high - low)
    longest = sorted(by_kernel.items(), key=lambda item: -sum(item[1]))[:SHOWN]
    return {
        "seconds": (high - low) / 1e6,
        "busy": busy if of_stream else None,
        "idle": 1 - busy if of_stream else None,
        "busy_by_stream": {stream: union(spans, low, high) / (high - low) for stream, spans in of_stream.items()},
        "kernels": [{"name": name, "seconds": sum(times) / 1e6, "calls": len(times)} for name, times in longest],
    }


def profiled(call: Any, device: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """Run something once under the profiler; give what :func:`read_trace` finds, and the trace."""
    cuda = torch.device(device).type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler, record_function(MARK):
        call()
        if cuda:
            torch.cuda.synchronize(device)
    trace = folder / "trace.json"
    profiler.export_chrome_trace(str(trace))
    return read_trace(json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]), trace


def main() -> None:
    """Profile, print and write; a trace that is not too large goes into $ON_A_CARD_FOLDER, where that is set."""
    given = options().parse_args()
    root = given.data_root or drawing.draw(0, Stages(Console(stderr=True)), given.images, 0).root
    teacher = given.teacher or str(tiny_clip.install())
    how = (given.batch_size, given.student, "none", given.image_size, given.views)
    load = open_load(root, given.images, CLASS_NAMES, teacher, *how, device=given.device)
    for _ in range(2):
        load.update()
    plain = [measure.time_once(load.update, given.device) for _ in range(3)]
    with tempfile.TemporaryDirectory() as work:
        found, trace = profiled(load.update, given.device, Path(work))
        folder, packed = os.environ.get("ON_A_CARD_FOLDER"), gzip.compress(trace.read_bytes(), 6)
        if folder and found["busy"] is not None and len(packed) <= LARGEST_TRACE:
            (Path(folder) / "relabel-trace.json.gz").write_bytes(packed)
    found["seconds_without_profiler"] = statistics.median(plain)
    if found["busy"] is not None:  # the profiler slows the host, and so the card waits longer than without it
        busy_seconds = found["busy"] * found["seconds"]
        found["idle_without_profiler"] = max(1 - busy_seconds / found["seconds_without_profiler"], 0.0)
    facts = {"device": given.device, "teacher": load.teacher_name, "engine": load.teacher.engine.runtime}
    result = {**facts, "images": len(load.images), "views": load.backend.name, **found}
    print(measure.as_json(result))
    measure.save(result, given.out)


if __name__ == "__main__":
    main()
