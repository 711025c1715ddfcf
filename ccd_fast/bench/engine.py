"""``ccd-fast bench engine``: images/s and FLOP/s of a teacher's image tower, by runtime, precision and batch size."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ccd_fast import engines
from ccd_fast.bench import measure
from ccd_fast.engines import DTYPES, EmbedPixels, EngineSettings, ImageTower, Precision, Store, ceilings
from ccd_fast.errors import UserError


@dataclass(frozen=True)
class Row:
    """One engine, measured.

    Attributes:
        runtime: its name.
        precision: of its arithmetic.
        batch_size: views in a call.
        ready_s: seconds until the first batch was out: load, compile and warm-up, without a build that was kept.
        timing: of one call.
        images_per_second: median.
        flops: FLOP/s at that rate, by the operations that the graph needs.
        of_matmul: flops over what a matrix product of the same precision reaches on this device.
        difference: largest difference of an embedding's entry from the first engine's; None for the first.
        cuda_graph: whether each call replays a captured CUDA graph.
    """

    runtime: str
    precision: str
    batch_size: int
    ready_s: float
    timing: measure.Timing
    images_per_second: float
    flops: float
    of_matmul: float
    difference: float | None
    cuda_graph: bool

    def record(self) -> dict[str, Any]:
        """Give what a JSON file keeps."""
        return {**dataclasses.asdict(self), "timing": self.timing.record()}


def operations(tower: ImageTower) -> int:
    """Count the floating-point operations of one view, by running the tower's graph without its numbers.

    A multiplication and an addition are two; only products and convolutions count, and of an attention pool only the
    query that is used.
    """
    return ceilings.operations(EmbedPixels(tower), tower.image_size)


def bench(
    tower: ImageTower,
    runtimes: Sequence[str],
    precisions: Sequence[Precision],
    batch_sizes: Sequence[int],
    device: str,
    store: Store,
    repeats: int = measure.REPEATS,
) -> tuple[list[Row], dict[str, str], dict[str, float]]:
    """Measure every combination that can run here; combinations of one batch size take turns.

    Args:
        tower: the image tower.
        runtimes: names of :data:`ccd_fast.engines.RUNTIMES`.
        precisions: to try with each.
        batch_sizes: to try with each.
        device: ``"cpu"`` or ``"cuda"``.
        store: where engines are kept.
        repeats: rounds that count.

    Returns:
        The rows; why the other combinations cannot run, by name; and the rate of a matrix product by precision, FLOP/s.

    Raises:
        UserError: no combination can run here.
    """
    rates: dict[str, float] = {p: measure.matmul_rate(device, DTYPES[p], repeats) for p in precisions}
    work = operations(tower)
    rows: list[Row] = []
    refused: dict[str, str] = {}
    for batch_size in batch_sizes:
        opened: dict[tuple[str, Precision], tuple[engines.ImageEngine, float]] = {}
        pixels = torch.randint(0, 256, (batch_size, tower.image_size, tower.image_size, 3), dtype=torch.uint8)
        pixels = pixels.to(device)
        for runtime in runtimes:
            for precision in precisions:
                settings = EngineSettings(runtime, precision, batch_size, device, torch.get_num_threads())
                try:
                    opened[runtime, precision] = _ready(tower, settings, pixels, store)
                except Exception as error:  # noqa: BLE001  a runtime that fails must not end the table
                    refused[f"{runtime} {precision} {batch_size}"] = str(error).strip().splitlines()[0]
        calls = {" ".join(way): partial(engine.embed, pixels) for way, (engine, _) in opened.items()}
        timings = measure.in_turn(calls, repeats, device=device)
        first: torch.Tensor | None = None
        for (runtime, precision), (engine, ready) in opened.items():
            timing = timings[f"{runtime} {precision}"]
            embeddings = engine.embed(pixels).cpu()
            difference = None if first is None else float((embeddings - first).abs().max())
            first = embeddings if first is None else first
            rate = batch_size / timing.median
            share = rate * work / rates[precision]
            figures = (ready, timing, rate, rate * work, share, difference, replays_a_graph(engine))
            rows.append(Row(runtime, precision, batch_size, *figures))
    if not rows:
        raise UserError("no runtime can be measured here: " + "; ".join(f"{n}: {why}" for n, why in refused.items()))
    return rows, refused, rates


def replays_a_graph(engine: engines.ImageEngine) -> bool:
    """Tell whether an engine's calls, or the engine itself, say that they replay a CUDA graph."""
    return any(getattr(part, "replays", False) for part in (engine, *vars(engine).values()))


def _ready(
    tower: ImageTower, settings: EngineSettings, pixels: torch.Tensor, store: Store
) -> tuple[engines.ImageEngine, float]:
    """Open an engine and run it once; the export to ONNX or the plan, which is kept, is not counted."""
    settings = engines.resolve(settings)
    if (make := engines.RUNTIMES[settings.runtime].build) is not None:
        make(tower, settings, store)
    start = time.perf_counter()
    engine = engines.open_engine(tower, settings, store)
    engine.embed(pixels).cpu()
    return engine, time.perf_counter() - start
