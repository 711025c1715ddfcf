"""Labels for 400 million photographs, derived from rates: the tables of docs/SCALE.md; and stragglers, simulated.

``python benchmarks/scale_on_paper.py [NAME=VALUE …]`` reads the works and rates of
``benchmarks/results/on-paper.json``, and writes ``benchmarks/results/scale-on-paper.json`` and the tables between the
marks in ``docs/SCALE.md``. NAME is a rate of :data:`RATES` or of that file. No GPU has been measured: what is not said
to be measured is published or assumed.
"""

import heapq
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from paper.rates import Rate, with_values, write_between

from ccd_fast.errors import UserError

ROOT = Path(__file__).parents[1]
PAGE, KNOWN = ROOT / "docs" / "SCALE.md", ROOT / "benchmarks" / "results" / "on-paper.json"
RESULTS = ROOT / "benchmarks" / "results" / "scale-on-paper.json"
BEGIN, END = "<!-- tables: python benchmarks/scale_on_paper.py -->", "<!-- end of the tables -->"

PHOTOGRAPHS, CLASSES, GPUS = 400_000_000, 1000, (1, 8, 64)
TEACHERS = ("ViT-B-32 at 224", "ViT-L-14 at 224")
GRIDS = ((), (2, 3))
"""The paper's whole image alone, and the folder recipe's cells of two grids beside it."""
ROUNDS = 3
"""As often a shard is handed out: ``ccd_fast.cluster.pool.ROUNDS``."""


RATES = {
    "pixels": Rate(0.28e6, "pixels a photograph", "measured: COCO photographs of `bench decode`"),
    "bytes": Rate(150e3, "bytes a photograph", "assumed: as COCO's"),
    "shard": Rate(10_000, "photographs a shard", "assumed: img2dataset's default"),
    "network": Rate(1.5e9, "bytes/s a GPU", "assumed: 100 Gbit/s for eight GPUs"),
    "start": Rate(60, "s until an actor is ready", "assumed: a teacher loaded, its engine found in the store"),
    "price": Rate(3, "USD a GPU and hour", "assumed"),
    "slow": Rate(0.05, "of the actors at half speed", "assumed"),
    "spread": Rate(0.1, "deviation of a shard's time", "assumed"),
    "deaths": Rate(500, "hours until an actor ends", "assumed"),
}


def network_seconds(work: dict[str, float], rates: dict[str, Rate]) -> float:
    """Give the seconds that a view takes a network, as docs/PERFORMANCE.md derives them."""
    arithmetic, memory = (rates[name].value for name in ("arithmetic", "memory"))
    return max(work["flop"] / arithmetic, work["traffic"] / memory) / rates["share"].value


def photograph(
    teacher: str, grids: Sequence[int], works: dict[str, dict[str, float]], rates: dict[str, Rate]
) -> dict[str, float]:
    """Give the seconds of a GPU that a photograph takes in the first pass, by part.

    Whole images and cells are two looks, as in one process: each decodes. The next shard is fetched when the last one
    is done, so that fetching is not hidden.
    """
    looks = 2 if grids else 1
    return {
        "teacher": (1 + sum(side * side for side in grids)) * network_seconds(works[teacher], rates),
        "decode": looks * rates["pixels"].value / rates["decode_gpu"].value,
        "fetch": rates["bytes"].value / rates["network"].value,
    }


def seconds(parts: dict[str, float]) -> float:
    """Give the seconds of a photograph: decoding runs beside the teacher, fetching beside nothing."""
    return max(parts["teacher"], parts["decode"]) + parts["fetch"]


def simulated(actors: int, shards: int, each: float, rates: dict[str, Rate], seed: int = 0) -> dict[str, float]:
    """Hand shards to actors, some of them slow, some of which end; give the hours, and what they would be without.

    A shard whose actor ends is handed out again once all others are done, and the actor starts anew.
    """
    generator = random.Random(seed)
    speed = [2.0 if generator.random() < rates["slow"].value else 1.0 for _ in range(actors)]
    spread, lives = rates["spread"].value, rates["deaths"].value * 3600
    left, now, ended = shards, 0.0, 0
    for _ in range(ROUNDS):
        free = [(now + rates["start"].value, n) for n in range(actors)]
        heapq.heapify(free)
        lost, last = 0, now
        for _ in range(left):
            at, n = heapq.heappop(free)
            takes = each * speed[n] * generator.lognormvariate(0, spread)
            life = generator.expovariate(1 / lives)
            if life < takes:
                lost, ended, done = lost + 1, ended + 1, at + life + rates["start"].value
            else:
                done = at + takes
            last = max(last, done)
            heapq.heappush(free, (done, n))
        left, now = lost, last
        if not left:
            break
    ideal = shards * each / actors
    return {"hours": now / 3600, "ideal_hours": ideal / 3600, "efficiency": ideal / now, "deaths": ended, "left": left}


def greedy(times: Sequence[float], actors: int) -> float:
    """Give the seconds that shards of these times take so many actors: what a local run is held against."""
    free = [0.0] * actors
    for each in times:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free)


def tables(works: dict[str, dict[str, float]], rates: dict[str, Rate]) -> tuple[list[str], list[dict[str, object]]]:
    """Give the tables of the page, and their figures."""
    shards = int(PHOTOGRAPHS / rates["shard"].value)
    figures: list[dict[str, object]] = []
    rows = [
        "| teacher | views | GPUs | photographs/s | hours | simulated | USD | bound by | network |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for teacher in TEACHERS:
        for grids in GRIDS:
            parts = photograph(teacher, grids, works, rates)
            each, views = seconds(parts), 1 + sum(side * side for side in grids)
            bound = max(parts, key=lambda part: parts[part])
            for gpus in GPUS:
                run = simulated(gpus, shards, each * rates["shard"].value, rates)
                rate = gpus / each
                cost = run["hours"] * gpus * rates["price"].value
                gigabytes = rate * rates["bytes"].value / 1e9
                rows.append(
                    f"| {teacher} | {views} | {gpus} | {rate:,.0f} | {run['ideal_hours']:,.2f} | {run['hours']:,.2f} "
                    f"| {cost:,.0f} | {bound} | {gigabytes:.1f} GB/s |"
                )
                told = {"teacher": teacher, "views": views, "gpus": gpus, "photographs_per_second": rate, "usd": cost}
                figures.append({**told, "parts": parts, "bound": bound, **run})
    known = ["| name | value | unit | where from |", "| --- | ---: | --- | --- |"]
    known += [f"| {name} | {rate.value:g} | {rate.unit} | {rate.origin} |" for name, rate in rates.items()]
    return ["**On paper**", "", *rows, "", "**Rates**", "", *known], figures


def main() -> None:
    """Derive, and write the page and the figures."""
    known = json.loads(KNOWN.read_text(encoding="utf-8"))
    rates = {name: Rate(**rate) for name, rate in known["rates"].items()} | RATES
    try:
        rates = with_values(rates, sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
    lines, figures = tables(known["works"], rates)
    write_between(PAGE, BEGIN, END, "\n".join(lines))
    content = {"rates": {name: asdict(rate) for name, rate in rates.items()}, "figures": figures}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
