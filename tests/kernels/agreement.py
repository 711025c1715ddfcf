"""What any implementation of the kernels must agree on with the NumPy twins; used on the host and on a GPU."""

import numpy as np
import torch

from ccd_fast.kernels import numpy_twins

HALF_AND_FLOAT = [torch.float32, torch.float16]
CLASSES = [1, 2, 3, 5, 20, 31, 32, 33, 80, 81, 129, 257, 511, 512, 513, 1001, 4099]
"""Around the sizes at which the layout changes, and few of them multiples of 4."""
CAM_SHAPES = [(1, 1, 16), (7, 7, 224), (10, 10, 320), (5, 9, 41), (14, 3, 33), (20, 20, 640), (9, 12, 5), (2, 2, 1)]
"""Height and width of the map, side of the view: also views smaller than the map."""
FILTERS = ["bilinear", "bicubic"]
PICTURES = [(1, 1), (3, 200), (150, 40), (90, 120), (331, 250)]
"""Height and width of photographs to cut crops from."""
CROP_SIZES = [1, 7, 33, 64]
"""Sides of crops: less than a block makes at a time, and more."""


def similarities(rows: int, classes: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Rows of every sharpness, from flat to one class alone, some shifted far up or down, some with ties on top."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, classes)) * rng.choice([0, 0.5, 3, 30], (rows, 1))
    values += rng.choice([-3000, 0, 0, 100, 3000], (rows, 1))
    for row in range(0, rows, 3):
        tied = rng.choice(classes, min(3, classes), replace=False)
        values[row, tied] = values[row].max() + 1
    return torch.from_numpy(values).to(dtype)


def check_score(kernels, rows: torch.Tensor) -> None:
    """Compare scores and flags with the twin's, and the bias sums, exactly, with what scores and flags say."""
    given, classes = rows.cpu(), rows.shape[1]
    entropies = torch.special.entr(torch.softmax(given.double(), dim=1)).sum(dim=1)
    limit = float(entropies.median()) + 0.01
    start = torch.arange(classes, dtype=torch.int64) + 2**40
    sums, counts = (start.clone().to(rows.device) for _ in range(2))
    scores, confident = (t.cpu() for t in kernels.score(rows, limit, sums, counts))
    twin_scores, twin_confident = numpy_twins.score(given, limit, start.clone(), start.clone())
    np.testing.assert_allclose(scores, twin_scores, rtol=2e-5, atol=1e-30)
    clear = (entropies - limit).abs() > 1e-4
    assert clear.float().mean() > 0.8
    np.testing.assert_array_equal(confident[clear], twin_confident[clear])
    top = given.float().argmax(dim=1)
    fixed = torch.round(scores.gather(1, top[:, None])[:, 0].double() * 2**32).long()
    own_sums, own_counts = start.clone(), start.clone()
    own_sums.index_add_(0, top[confident], fixed[confident])
    own_counts.index_add_(0, top[confident], torch.ones_like(top[confident]))
    np.testing.assert_array_equal(sums.cpu(), own_sums)
    np.testing.assert_array_equal(counts.cpu(), own_counts)


def update_case(images: int, classes: int, dtype: torch.dtype, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """A table, rows in no order, offsets (images without crops among them), crop scores and a bias."""
    rng = np.random.default_rng(seed)
    crops = rng.choice([0, 1, 2, 3, 9], images)
    crops[-1] = 0  # the offset of the last image is then beyond the last crop
    rows = rng.permutation(images + 3)[:images]
    offsets = np.concatenate([[0], crops.cumsum()])
    scores = rng.random((offsets[-1], classes)) ** 4
    table, bias = rng.random((images + 3, classes)), rng.uniform(0.1, 1, classes)
    return (
        torch.from_numpy(table).float(),
        torch.from_numpy(rows),
        torch.from_numpy(offsets),
        torch.from_numpy(scores).to(dtype),
        torch.from_numpy(bias).float(),
    )


def check_update(kernels, table: torch.Tensor, *others: torch.Tensor, floor: float = 0.05, ema: float = 0.2) -> None:
    """Compare with the twin bit by bit."""
    twin = table.cpu().clone()
    numpy_twins.update(twin, *(t.cpu() for t in others), floor, ema)
    kernels.update(table, *others, floor, ema)
    np.testing.assert_array_equal(table.cpu(), twin)


def cams(count: int, height: int, width: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Maps of noise, of one peak, of several equal peaks, of little contrast, and a flat one."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(count, height, width)) * rng.choice([0, 1e-5, 3e-4, 1, 50], (count, 1, 1))
    maps[::4] = 0
    for cam in maps[::4]:
        for _ in range(int(rng.integers(1, 4))):
            cam[rng.integers(height), rng.integers(width)] = 1
    return torch.from_numpy(maps).to(dtype)


def check_cam_boxes(kernels, maps: torch.Tensor, size: int, threshold: float = 0.95, margin: float = 0.125) -> None:
    """Compare with the twin: the same boxes."""
    boxes = kernels.cam_boxes(maps, size, threshold, margin).cpu()
    np.testing.assert_array_equal(boxes, numpy_twins.cam_boxes(maps.cpu(), size, threshold, margin))


def photographs(seed: int = 0, sizes: list[tuple[int, int]] = PICTURES) -> list[torch.Tensor]:
    """Pictures of noise, of black and white (over which a cubic filter shoots), and of soft slopes."""
    rng = np.random.default_rng(seed)
    pictures = []
    for kind, (height, width) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        if kind % 3 == 1:
            pixels = pixels // 128 * np.uint8(255)
        elif kind % 3 == 2:
            pixels = (np.linspace(0, 255, height * width * 3).reshape(height, width, 3)).astype(np.uint8)
        pictures.append(torch.from_numpy(pixels))
    return pictures


def places(pictures: list[torch.Tensor]) -> torch.Tensor:
    """Where pictures lie: address, height, width."""
    return torch.tensor([[p.data_ptr(), *p.shape[:2]] for p in pictures], device=pictures[0].device)


def boxes_in(pictures: list[torch.Tensor], count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of any size anywhere in pictures, the wholes first."""
    rng = np.random.default_rng(seed)
    owner = np.concatenate([np.arange(len(pictures)), rng.integers(0, len(pictures), count)])
    limits = np.array([p.shape[1::-1] for p in pictures])[owner]
    low = rng.integers(0, limits)
    high = rng.integers(low + 1, limits + 1)
    low[: len(pictures)], high[: len(pictures)] = 0, limits[: len(pictures)]
    return torch.from_numpy(owner), torch.from_numpy(np.concatenate([low, high], axis=1))


def check_crop_resize(kernels, pictures: list[torch.Tensor], size: int, interpolation: str, longest: int = 0) -> None:
    """Compare with the twin bit by bit; ``longest`` may be said to be more than it is."""
    owner, boxes = boxes_in(pictures, 6, seed=size)
    host, device = [p.cpu() for p in pictures], pictures[0].device
    longest = max(longest, *(max(p.shape) for p in pictures))
    crops = kernels.crop_resize(places(pictures), owner.to(device), boxes.to(device), size, interpolation, longest)
    twin = numpy_twins.crop_resize(places(host), owner, boxes, size, interpolation, longest)
    np.testing.assert_array_equal(crops.cpu(), twin)
