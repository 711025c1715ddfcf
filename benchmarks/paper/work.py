"""What networks do a view, counted without their numbers, and the times that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ccd_fast.engines import ImageTower
from ccd_fast.engines.ceilings import CONVOLUTION_BACKWARD
from ccd_fast.engines.map_towers import map_tower
from ccd_fast.engines.tower import EmbedPixels
from ccd_fast.student import network as students
from paper.rates import Rate

STUDENT, TRAINED_AT, ASKED_AT, CLASSES, BATCH = "resnet101", 448, 640, 80, 16
"""The reference run's; 80 classes stand for 20 to 81."""
HALF = 2
"""Bytes of a number in half precision, which everything runs in here."""
BOXES = 64
"""In a call of the second half of such a tower, and of so many maps."""


@dataclass(frozen=True)
class DataSet:
    """Images of the training split, and pixels of a photograph."""

    name: str
    images: int
    pixels: int


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
