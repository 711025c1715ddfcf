"""The teacher's engines alone, all of one teacher in one process: crops a second, and what the host waits for."""

import statistics
import time
import traceback
from typing import Any

import torch

from card import timing
from card.setting import Setting
from ccd_fast import engines
from ccd_fast.bench.engine import operations, replays_a_graph
from ccd_fast.engines import ImageEngine
from ccd_fast.engines.streams import FixedCall
from ccd_fast.errors import RunError, UserError

EAGER = "torch"
CALLS = 5
"""Calls whose return to the host is timed."""


def measure(setting: Setting) -> None:
    """Measure eager PyTorch at one batch size, then every other runtime that works here at several."""
    ledger = setting.ledger
    start = time.monotonic()
    work = operations(setting.clip.tower)
    ledger.figure("the teacher is loaded", time.monotonic() - start, "s", setting.clip.name, flop_per_crop=work)
    wanted = [(EAGER, setting.sizes.batches[-1])]
    for name, runtime in engines.RUNTIMES.items():
        if name == EAGER:
            continue
        if why := runtime.problem(setting.device, setting.precision):
            ledger.left_out(name, why)
            continue
        wanted += [(name, batch) for batch in setting.sizes.batches]
    failed = [f"{name} at {batch}" for name, batch in wanted if not tried(setting, name, batch, work)]
    if failed:
        raise RuntimeError(f"engines failed: {', '.join(failed)}; see the log")


def tried(setting: Setting, runtime: str, batch: int, work: int) -> bool:
    """Measure an engine; tell whether it did not fail, so that the others have their turn in any case."""
    what = f"{runtime} {setting.precision}, batch {batch}"
    try:
        one(setting, runtime, batch, work, what)
    except (UserError, RunError) as refused:
        setting.ledger.left_out(what, refused)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        setting.ledger.left_out(what, f"{type(error).__name__}: {error}")
        return False
    return True


def one(setting: Setting, runtime: str, batch: int, work: int, what: str) -> None:
    """Open an engine, measure it between two matrix products, and keep it for the passes."""
    before = compiled()
    start = time.monotonic()
    engine = setting.open_engine(runtime, batch)
    pixels = crops(batch, engine.image_size, setting.device)
    engine.embed(pixels).cpu()
    ready, warm = time.monotonic() - start, compiled()
    first = setting.product_rate()
    found = [batch / each for each in timing.steady(lambda: engine.embed(pixels), setting.device, setting.sizes.work)]
    product = (first + setting.product_rate()) / 2
    rate = min(found)
    for rows in (batch // 2 + 1, batch + 1):  # one that must be padded, and one that needs two calls
        engine.embed(pixels[:1].expand(rows, -1, -1, -1).contiguous())
    timing.wait(setting.device)
    setting.engines.append((engine, rate))
    setting.ledger.figure(
        what,
        rate,
        "crops/s",
        f"{rate * work / product:.0%} of a matrix product just before and after; the slower repeat",
        repeats=found,
        flops=rate * work,
        product_flops=product,
        ready_s=ready,
        cuda_graph=replays_a_graph(engine) or owns_its_capture(engine),
        own_capture=owns_its_capture(engine),
        host_returns_after_s=returns_after(engine, pixels, setting.device),
    )
    if "compiled" in runtime:
        again = compiled() - warm
        setting.ledger.figure(f"{what}: compiled again", again, "times", f"wanted: 0; at the opening {warm - before}")


def crops(count: int, side: int, device: str) -> torch.Tensor:
    """Draw crops, (M, S, S, 3) uint8: random, as black ones draw less power and so run faster."""
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, device=device)


def compiled() -> int:
    """Count the graphs that ``torch.compile`` has made in this process."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def owns_its_capture(engine: ImageEngine) -> bool:
    """Tell whether an engine, or a part of it, replays a graph of ccd_fast's own capture, in fixed buffers."""
    parts: list[Any] = list(vars(engine).values())
    parts += [value for part in parts for value in getattr(part, "__dict__", {}).values()]
    return any(part.replays for part in parts if isinstance(part, FixedCall))


def returns_after(engine: ImageEngine, pixels: torch.Tensor, device: str) -> float:
    """Time a call until the host may go on, in seconds: near the call's whole time where it waits for the device."""
    seconds = []
    for _ in range(CALLS):
        timing.wait(device)
        start = time.perf_counter()
        engine.embed(pixels)
        seconds.append(time.perf_counter() - start)
    timing.wait(device)
    return statistics.median(seconds)
