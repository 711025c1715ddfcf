"""What a trace of the profiler says: when the card worked, and what the host did when it did not."""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MARK = "relabel pass"
ON_CARD = ("kernel", "gpu_memcpy", "gpu_memset")
"""Categories of the profiler's events that are work of the card."""
ON_HOST = ("cpu_op", "cuda_runtime", "cuda_driver")
"""And those of the host."""
GAP = 100.0
"""Microseconds from which a gap between the card's works is looked at."""
SHOWN = 15
"""Kernels, and doings of the host in gaps, that are kept."""
LONGEST_NAME = 120
Span = tuple[float, float]
Event = Mapping[str, Any]


def read_trace(events: Sequence[Event]) -> dict[str, Any]:
    """Read a pass's work out of the profiler's events.

    Args:
        events: ``traceEvents`` of a Chrome trace: times in microseconds.

    Returns:
        ``seconds`` of the pass; ``busy``, the share of it in which the card worked, None where no work of it was seen;
        ``busy_by_stream``; ``kernels``, the longest by name; ``gaps``, how many there were of more than :data:`GAP`,
        and their share of the pass; and ``host_in_gaps``, the share of the pass in gaps by what the host did then.
    """
    marks = [event for event in events if event.get("name") == MARK and event.get("cat") == "user_annotation"]
    if len(marks) != 1:
        raise ValueError(f"the trace has {len(marks)} marks of the pass")
    low = float(marks[0]["ts"])
    high = low + float(marks[0]["dur"])
    of_stream: dict[str, list[Span]] = defaultdict(list)
    by_kernel: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") in ON_CARD and low <= float(event["ts"]) < high:
            begin, lasts = float(event["ts"]), float(event["dur"])
            of_stream[str(event.get("args", {}).get("stream", event.get("tid")))].append((begin, begin + lasts))
            by_kernel[str(event["name"])[:LONGEST_NAME]].append(lasts)
    spans = merged((span for spans in of_stream.values() for span in spans), low, high)
    length = high - low
    longest = sorted(by_kernel.items(), key=lambda item: -sum(item[1]))[:SHOWN]
    idle = [gap for gap in between(spans, low, high) if gap[1] - gap[0] > GAP] if spans else []
    doing = sorted(host_during(events, idle).items(), key=lambda item: -item[1])[:SHOWN]
    return {
        "seconds": length / 1e6,
        "busy": covered(spans) / length if spans else None,
        "busy_by_stream": {s: covered(merged(own, low, high)) / length for s, own in of_stream.items()},
        "kernels": [{"name": name, "seconds": sum(times) / 1e6, "calls": len(times)} for name, times in longest],
        "gaps": {"count": len(idle), "share": covered(idle) / length},
        "host_in_gaps": {name: micros / length for name, micros in doing},
    }


def merged(spans: Iterable[Span], low: float, high: float) -> list[Span]:
    """Join spans that overlap, between two moments."""
    found: list[Span] = []
    for first, last in sorted(spans):
        first, last = max(first, low), min(last, high)
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        elif last > first:
            found.append((first, last))
    return found


def covered(spans: Iterable[Span]) -> float:
    """Give the time that spans, none of which overlap, take together."""
    return sum(last - first for first, last in spans)


def between(spans: Sequence[Span], low: float, high: float) -> list[Span]:
    """Give the gaps between joined spans, and before and behind them."""
    edges = [low, *(moment for span in spans for moment in span), high]
    return [(edges[k], edges[k + 1]) for k in range(0, len(edges), 2) if edges[k + 1] > edges[k]]


def host_during(events: Sequence[Event], gaps: Sequence[Span]) -> dict[str, float]:
    """Give the microseconds of gaps by what the host did at their middle.

    That is the shortest of its events that spans the middle, on any thread; ``Python`` where there is none.
    """
    found: dict[str, float] = defaultdict(float)
    best: list[tuple[float, str]] = [(float("inf"), "Python, or waiting outside torch")] * len(gaps)
    middles = [(first + last) / 2 for first, last in gaps]
    for event in events:
        if event.get("cat") not in ON_HOST:
            continue
        begin, lasts = float(event["ts"]), float(event["dur"])
        for place in range(bisect.bisect_left(middles, begin), bisect.bisect_right(middles, begin + lasts)):
            best[place] = min(best[place], (lasts, str(event["name"])[:LONGEST_NAME]))
    for (first, last), (_, name) in zip(gaps, best, strict=True):
        found[name] += last - first
    return dict(found)
