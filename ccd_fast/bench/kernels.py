"""How fast the kernels move memory, beside a plain copy in the same run.

All but the boxes and crops are bound by memory, so the bytes that must move at least, counted from the shapes, over the
time are to be compared with what a copy reaches. The calls rotate over several sets of arrays, each larger than what a
cache keeps; on a GPU one round of them is recorded as a CUDA graph and replayed, so that the rate is the device's and
not that of the Python that launches.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ccd_fast import kernels, machine
from ccd_fast.bench import measure

ROWS = {"cpu": 4_000, "cuda": 160_000}
"""Images, by default: those of NUS-WIDE on a GPU, fewer for the twins on a CPU."""
CLASSES = 81
"""NUS-WIDE's; not a multiple of 4, so that rows start anywhere."""
SETS = 8
CROPS_AN_IMAGE = 4
MAP_SIDE, VIEW_SIZE = 10, 320
ROWS_A_CROP, PHOTOGRAPH, CROP_SIZE = 40, (480, 640), 224
"""A crop for every so many images, of photographs of this height and width, in pixels, resized to such squares."""
ROWS_A_MAP = 4
"""A map for every so many images: boxes cost more than the other two."""
MAX_ENTROPY, FLOOR, EMA, THRESHOLD, MARGIN = 2.0, 0.05, 0.2, 0.95, 0.125
DTYPES = (torch.float32, torch.float16)


@dataclass(frozen=True)
class Case:
    """One kernel on arrays of one type.

    Attributes:
        kernel: its name.
        dtype: of its input.
        rows: rows (or maps) of one call.
        moved: bytes that one call must read and write at least.
        calls: one call a set of arrays; each gives what it made.
        held: what the calls know by its address only.
    """

    kernel: str
    dtype: torch.dtype
    rows: int
    moved: int
    calls: tuple[Callable[[], object], ...]
    held: tuple[torch.Tensor, ...] = ()

    @property
    def name(self) -> str:
        """Give kernel and type."""
        return f"{self.kernel} {str(self.dtype).removeprefix('torch.')}"


@dataclass(frozen=True)
class Rate:
    """What a case reached.

    Attributes:
        case: which.
        timing: of one round over all sets.
        copy_rate: of a plain copy in the same run, in bytes/s.
    """

    case: Case
    timing: measure.Timing
    copy_rate: float

    @property
    def rows_a_second(self) -> float:
        """Give rows/s."""
        return self.case.rows * len(self.case.calls) / self.timing.median

    @property
    def bytes_a_second(self) -> float:
        """Give bytes/s: those that must move at least."""
        return self.case.moved * len(self.case.calls) / self.timing.median

    @property
    def share_of_copy(self) -> float:
        """Give bytes/s as a share of what the copy reached."""
        return self.bytes_a_second / self.copy_rate

    def record(self) -> dict[str, object]:
        """Give what a JSON file keeps."""
        return {
            "kernel": self.case.kernel,
            "dtype": str(self.case.dtype).removeprefix("torch."),
            "rows": self.case.rows,
            "bytes": self.case.moved,
            "rows_per_s": self.rows_a_second,
            "gb_per_s": self.bytes_a_second / 1e9,
            "share_of_copy": self.share_of_copy,
            "calls_a_round": len(self.case.calls),
            **self.timing.record(),
        }


def check_device(name: str) -> torch.device:
    """Give the device of ``--device``, with its number.

    Raises:
        UserError: another name than cpu, cuda or cuda:N, or no such GPU.
    """
    place = machine.check_device(name)
    return torch.device("cuda", place.index or 0) if place.type == "cuda" else place


def bench(device: torch.device, rows: int, classes: int, repeats: int) -> list[Rate]:
    """Measure all kernels, each on float32 and float16, the crops on bytes.

    Args:
        device: CPU (the NumPy twins) or GPU (the CUDA kernels).
        rows: images N; a quarter as many maps, and a crop for every :data:`ROWS_A_CROP`.
        classes: C.
        repeats: rounds that count.
    """
    copy_rate = measure.copy_rate(str(device), repeats)
    rates = []
    of_floats = [(make, dtype) for make in (score_case, update_case, boxes_case) for dtype in DTYPES]
    for make, dtype in [*of_floats, (crops_case, torch.uint8)]:  # one at a time: the arrays of all may not fit
        case = make(device, rows, classes, dtype)
        timing = measure.in_turn({case.name: _round(case, device)}, repeats, 1, str(device))[case.name]
        rates.append(Rate(case, timing, copy_rate))
    return rates


def score_case(device: torch.device, rows: int, classes: int, dtype: torch.dtype) -> Case:
    """Score similarities: read them, write scores and flags."""
    sums, counts = (torch.zeros(classes, dtype=torch.int64, device=device) for _ in range(2))
    given = [_uniform((rows, classes), device, dtype, seed) * 20 for seed in range(SETS)]
    moved = rows * classes * (dtype.itemsize + 4) + rows
    calls = tuple(lambda s=s: kernels.score(s, MAX_ENTROPY, sums, counts) for s in given)
    return Case("score", dtype, rows, moved, calls)


def update_case(device: torch.device, rows: int, classes: int, dtype: torch.dtype) -> Case:
    """Update labels: read the crops' scores, read and write the table, read rows and offsets."""
    images = torch.randperm(rows, generator=torch.Generator().manual_seed(0)).to(device)
    offsets = torch.arange(rows + 1, device=device) * CROPS_AN_IMAGE
    bias = _uniform((classes,), device, torch.float32, 0) + 0.1
    tables = [_uniform((rows, classes), device, torch.float32, seed) for seed in range(SETS)]
    crops = [_uniform((rows * CROPS_AN_IMAGE, classes), device, dtype, seed) for seed in range(SETS)]
    moved = rows * (classes * (CROPS_AN_IMAGE * dtype.itemsize + 2 * 4) + 2 * 8)
    calls = tuple(
        lambda t=t, c=c: kernels.update(t, images, offsets, c, bias, FLOOR, EMA)
        for t, c in zip(tables, crops, strict=True)
    )
    return Case("update", dtype, rows, moved, calls)


def boxes_case(device: torch.device, rows: int, classes: int, dtype: torch.dtype) -> Case:  # noqa: ARG001
    """Box maps: read them, write four integers each. Bound by arithmetic, not by memory."""
    count = max(rows // ROWS_A_MAP, 1)
    given = [_uniform((count, MAP_SIDE, MAP_SIDE), device, dtype, seed) for seed in range(SETS)]
    moved = count * (MAP_SIDE * MAP_SIDE * dtype.itemsize + 4 * 8)
    calls = tuple(lambda m=m: kernels.cam_boxes(m, VIEW_SIZE, THRESHOLD, MARGIN) for m in given)
    return Case("cam_boxes", dtype, count, moved, calls)


def crops_case(device: torch.device, rows: int, classes: int, dtype: torch.dtype) -> Case:  # noqa: ARG001
    """Cut crops: read the pixels of each box, write a square. Bound by arithmetic, not by memory."""
    height, width = PHOTOGRAPH
    count = max(rows // ROWS_A_CROP, 1)
    given = [(_uniform((height, width, 3), device, torch.float32, seed) * 255).to(torch.uint8) for seed in range(SETS)]
    owner = torch.zeros(count, dtype=torch.int64, device=device)
    side = torch.arange(count, device=device) % (height // 2) + height // 4
    boxes = torch.stack([side * 0, side * 0, side, side], dim=1)
    moved = int((side * side).sum()) * 3 + count * CROP_SIZE * CROP_SIZE * 3

    def cut(photograph: torch.Tensor) -> Callable[[], object]:
        place = torch.tensor([[photograph.data_ptr(), height, width]], device=device)
        return lambda: kernels.crop_resize(place, owner, boxes, CROP_SIZE, "bicubic", height)

    return Case("crop_resize", dtype, count, moved, tuple(map(cut, given)), tuple(given))


def _uniform(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype, seed: int) -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(seed)
    return torch.rand(shape, generator=generator, device=device).to(dtype)


def _round(case: Case, device: torch.device) -> Callable[[], object]:
    """Give one call of all calls; what they make is kept until the round ends, so that none reuses another's memory."""
    if device.type == "cpu":
        return lambda: [call() for call in case.calls]
    for call in case.calls:  # compiled now: a graph cannot
        call()
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = [call() for call in case.calls]

    def replay(_made: object = made) -> None:
        graph.replay()

    return replay
