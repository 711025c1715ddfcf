"""How much may a weight of the first head cost, and how far are labels softened? And what would the truth say?

``python benchmarks/ridge.py OUT.json NAME=RUN …``: each RUN is a folder of a finished run with a backbone that was
frozen and training images whose labels are known. The first head is solved on three quarters of them, from the run's
first labels, and its mAP is that on the others: five draws, no step of training. Nothing is looked at that was kept for
testing.
"""

import statistics
import sys
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from ccd_fast.bench import measure
from ccd_fast.evaluation.metrics import mean_average_precision
from ccd_fast.labels import on_disk
from ccd_fast.outputs import origin
from ccd_fast.report.album import open_again
from ccd_fast.runs.progress import Stages
from ccd_fast.student import STUDENT_FILTER, Reading
from ccd_fast.student.network import piecewise_boost
from ccd_fast.training.first_head import ridge_regression

RIDGES = (0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0)
SOFTENED = (0.0003, 0.001, 0.002, 0.005, 0.02)
IN_USE = (1.0, 0.002)
DRAWS = 5


def maps_of(run: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """Give features, (N, F, h, w), first labels and truth, (N, C), of a run's training images; and alpha."""
    album = open_again(run, origin.class_names_of(run))
    images, student = album.images, album.model.student.eval()
    if images.truth is None:
        sys.exit(f"{run}: the labels of its training images are not known")
    seen, rows = [], []
    with Stages(Console(stderr=True), lambda _: None).stage("features", len(images)) as stage, torch.inference_mode():
        look = (album.model.recipe.student.image_size, STUDENT_FILTER)
        with Reading(album.backend).views(images.files_of_all(), look, stage) as batches:
            for photographs, views in batches:
                seen.append(student.features(views).half())
                rows.append(torch.from_numpy(photographs.rows))
                stage.advance(len(photographs) + len(photographs.unreadable))
    every = torch.cat(rows)
    labels = torch.from_numpy(on_disk.of_classes(on_disk.files(run)[0], len(images.class_names)))
    return torch.cat(seen), labels[every], torch.from_numpy(images.truth)[every], student.alpha


def map_of(
    maps: torch.Tensor, labels: torch.Tensor, truth: torch.Tensor, alpha: float, how: tuple[float, float]
) -> float:
    """Give the mAP of a first head on images that it was not solved on, mean over draws, in %."""
    found = []
    for draw in range(DRAWS):
        order = torch.randperm(len(maps), generator=torch.Generator().manual_seed(draw))
        test, train = order[: len(order) // 4], order[len(order) // 4 :]
        targets = torch.logit(labels[train].clamp(how[1], 1 - how[1]))
        weights, biases = ridge_regression(maps[train].float().mean(dim=(2, 3)), targets, how[0])
        cams = piecewise_boost(nn.functional.conv2d(maps[test].float(), weights[:, :, None, None], biases), alpha)
        found.append(mean_average_precision(cams.mean(dim=(2, 3)), truth[test]))
    return 100 * statistics.fmean(found)


def main() -> None:
    """Solve, print and write."""
    out, figures = Path(sys.argv[1]), {}
    for word in sys.argv[2:]:
        name, _, run = word.partition("=")
        maps, labels, truth, alpha = maps_of(Path(run))
        ways = {f"ridge {ridge:g}": (ridge, IN_USE[1]) for ridge in RIDGES}
        ways |= {f"softened {softened:g}": (IN_USE[0], softened) for softened in SOFTENED}
        own = {way: map_of(maps, labels, truth, alpha, how) for way, how in ways.items()}
        own["told the truth"] = map_of(maps, truth.float(), truth, alpha, (IN_USE[0], 0.02))
        figures[name] = {"images": len(maps), "classes": truth.shape[1], "test_map": own}
        print(name, {way: round(value, 1) for way, value in own.items()}, flush=True)
    measure.save({"benchmark": "ridge of the first head", "draws": DRAWS, "in_use": IN_USE, "sets": figures}, out)


if __name__ == "__main__":
    main()
