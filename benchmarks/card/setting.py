"""What all parts share: the device, the sizes, the folders, the ledger, and the teacher, which is opened once."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from card.ledger import Ledger
from card.plan import ROOT

if TYPE_CHECKING:
    from ccd_fast.engines import ImageEngine
    from ccd_fast.teacher import Clip

WORK = ".card"
WHEELS = ".wheels"
PHOTOGRAPHS = ".photos"
"""Folders at the root of the repository, ignored by git. The first stays on the machine from call to call; the others
are brought there."""
LARGEST_FILE = 16 * 2**20
MOST_FILES = 8
"""What comes back of a folder of results."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured: on a card by default.

    Attributes:
        work: seconds of work that a rate is of, at least.
        matrix: side of the matrices of a product.
        copied: bytes of a copy.
        kernel_entries: rows times classes of a kernel's table.
        kernel_classes: numbers of classes C.
        decoded: photographs that are decoded in every order.
        photographs: of the smaller and of the larger pass.
        teacher: as ``ccd-fast bench engine`` takes it; nothing for the demo's own.
        batches: of the teacher's engine, the most telling first.
        students: of the passes: backbone, and side of its view in pixels.
        load_batches: photographs decoded at a time, the better first.
        profiled: photographs of a profiled pass.
        steps: students, sides and batches of training steps, and whether they are compiled.
        scenes: of the demo world that is trained on twice, and epochs.
    """

    work: float = 1.0
    matrix: int = 8192
    copied: int = 2**30
    kernel_entries: int = 160_000 * 81
    kernel_classes: tuple[int, ...] = (81, 1000, 5000)
    decoded: int = 64
    photographs: tuple[int, int] = (1024, 4096)
    teacher: str = "ViT-L-14/random"
    batches: tuple[int, ...] = (256, 128, 64)
    students: tuple[tuple[str, int], ...] = (("tf_efficientnet_lite0", 224), ("resnet101", 448))
    load_batches: tuple[int, ...] = (256, 32)
    profiled: int = 512
    steps: tuple[tuple[str, int, int, bool], ...] = (
        ("tf_efficientnet_lite0", 224, 16, False),
        ("tf_efficientnet_lite0", 224, 64, False),
        ("resnet101", 448, 16, False),
        ("tf_efficientnet_lite0", 224, 64, True),
    )
    scenes: tuple[int, int] = (400, 4)


TINY = Sizes(
    work=0.02,
    matrix=256,
    copied=2**22,
    kernel_entries=200 * 81,
    kernel_classes=(81, 1000),
    decoded=8,
    photographs=(8, 24),
    teacher="",
    batches=(8, 4),
    students=(("test_resnet", 64), ("test_efficientnet", 64)),
    load_batches=(8, 4),
    profiled=8,
    steps=(("test_resnet", 64, 4, False), ("test_resnet", 64, 4, True)),
    scenes=(40, 3),
)
"""What a CPU does in minutes, to try the script itself."""


@dataclass
class Setting:
    """What all parts share.

    Attributes:
        device: ``"cuda"``, ``"cuda:1"``, or ``"cpu"``.
        tiny: sizes for a CPU.
        out: folder of what comes back.
        ledger: of the figures.
        root: the repository.
        engines: those of the teacher that were measured, with their crops a second.
        passes: images a second of the relabel passes that were measured, by their way.
    """

    device: str
    tiny: bool
    out: Path
    ledger: Ledger
    root: Path = ROOT
    engines: list[tuple[ImageEngine, float]] = field(default_factory=list)
    passes: dict[Any, float] = field(default_factory=dict)

    @property
    def on_card(self) -> bool:
        """Tell whether the device is a card."""
        return self.device.startswith("cuda")

    @property
    def sizes(self) -> Sizes:
        """Give how much is measured."""
        return TINY if self.tiny else Sizes()

    @property
    def log(self) -> Path:
        """Name the file that everything that is started writes into."""
        return self.out / "log.txt"

    @property
    def work(self) -> Path:
        """Name the folder that stays on the machine."""
        return self.root / WORK

    @property
    def precision(self) -> str:
        """Give the precision of a teacher's engine."""
        return "fp16" if self.on_card else "fp32"

    @cached_property
    def clip(self) -> Clip:
        """Load the teacher; its weights may be random, as its speed does not depend on them."""
        from ccd_fast.demo import tiny_clip
        from ccd_fast.teacher import load_clip

        return load_clip(self.sizes.teacher or str(tiny_clip.install()))

    @cached_property
    def photographs(self) -> tuple[list[Path], str]:
        """Give as many photographs as the largest pass takes, and what they are."""
        from card import photographs

        return photographs.linked(self.root / PHOTOGRAPHS, self.work / "links", self.sizes.photographs[1])

    def open_engine(self, runtime: str, batch: int) -> ImageEngine:
        """Open an engine of the teacher."""
        import torch

        from ccd_fast import engines

        how = engines.EngineSettings(runtime, self.precision, batch, self.device, torch.get_num_threads())  # type: ignore[arg-type]
        return engines.open_engine(self.clip.tower, how, engines.Store())

    def best_engine(self) -> ImageEngine:
        """Give the fastest engine that was measured in this process; where there is none, eager PyTorch."""
        if not self.engines:
            self.engines.append((self.open_engine("torch", self.sizes.batches[-1]), 0.0))
        return max(self.engines, key=lambda found: found[1])[0]

    def product_rate(self) -> float:
        """Measure what a matrix product reaches now, FLOP/s: a card's clocks move with its temperature and power."""
        from card import timing
        from ccd_fast.engines import DTYPES

        sizes = self.sizes
        rates = timing.product(self.device, DTYPES[self.precision], sizes.matrix, sizes.work)  # type: ignore[index]
        return sum(rates) / len(rates)


def caches(root: Path) -> dict[str, str]:
    """Give the environment that keeps what is built (compiled code, engines, scenes) from call to call, offline."""
    work = root / WORK
    paths = [str(root), str(root / "benchmarks"), str(work / "site"), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "CCD_CACHE": str(work / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(work / "inductor"),
        "TRITON_CACHE_DIR": str(work / "triton"),
        "CUPY_CACHE_DIR": str(work / "cupy"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "COLUMNS": "120",
    }


def keep_within(folder: Path) -> list[str]:
    """Shorten files that are too large to come back; say which, and whether there are too many."""
    said = []
    for file in sorted(folder.iterdir()):
        if file.stat().st_size <= LARGEST_FILE:
            continue
        said.append(f"{file.name} was larger than {LARGEST_FILE >> 20} MiB")
        if file.suffix == ".gz":
            file.unlink()
            continue
        with file.open("rb") as whole, (folder / ".end").open("wb") as end:
            whole.seek(-LARGEST_FILE // 2, os.SEEK_END)
            shutil.copyfileobj(whole, end)
        (folder / ".end").replace(file)
    count = len(list(folder.iterdir()))
    return said + ([f"{folder} has {count} files, more than {MOST_FILES}"] if count > MOST_FILES else [])
