"""How long a relabel epoch takes beside a training epoch, derived from rates: the tables of docs/PERFORMANCE.md.

``python benchmarks/on_paper.py [NAME=VALUE …]`` counts the work of each network, and writes
``benchmarks/results/on-paper.json`` and the tables between the marks in ``docs/PERFORMANCE.md``. NAME is a rate of
:data:`RATES`: a measured value takes the place of an assumed one.

An epoch has three parts: decoding, which runs beside the rest; the teacher, in a relabel epoch; the student. The last
two share the GPU, so that an epoch takes max(decode, teacher + student). A network takes, a view,
max(operations / arithmetic, bytes / memory) / share.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ccd_fast.engines import ImageTower
from ccd_fast.engines.ceilings import CONVOLUTION_BACKWARD
from ccd_fast.engines.map_towers import map_tower
from ccd_fast.engines.tower import EmbedPixels
from ccd_fast.errors import UserError
from ccd_fast.student import network as students

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "PERFORMANCE.md", ROOT / "benchmarks" / "results" / "on-paper.json"
BEGIN, END = "<!-- tables: python benchmarks/on_paper.py -->", "<!-- end of the tables -->"

TEACHERS = (("ViT-B-32", 224), ("ViT-L-14", 224), ("RN50x64", 448), ("RN50x64", 640))
STUDENT, TRAINED_AT, ASKED_AT, CLASSES, BATCH = "resnet101", 448, 640, 80, 16
"""The reference run's; 80 classes stand for 20 to 81."""
HALF = 2
"""Bytes of a number in half precision, which everything runs in here."""
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
BOXES = 64
"""In a call of the second half of such a tower, and of so many maps."""


@dataclass(frozen=True)
class Rate:
    """A figure that times are derived from, and where it comes from."""

    value: float
    unit: str
    origin: str


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


@dataclass(frozen=True)
class DataSet:
    """Images of the training split, and pixels of a photograph."""

    name: str
    images: int
    pixels: int


DATA_SETS = (
    DataSet("VOC12", 5717, 500 * 375),
    DataSet("COCO", 82081, 640 * 480),
    DataSet("NUS-WIDE", 150000, 500 * 375),
)
"""Their number of images is that of docs/DATASETS.md; the size of a typical photograph is assumed."""


@dataclass(frozen=True)
class Work:
    """What a network does a view: floating-point operations, and bytes read and written; weights if it is trained."""

    flop: float
    traffic: float
    weights: int = 0

    def seconds(self, rates: Mapping[str, Rate]) -> float:
        """Derive the time of a view, in seconds."""
        arithmetic, memory = self.flop / rates["arithmetic"].value, self.traffic / rates["memory"].value
        return max(arithmetic, memory) / rates["share"].value

    def bound(self, rates: Mapping[str, Rate]) -> str:
        """Say which roof bounds it."""
        by_arithmetic = self.flop / rates["arithmetic"].value >= self.traffic / rates["memory"].value
        return "arithmetic" if by_arithmetic else "memory"


PRODUCTS = ("convolution", "mm", "bmm", "addmm", "baddbmm", "_scaled_dot_product")


class Traffic(TorchDispatchMode):
    """Adds up what operations read and write, every number in half precision; views are free."""

    def __init__(self, products_only: bool) -> None:
        """Count every operation, as eager PyTorch runs them, or products only, as an engine that fuses the rest."""
        super().__init__()
        self.products_only = products_only
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count its tensors."""
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not func.is_view and (not self.products_only or name.startswith(PRODUCTS)):
            tensors = torch.utils._pytree.tree_leaves((args, kwargs, found))
            self.bytes += HALF * sum(t.numel() for t in tensors if isinstance(t, torch.Tensor))
        return found


def teacher_work(architecture: str, size: int, batch: int = 32) -> Work:
    """Count an image tower without its numbers, as :func:`ccd_fast.bench.engine.operations` does."""
    known = open_clip.get_model_config(architecture)
    vision = {**known["vision_cfg"], "image_size": size}
    with torch.device("meta"):
        visual = open_clip.model._build_vision_tower(known["embed_dim"], vision, known.get("quick_gelu", False))
        tower = ImageTower(architecture, visual.eval(), size, (0.5,) * 3, (0.5,) * 3, "bicubic")
        module, pixels = EmbedPixels(tower).to("meta"), torch.zeros((batch, size, size, 3), dtype=torch.uint8)
        with torch.no_grad(), FlopCounterMode(display=False) as flop, Traffic(products_only=True) as traffic:
            module(pixels)
    return Work(flop.get_total_flops() / batch, traffic.bytes / batch)


@dataclass(frozen=True)
class MapWork:
    """A tower that looks once: the look at a view, a box of its map, and the numbers of the map."""

    look: Work
    box: Work
    numbers: int

    def size(self, data: DataSet) -> int:
        """Give the bytes of a data set's maps."""
        return HALF * self.numbers * data.images

    def place(self, data: DataSet, rates: Mapping[str, Rate]) -> str:
        """Say where they are read from: a file, whose pages the host keeps where it has the memory."""
        return "memory" if self.size(data) <= rates["host_memory"].value else "disk"

    def reading(self, data: DataSet, rates: Mapping[str, Rate]) -> float:
        """Derive the seconds in which all maps come to the GPU."""
        rate = "host_link" if self.place(data, rates) == "memory" else "disk"
        return self.size(data) / rates[rate].value / rates["share"].value


def map_work(architecture: str, size: int, batch: int = BOXES) -> MapWork:
    """Count both halves of a tower, without its numbers, as :func:`teacher_work` does."""
    known = open_clip.get_model_config(architecture)
    native = known["vision_cfg"]["image_size"]
    with torch.device("meta"), torch.no_grad():
        visual = open_clip.model._build_vision_tower(
            known["embed_dim"], known["vision_cfg"], known.get("quick_gelu", False)
        )
        split = map_tower(ImageTower(architecture, visual.eval(), native, (0.5,) * 3, (0.5,) * 3, "bicubic"), size)
        looks, pixels = EmbedPixels(split.looks).to("meta"), torch.zeros((batch, size, size, 3), dtype=torch.uint8)
        with FlopCounterMode(display=False) as flop, Traffic(products_only=True) as traffic:
            looks(pixels)
        maps, boxes = torch.zeros((batch, split.numbers)), torch.zeros((batch, 5))
        with FlopCounterMode(display=False) as box_flop, Traffic(products_only=True) as box_traffic:
            split.boxes(maps, boxes)
    box = Work(box_flop.get_total_flops() / batch, box_traffic.bytes / batch)
    return MapWork(Work(flop.get_total_flops() / batch, traffic.bytes / batch), box, split.numbers)


def student_work(size: int, trained: bool, batch: int = BATCH) -> Work:
    """Count the student: a forward pass in evaluation mode, or forward and backward, without its numbers."""
    net = students.build(STUDENT, CLASSES, 3.0, "none").to("meta").train(trained)
    pixels = torch.zeros((batch, size, size, 3), dtype=torch.uint8, device="meta")
    counter = FlopCounterMode(display=False, custom_mapping=CONVOLUTION_BACKWARD)
    with torch.set_grad_enabled(trained), counter as flop, Traffic(not trained) as traffic:
        logits = net(pixels)[0]
        if trained:
            logits.sum().backward()
    weights = sum(p.numel() for p in net.parameters()) if trained else 0
    return Work(flop.get_total_flops() / batch, traffic.bytes / batch, weights)


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


def with_values(rates: Mapping[str, Rate], arguments: list[str]) -> dict[str, Rate]:
    """Put given values in the place of others: NAME=VALUE, or NAME=VALUE:ORIGIN.

    Raises:
        UserError: a name that is no rate, or a value that is not above 0.
    """
    changed = dict(rates)
    for argument in arguments:
        name, _, rest = argument.partition("=")
        value, _, origin = rest.partition(":")
        if name not in rates:
            raise UserError(f"{argument}: no rate {name!r}; the rates are {', '.join(rates)}")
        try:
            rate = float(value)
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            raise UserError(f"{argument}: {value!r} is no number above 0")
        changed[name] = replace(rates[name], value=rate, origin=origin or "given")
    return changed


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
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(counted, of_maps, known)}\n\n{END}{after}", encoding="utf-8")
