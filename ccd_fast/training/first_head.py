"""How the student's last layer begins: as the ridge regression of the first labels on its backbone's features.

Drawn weights take hundreds of steps to leave, which a few hundred photographs do not give, and then fit noise. A ridge
regression of the labels' logits on the mean features is solved in one go, and is where the training steps then start
from (benchmarks/README.md has what it gains).
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from ccd_fast.datasets import ImageSet
from ccd_fast.machine import Ranks
from ccd_fast.runs import Stage
from ccd_fast.student import Student
from ccd_fast.student.reading import STUDENT_FILTER, Reading
from ccd_fast.training.method import Method
from ccd_fast.training.state import Parts, State

RIDGE = 1.0
"""Of the mean variance of a feature: figures are flat from a half to twice of it (``cpu-first-head.json``)."""
SOFTENED = 0.002
"""Labels are softened by so much at 0 and 1, where they have no logit."""
MOST = 20_000
"""Images, evenly spread, that are looked at: beyond them the solution hardly moves."""


@dataclass
class Moments:
    """What a ridge regression of C targets on F features needs to know of its examples, summed up.

    Attributes:
        count: (1,) float64, of the examples.
        features: (F,) float64, their sum.
        targets: (C,) float64, likewise.
        products: (F, F) float64, sum of the features' products with each other.
        crossed: (F, C) float64, sum of the features' products with the targets.
    """

    count: torch.Tensor
    features: torch.Tensor
    targets: torch.Tensor
    products: torch.Tensor
    crossed: torch.Tensor

    @classmethod
    def none(cls, features: int, classes: int) -> "Moments":
        """Give those of no example."""
        shapes = ((1,), (features,), (classes,), (features, features), (features, classes))
        return cls(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes))

    def add(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        """Count examples in: their features, (B, F), and targets, (B, C), on the host."""
        features, targets = features.double(), targets.double()
        self.count += len(features)
        self.features += features.sum(dim=0)
        self.targets += targets.sum(dim=0)
        self.products += features.T @ features
        self.crossed += features.T @ targets

    def solve(self, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the weights, (C, F) float32, and biases, (C,) float32, of the least squares.

        Args:
            ridge: what the square of a weight costs, as a multiple of the mean variance of a feature.
        """
        mean, middle = self.features / self.count, self.targets / self.count
        variances = self.products / self.count - torch.outer(mean, mean)
        covariances = self.crossed / self.count - torch.outer(mean, middle)
        cost = ridge * variances.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
        variances.diagonal().add_(cost)
        weights = torch.linalg.solve(variances, covariances)
        return weights.T.float(), (middle - mean @ weights).float()


def begin(parts: Parts, method: Method, state: State) -> bool:
    """Give the student's last layer its first weights, where the recipe has them regressed; tell whether it was done.

    Heads of another kind, which some systems have, are left as they were drawn.
    """
    is_linear = isinstance(parts.student.head, nn.Conv2d)
    if state.has_first_head or state.epoch or not is_linear or not parts.recipe.begins_with_a_ridge(len(parts.images)):
        return False
    rows = torch.nonzero(method.rows(state)).flatten()
    rows = rows[torch.linspace(0, len(rows) - 1, min(len(rows), MOST)).round().long()]
    labels, size = state.labels.table[rows], parts.recipe.student.image_size
    with parts.stages.stage("first head", len(rows), parts.keeper("first head")) as stage:
        found = fit(parts.student, parts.images, rows, labels, parts.passes.reading, size, stage)
    if found is not None:
        for student in (parts.student, parts.trainer.student):
            put(student, *found)
    state.has_first_head = True
    return True


@torch.no_grad()
def fit(
    student: Student,
    images: ImageSet,
    rows: torch.Tensor,
    labels: torch.Tensor,
    reading: Reading,
    size: int,
    stage: Stage,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Regress the logits of labels on the backbone's mean features of whole views.

    Args:
        student: whose backbone looks; it is left in evaluation mode.
        images: N images.
        rows: (M,) int64, the images to look at.
        labels: (M, C) float32 in [0, 1], theirs.
        reading: of the views; each of its processes gets the solution.
        size: side of the views in pixels.
        stage: advanced by images; an interrupted pass goes on.

    Returns:
        Weights, (C, F) float32, and biases, (C,) float32; None where no image could be read.
    """
    student.eval()
    targets = torch.logit(labels.float().clamp(SOFTENED, 1 - SOFTENED))
    moments = Moments.none(student.backbone.num_features, labels.shape[1])
    if left := stage.keeper.restored():
        moments = Moments(**left["moments"])
        stage.go_on(left["done"], seconds=left["seconds"])

    def so_far() -> dict[str, Any]:
        return {"moments": vars(moments), "done": stage.done, "seconds": stage.seconds}

    with reading.views(images.files(rows.numpy()), (size, STUDENT_FILTER), stage) as batches:
        for photographs, views in batches:
            with stage.part("student"):
                if len(photographs):
                    features = student.features(views).float().mean(dim=(2, 3)).cpu()
                    moments.add(features, targets[torch.from_numpy(photographs.rows)])
                    stage.saw("student", len(photographs))
            stage.advance(len(photographs) + len(photographs.unreadable))
            stage.keeper.keep(so_far)
    stage.advance(len(rows) - len(reading.share(len(rows))))
    return _solved(moments, reading.ranks)


def _solved(moments: Moments, ranks: Ranks) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Solve once, for all processes: their machines' libraries may round differently."""
    for sums in vars(moments).values():
        ranks.total(sums)
    if not moments.count:
        return None
    weights, biases = moments.crossed.T.float(), moments.targets.float()
    if ranks.leads:
        weights, biases = moments.solve(RIDGE)
    else:
        weights, biases = torch.zeros_like(weights), torch.zeros_like(biases)
    return ranks.total(weights.contiguous()), ranks.total(biases)


def put(student: Student, weights: torch.Tensor, biases: torch.Tensor) -> None:
    """Let a student's head be a linear layer, (C, F) and (C,), at each position of its maps."""
    assert isinstance(student.head, nn.Conv2d), "a head of another kind is left as it was drawn"
    with torch.no_grad():
        student.head.weight.copy_(weights[:, :, None, None])
        cast(torch.Tensor, student.head.bias).copy_(biases)
