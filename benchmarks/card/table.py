"""The figures of all steps as one Markdown table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from card.running import Record

Row = tuple[str, str, str]
"""What was measured; the figure; what it is beside the ceiling that was measured, or a remark."""


def page(facts: Mapping[str, Any], records: Sequence[Record]) -> str:
    """Give the page: what it was measured on, and the table."""
    machine = facts["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine.get("packages", {}).items())
    lines = [
        f"# {machine.get('gpu', machine.get('processor', 'unknown machine'))}, {facts['date']}",
        "",
        f"By `benchmarks/on_a_card.sh --device {facts['device']}`, revision {machine.get('revision', 'unknown')}; "
        f"cores: {machine.get('cores')}, {machine.get('processor')}; CUDA {machine.get('cuda', 'none')}; {packages}. "
        "Commands, medians, n: `results.json`.",
        "",
        "| what | figure | beside what was possible; remarks |",
        "|---|---:|---|",
    ]
    for record in records:
        lines += [f"| {' | '.join(cell(text) for text in row)} |" for row in rows_of(record)]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Make a text fit into a cell."""
    return " ".join(text.replace("|", "/").split())


def rows_of(record: Record) -> list[Row]:
    """Give the rows of a step: its figures, and why there are none."""
    if record.status == "left out":
        return [(record.name, "left out", record.why)]
    rows: list[Row] = []
    if record.result:
        try:
            rows = ROWS[record.kind](record.result, record.name)
        except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
            rows = [(record.name, "not readable", f"{type(error).__name__}: {error}")]
    if record.status != "done" or not rows:
        rows = [(record.name, record.status, record.why or "no figures"), *rows]
    return rows


def share(value: float) -> str:
    """Give a share in per cent."""
    return f"{100 * value:.0f}%"


def flops(value: float) -> str:
    """Give a rate of operations."""
    return f"{value / 1e12:.1f} TFLOP/s" if value >= 1e12 else f"{value / 1e9:.0f} GFLOP/s"


def doctor(found: Mapping[str, Any], name: str) -> list[Row]:
    """What works, in one row a state."""
    by_state: dict[str, list[str]] = {}
    for part, line in found.items():
        by_state.setdefault(line["state"], []).append(
            f"{part} ({line['detail']})" if line["state"] != "works" else part
        )
    return [(f"{name}: {state}", str(len(parts)), ", ".join(parts)) for state, parts in by_state.items()]


def rates(found: Mapping[str, Any], _: str) -> list[Row]:
    """The ceilings."""
    products = [(f"matrix product, {name}", flops(rate), "ceiling") for name, rate in found["matmul_flops"].items()]
    how = {
        "within": "within the memory, read and written bytes",
        "to_the_card": "host to card",
        "to_the_host": "card to host",
    }
    copies = [
        (f"copy {how[name]}", f"{rate / 1e9:.0f} GB/s", "ceiling") for name, rate in found["copy_bytes_per_s"].items()
    ]
    return [*products, *copies]


def tests(found: Mapping[str, Any], name: str) -> list[Row]:
    """How many passed, and which did not."""
    skipped = "; ".join(f"{count} skipped: {why}" for why, count in found["skipped"].items())
    rows = [(name, f"{found['passed']} of {found['tests']} passed", skipped)]
    return rows + [(f"failed: {test}", "failed", why) for test, why in found["failed"].items()]


def kernels(found: Mapping[str, Any], _: str) -> list[Row]:
    """GB/s of each kernel beside a copy."""
    shape = f"{found['images']:,} images, {found['classes']} classes"
    return [
        (
            f"kernel {row['kernel']}, {row['dtype']}, {shape}",
            f"{row['gb_per_s']:.3g} GB/s, {row['rows_per_s']:.3g} rows/s",
            f"{share(row['share_of_copy'])} of a copy",
        )
        for row in found["kernels"]
    ]


def engine(found: Mapping[str, Any], _: str) -> list[Row]:
    """Images/s of each runtime beside a matrix product."""
    what = f"{found['teacher']}, {found['image_size']} px"
    rows = [
        (
            f"engine {what}: {row['runtime']} {row['precision']}, batch {row['batch_size']}",
            f"{row['images_per_second']:.0f} images/s, {flops(row['flops'])}",
            f"{share(row['of_matmul'])} of a matrix product{'; CUDA graph' if row.get('cuda_graph') else ''}",
        )
        for row in found["rows"]
    ]
    return rows + [(f"engine {what}: {way}", "refused", why) for way, why in found["not_measured"].items()]


def relabel(found: Mapping[str, Any], _: str) -> list[Row]:
    """The pass, its engine, and their ratio."""
    engine_ = found["engine"]
    what = f"relabel pass, {found['teacher']} ({engine_['runtime']} {engine_['precision']}), {found['student']}"
    whole, alone, unmoved = found["pass"], found["engine_alone"], found["boxes_unmoved"]
    rate, beside = found["flops"], found["of_matmul"]
    return [
        (
            f"{what}, {found['images']} images",
            f"{whole['images_per_s']:.0f} images/s, {whole['crops_per_s']:.0f} crops/s, {flops(rate['pass'])}",
            f"{share(beside['pass'])} of a matrix product; efficiency {share(found['efficiency'])} (wanted: 90%)",
        ),
        (
            f"the engine alone on its {found['distinct_crops']} crops",
            f"{alone['crops_per_s']:.0f} crops/s, {flops(rate['engine'])}",
            f"{share(beside['engine'])} of a matrix product",
        ),
        (
            "the pass with all boxes unmoved",
            f"{unmoved['images_per_s']:.0f} images/s",
            f"{unmoved['times_as_fast']:.2f} times as fast; tables {unmoved['table_apart']:.1g} apart",
        ),
        (
            "stages alone, ms an image",
            ", ".join(f"{row['stage']} {1e3 * row['median_s'] / found['images']:.2f}" for row in found["stages"]),
            f"the pass takes {found['pass_over_sum']:.2f} of their sum",
        ),
    ]


def baseline(found: Mapping[str, Any], _: str) -> list[Row]:
    """The pass beside a plain one."""
    apart = found["tables_with_pillow"]
    tables = f"labels {apart['mean']:.1g} apart on average, {apart['max']:.1g} at most"
    what = f"plain baseline, {found['teacher']}, {found['images']} images"
    rows = [
        (
            what,
            f"{found['baseline']['images_per_s']:.1f} images/s",
            f"the pass is {found['times_as_fast']:.1f} times as fast; {tables}",
        )
    ]
    if "baseline_in_half" in found:
        faster = f"the pass is {found['times_as_fast_as_in_half']:.1f} times as fast (wanted: 20)"
        rows.append(
            (f"{what}, its teacher in fp16", f"{found['baseline_in_half']['images_per_s']:.1f} images/s", faster)
        )
    return rows


def profile(found: Mapping[str, Any], _: str) -> list[Row]:
    """For what share of a pass the card was idle."""
    what = f"the card in a relabel pass, {found['teacher']}, {found['images']} images"
    if found["busy"] is None:
        return [(what, "–", f"{found['seconds']:.2f} s; no work of a card was seen")]
    streams = ", ".join(
        f"{name} {share(busy)}" for name, busy in sorted(found["busy_by_stream"].items(), key=lambda s: -s[1])
    )
    longest = "; ".join(f"{row['name'][:60]} {row['seconds']:.3f} s" for row in found["kernels"][:3])
    return [
        (
            what,
            f"idle {share(found['idle'])}",
            f"under the profiler; {share(found['idle_without_profiler'])} by the time without it",
        ),
        ("busy by stream", streams, f"longest kernels: {longest}"),
    ]


def decode(found: Mapping[str, Any], _: str) -> list[Row]:
    """What each backend of the views does a second."""
    what = f"{found['images']} images, {found['bytes'] / 1e6:.0f} MB, {found['threads']} threads"
    return [
        (
            f"{row['backend'] or 'files'}: {row['task']}, {what}",
            f"{row['per_s']:.0f} a second",
            f"{share(row['ratio_to_bare'])} of the bare library" if "ratio_to_bare" in row else "",
        )
        for row in found["results"]
    ]


def train(found: Mapping[str, Any], _: str) -> list[Row]:
    """Epochs beside a matrix product, and the relabel pass beside them."""
    how = (
        f"{found['student']}, {found['image_size']} px, {found['precision']}{', compiled' if found['compiled'] else ''}"
    )
    rows = [
        (
            f"training, {row['epoch']}, {how}, batch {found['batch_size']}",
            f"{row['images_per_s']:.0f} images/s, {flops(row['flops']['epoch'])}",
            f"{share(row['of_matmul']['epoch'])} of a matrix product",
        )
        for row in found["epochs"]
    ]
    beside = f"{found['relabel_over_epoch']:.2f} times as long as an epoch with consistency"
    return [
        *rows,
        (f"relabel pass, {found['relabel']['teacher']}", f"{found['relabel']['images_per_s']:.0f} images/s", beside),
    ]


def drift(found: Mapping[str, Any], _: str) -> list[Row]:
    """How far label tables are apart."""
    last = max(found["tables"])
    rows = []
    for name, what in (("epoch-000", "first labels"), (last, f"labels after the updates ({last})")):
        apart = found["tables"][name]
        rows.append(
            (
                f"demo world, {found['scenes']} scenes, CPU against {found['device']}: {what}",
                f"mean {apart['mean']:.2g}, max {apart['max']:.2g}",
                f"{share(apart['far'])} more than 0.05 apart; another highest class in {share(apart['other_class'])}",
            )
        )
    for name, run in found.items():
        if isinstance(run, dict) and "results" in run:
            maps = ", ".join(f"{what} {100 * value:.1f}" for what, value in run["results"].items() if value is not None)
            rows.append((f"demo world on {name}", f"{run['seconds']:.1f} s", f"mAP, %: {maps}"))
    return rows


def sanitizer(found: Mapping[str, Any], name: str) -> list[Row]:
    """What compute-sanitizer says at its end."""
    return [(name, summary, "") for summary in found["summary"]]


ROWS: dict[str, Callable[[Mapping[str, Any], str], list[Row]]] = {
    "doctor": doctor,
    "rates": rates,
    "tests": tests,
    "kernels": kernels,
    "engine": engine,
    "relabel": relabel,
    "baseline": baseline,
    "profile": profile,
    "decode": decode,
    "train": train,
    "drift": drift,
    "sanitizer": sanitizer,
}
