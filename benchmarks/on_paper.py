"""How long a relabel epoch takes beside a training epoch, derived from rates: the tables of docs/PERFORMANCE.md.

``python benchmarks/on_paper.py [NAME=VALUE …]`` counts the work of each network, and writes
``benchmarks/results/on-paper.json`` and the tables between the marks in ``docs/PERFORMANCE.md``. NAME is a rate of
:data:`RATES`: a measured value takes the place of an assumed one.

An epoch has three parts: decoding, which runs beside the rest; the teacher, in a relabel epoch; the student. The last
two share the GPU, so that an epoch takes max(decode, teacher + student). A network takes, a view,
max(operations / arithmetic, bytes / memory) / share.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from paper.rates import Rate, with_values, write_between
from paper.work import (
    ASKED_AT,
    BATCH,
    HALF,
    STUDENT,
    TRAINED_AT,
    DataSet,
    MapWork,
    Work,
    map_work,
    student_work,
    teacher_work,
)

from ccd_fast.errors import UserError

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "PERFORMANCE.md", ROOT / "benchmarks" / "results" / "on-paper.json"
BEGIN, END = "<!-- tables: python benchmarks/on_paper.py -->", "<!-- end of the tables -->"

TEACHERS = (("ViT-B-32", 224), ("ViT-L-14", 224), ("RN50x64", 448), ("RN50x64", 640))
GRADIENT = 4
"""Bytes of a gradient: the weights are float32."""
CROPS = (3, 6)
"""Crops an image, fewest and most: an image has at most k + 2 = 6 active classes on average (section 4)."""
GPUS = (1, 8)
MAP_VIEWS = (
    *(("ViT-B-32", 224), ("ViT-B-32", 448), ("ViT-L-14", 224), ("ViT-L-14", 448)),
    *(("RN50x64", 448), ("RN50x64", 640)),
)
"""Towers that look once, and the side of the view."""
RATES = {
    "arithmetic": Rate(989e12, "FLOP/s", "published: H100 SXM, dense fp16/bf16"),
    "memory": Rate(3.35e12, "bytes/s", "published: H100 SXM"),
    "link": Rate(450e9, "bytes/s", "published: H100 SXM, NVLink, one direction"),
    "share": Rate(0.5, "of each of them", "assumed: what a network reaches of the roof that bounds it"),
    "decode_gpu": Rate(1e9, "pixels/s a GPU", "assumed: nvJPEG; about 3,300 COCO photographs a second"),
    "decode_core": Rate(0.0, "pixels/s a core", ""),
    "cores": Rate(16, "host cores a GPU", "assumed"),
    "host_link": Rate(64e9, "bytes/s", "published: PCIe 5.0 x16, one direction"),
    "disk": Rate(5e9, "bytes/s", "assumed: one NVMe drive"),
    "host_memory": Rate(200e9, "bytes", "assumed: what a host has free for the pages of a file"),
}
"""Rates by name; ``decode_core`` is read from the file of ``bench decode`` or given."""


DATA_SETS = (
    DataSet("VOC12", 5717, 500 * 375),
    DataSet("COCO", 82081, 640 * 480),
    DataSet("NUS-WIDE", 150000, 500 * 375),
)
"""Their number of images is that of docs/DATASETS.md; the size of a typical photograph is assumed."""


@dataclass(frozen=True)
class Epoch:
    """The parts of an epoch in seconds; which of them is the longest; what it takes."""

    decode: float
    teacher: float
    student: float

    @property
    def seconds(self) -> float:
        """Decoding runs beside the GPU's work, and the slower side counts."""
        return max(self.decode, self.teacher + self.student)

    @property
    def bound(self) -> str:
        """Name what to make faster first."""
        if self.decode > self.teacher + self.student:
            return "decode"
        return "teacher" if self.teacher > self.student else "student"


def relabel_epoch(
    data: DataSet, crops: float, teacher: Work, student: Work, gpus: int, rates: Mapping[str, Rate]
) -> Epoch:
    """Derive a relabel epoch: each photograph decoded once, one look of the student, ``crops`` of the teacher."""
    share = data.images / gpus
    decode = share * data.pixels / rates["decode_gpu"].value
    return Epoch(decode, share * crops * teacher.seconds(rates), share * student.seconds(rates))


def epoch_from_maps(
    data: DataSet, crops: float, maps: MapWork, student: Work | None, first: bool, rates: Mapping[str, Rate]
) -> Epoch:
    """Derive a relabel epoch on one GPU whose boxes are pooled from maps.

    The first one looks; a later one reads the maps beside the rest. Without a student nothing is decoded.
    """
    reads = 0.0 if first else maps.reading(data, rates)
    decode = data.images * data.pixels / rates["decode_gpu"].value if first or student is not None else 0.0
    look = maps.look.seconds(rates) if first else 0.0
    seconds = look + crops * maps.box.seconds(rates)
    asked = 0.0 if student is None else student.seconds(rates)
    return Epoch(max(decode, reads), data.images * seconds, data.images * asked)


def training_epoch(data: DataSet, student: Work, gpus: int, rates: Mapping[str, Rate]) -> Epoch:
    """Derive a training epoch with consistency: both views from one decode, gradients summed by a ring of GPUs."""
    share = data.images / gpus
    decode = share * data.pixels / rates["decode_gpu"].value
    exchanged = 2 * (gpus - 1) / gpus * student.weights * GRADIENT / (rates["link"].value * rates["share"].value)
    return Epoch(decode, 0.0, share * 2 * student.seconds(rates) + share / BATCH * exchanged)


def host_decode(rates: Mapping[str, Rate]) -> dict[str, Rate]:
    """Let the host's cores decode instead of the GPU."""
    value = rates["decode_core"].value * rates["cores"].value
    return {**rates, "decode_gpu": Rate(value, "pixels/s a GPU", "the host's cores")}


def count() -> dict[str, Work]:
    """Count all networks; takes a minute."""
    works = {f"{name} at {size}": teacher_work(name, size) for name, size in TEACHERS}
    works[f"{STUDENT} at {ASKED_AT}, forward"] = student_work(ASKED_AT, trained=False)
    works[f"{STUDENT} at {TRAINED_AT}, forward and backward"] = student_work(TRAINED_AT, trained=True)
    return works


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table, numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def duration(seconds: float) -> str:
    """Write seconds with two figures, or minutes and seconds."""
    if seconds >= 100:
        return f"{int(round(seconds) // 60)} min {round(seconds) % 60:02d} s"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def count_maps() -> dict[str, MapWork]:
    """Count all towers that look once."""
    return {f"{name} at {size}": map_work(name, size) for name, size in MAP_VIEWS}


def tables_of_maps(works: Mapping[str, Work], maps: Mapping[str, MapWork], rates: Mapping[str, Rate]) -> str:
    """Write the tables of the teacher that looks once."""
    asked = works[f"{STUDENT} at {ASKED_AT}, forward"]
    of_maps, of_epochs = [], []
    for name, work in maps.items():
        sizes = [f"{work.size(data) / 1e9:.1f} GB ({work.place(data, rates)})" for data in DATA_SETS]
        looks = [f"{work.look.flop / 1e9:.1f}", f"{1e6 * work.look.seconds(rates):.0f}"]
        boxes = [f"{work.box.flop / 1e9:.2f}", f"{1e6 * work.box.seconds(rates):.1f}"]
        of_maps.append([name, *looks, *boxes, f"{HALF * work.numbers / 1e3:.0f}", *sizes])
        row = [name]
        for data in DATA_SETS:
            passes = ((asked, True), (asked, False), (None, False))
            row.append(" / ".join(duration(epoch_from_maps(data, CROPS[-1], work, *p, rates).seconds) for p in passes))
        of_epochs.append(row)
    head = ["tower and view", "look, GFLOP", "µs", "box, GFLOP", "µs", "KB a photograph", *(d.name for d in DATA_SETS)]
    titles = (
        ("Teachers that look once: work, and where their maps are read from", table(head, of_maps)),
        (
            f"Relabel epoch from maps with {CROPS[1]} boxes an image on one GPU: the first / a later one / a later one "
            "without a pass of the student",
            table(["", *(data.name for data in DATA_SETS)], of_epochs),
        ),
    )
    return "\n\n".join(f"**{title}**\n\n{text}" for title, text in titles)


def tables(works: Mapping[str, Work], maps: Mapping[str, MapWork], rates: Mapping[str, Rate]) -> str:
    """Write the tables of the page."""
    *teachers, asked, trained = works
    of_rates = [[name, f"{rate.value:.3g}", rate.unit, rate.origin] for name, rate in rates.items()]
    of_works = [
        [name, f"{w.flop / 1e9:.1f}", f"{w.traffic / 1e6:.0f}", w.bound(rates), f"{1e6 * w.seconds(rates):.0f}"]
        for name, w in works.items()
    ]
    of_epochs = []
    for data in DATA_SETS:
        for gpus in GPUS:
            row = [f"{data.name}, {gpus} GPU{'s' if gpus > 1 else ''}"]
            for name in teachers:
                few, many = (relabel_epoch(data, k, works[name], works[asked], gpus, rates) for k in CROPS)
                row.append(f"{duration(few.seconds)} – {duration(many.seconds)} ({few.bound}, {many.bound})")
            training = training_epoch(data, works[trained], gpus, rates)
            of_epochs.append([*row, f"{duration(training.seconds)} ({training.bound})"])
    of_hosts = []
    for data in DATA_SETS:
        on_host = host_decode(rates)
        epochs = [relabel_epoch(data, CROPS[-1], works[name], works[asked], 1, on_host) for name in teachers]
        epochs.append(training_epoch(data, works[trained], 1, on_host))
        of_hosts.append([f"{data.name}, 1 GPU", *(f"{duration(e.seconds)} ({e.bound})" for e in epochs)])
    titles = (
        ("Rates", table(["name", "value", "unit", "where from"], of_rates)),
        (
            "Work of a view, counted; its time on that card",
            table(["network", "GFLOP", "MB", "bound by", "µs"], of_works),
        ),
        (
            f"Relabel epoch with {CROPS[0]} – {CROPS[1]} crops an image, and training epoch with consistency, decoded "
            "by the GPU (in brackets: what bounds it)",
            table(["", *teachers, "training epoch"], of_epochs),
        ),
        (
            f"The same with {CROPS[1]} crops, decoded by the host's cores",
            table(["", *teachers, "training epoch"], of_hosts),
        ),
    )
    text = "\n\n".join(f"**{title}**\n\n{text}" for title, text in titles)
    return f"{text}\n\n{tables_of_maps(works, maps, rates)}"


def read() -> tuple[dict[str, Work], dict[str, MapWork], dict[str, Rate]]:
    """Read back what was counted, and the rates, from the file of the results."""
    content = json.loads(RESULTS.read_text(encoding="utf-8"))
    works = {name: Work(**work) for name, work in content["works"].items()}
    halves = content["maps"].items()
    maps = {name: MapWork(Work(**m["look"]), Work(**m["box"]), m["numbers"]) for name, m in halves}
    return works, maps, {name: Rate(**rate) for name, rate in content["rates"].items()}


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        sys.exit()
    try:
        known = with_values({**RATES, **read()[2]} if RESULTS.exists() else RATES, sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
    if not known["decode_core"].value:
        sys.exit("decode_core=PIXELS_A_SECOND is needed: what `ccd-fast bench decode --threads 1` measured")
    counted, of_maps = count(), count_maps()
    content = {name: asdict(work) for name, work in counted.items()}
    of_rates = {name: asdict(rate) for name, rate in known.items()}
    every = {"works": content, "maps": {name: asdict(work) for name, work in of_maps.items()}, "rates": of_rates}
    RESULTS.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    write_between(PAGE, BEGIN, END, tables(counted, of_maps, known))
