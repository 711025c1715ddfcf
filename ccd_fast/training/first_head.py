"""How the student's last layer begins: as the ridge regression of the first labels on its backbone's features.

Drawn weights take hundreds of steps to leave, which a few hundred photographs do not give, and then fit noise. A ridge
regression of the labels' logits on the mean features is solved in one go, and is where the training steps then start
from (docs/RESULTS.md has what it gains).
"""

from typing import Any, cast

import torch
from torch import nn

from ccd_fast.datasets import ImageSet
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.labels.neighbours import targets_of
from ccd_fast.machine import Ranks
from ccd_fast.recipes import Recipe
from ccd_fast.runs import Stage
from ccd_fast.student import Student
from ccd_fast.student.reading import STUDENT_FILTER, Reading
from ccd_fast.training.measures import HELD_OUT, measure
from ccd_fast.training.method import Method
from ccd_fast.training.state import Parts, State

RIDGE = 1.0
"""Of the mean variance of a feature: figures are flat from a half to twice of it (``benchmarks/ridge.py``)."""
BATCH_SIZE = 16
"""Views in a call of the backbone."""
MOST = 20_000
"""Images, evenly spread, that are looked at: ten for each of some two thousand features."""


def ridge_regression(
    features: torch.Tensor, targets: torch.Tensor, ridge: float = RIDGE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve for the linear layer whose squared errors, and squared weights at a price, are least.

    Args:
        features: (M, F) float32.
        targets: (M, C) float32.
        ridge: price of the square of a weight, as a multiple of the mean variance of a feature.

    Returns:
        Weights, (C, F) float32, and biases, (C,) float32, which cost nothing.
    """
    y, mean = targets.double(), features.double().mean(dim=0)
    middle, (x, priced) = y.mean(dim=0), _priced(features, ridge)
    weights = torch.linalg.solve(priced, x.T @ (y - middle) / len(x))
    return weights.T.float().contiguous(), (middle - mean @ weights).float()


def _priced(features: torch.Tensor, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Give features about their mean, (M, F), and their covariance with the price on its diagonal, (F, F); float64."""
    x = features.double()
    x = x - x.mean(dim=0)
    covariance = x.T @ x / len(x)
    price = ridge * covariance.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    covariance.diagonal().add_(price)
    return x, covariance


def left_out(features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give what the :func:`ridge_regression` of all other rows predicts of each.

    Args:
        features: (M, F) float32.
        targets: (M, C) float32.

    Returns:
        (M, C) float32, by the diagonal h of the matrix that turns targets into predictions: y - (y - Hy) / (1 - h).
    """
    y, (x, priced) = targets.double(), _priced(features, RIDGE)
    about = y - y.mean(dim=0)
    through = torch.linalg.solve(priced, x.T) / len(x)
    own = (through.T * x).sum(dim=1) + 1 / len(x)
    residuals = about - x @ (through @ about)
    found: torch.Tensor = y - residuals / (1 - own)[:, None].clamp_min(1e-6)
    return found.float()


def begin(parts: Parts, method: Method, state: State) -> bool:
    """Give the student's last layer its first weights, where the recipe has them regressed; tell whether it was done.

    Heads of another kind, which some systems have, are left as they were drawn.
    """
    is_linear = isinstance(parts.student.head, nn.Conv2d)
    if state.has_first_head or state.epoch or not is_linear or not parts.recipe.begins_with_a_ridge(len(parts.images)):
        return False
    rows = torch.nonzero(method.rows(state)).flatten()
    rows = rows[torch.linspace(0, len(rows) - 1, min(len(rows), MOST)).round().long()]
    with parts.stages.stage("first head", len(rows), parts.keeper("first head")) as stage:
        features, readable = look(parts.student, parts.images, rows, parts.passes.reading, parts.recipe, stage)
    rows, features = rows[readable], features[readable]
    if len(rows):
        method.has_seen(state, rows, features)
        targets = targets_of(state.labels, rows)
        solution = _of_the_leader(*ridge_regression(features, targets), parts.folder.ranks)
        _foretell(parts, state, rows, features, targets)
        for student in (parts.student, parts.trainer.student):
            put(student, *solution)
        parts.stages.say("the student's last layer begins as a regression of the first labels (student.head)")
    state.has_first_head = True
    return True


def _foretell(parts: Parts, state: State, rows: torch.Tensor, features: torch.Tensor, targets: torch.Tensor) -> None:
    """Measure what the first head of all other photographs says of each, where their labels are known."""
    images = parts.images
    if images.truth is None or len(images) > MOST:
        return
    said, seen = torch.zeros(len(images), len(images.class_names)), torch.zeros(len(images), dtype=torch.bool)
    said[rows], seen[rows] = torch.sigmoid(left_out(features, targets)), True
    measure(parts, state, HELD_OUT, said, images, seen)


@torch.no_grad()
def look(
    student: Student, images: ImageSet, rows: torch.Tensor, reading: Reading, recipe: Recipe, stage: Stage
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the backbone's mean features of whole views.

    Args:
        student: whose backbone looks; it is left in evaluation mode.
        images: N images.
        rows: (M,) int64, the images to look at.
        reading: of the views; each of its processes gets all features.
        recipe: says how large the views are.
        stage: advanced by images; an interrupted pass goes on.

    Returns:
        Features, (M, F) float32, and which images could be read, (M,) bool.
    """
    student.eval()
    look_at = (recipe.student.image_size, STUDENT_FILTER)
    features = torch.zeros((len(rows), student.backbone.num_features))
    readable = torch.zeros(len(rows), dtype=torch.bool)
    if left := stage.keeper.restored():
        features, readable = left["features"], left["readable"]
        stage.go_on(left["done"], seconds=left["seconds"])

    def so_far() -> dict[str, Any]:
        return {"features": features, "readable": readable, "done": stage.done, "seconds": stage.seconds}

    with reading.views(images.files(rows.numpy()), look_at, stage) as batches:
        for photographs, views in batches:
            with stage.part("student"):
                if len(photographs):
                    seen = in_fixed_batches(views, BATCH_SIZE, student.features)  # so that no row depends on others
                    features[photographs.rows] = seen.float().mean(dim=(2, 3)).cpu()
                    readable[photographs.rows] = True
                    stage.saw("student", len(photographs))
            stage.advance(len(photographs) + len(photographs.unreadable))
            stage.keeper.keep(so_far)
    for table in (features, readable):
        reading.put_together(table)
    stage.advance(len(rows) - len(reading.share(len(rows))))
    return features, readable


def _of_the_leader(weights: torch.Tensor, biases: torch.Tensor, ranks: Ranks) -> tuple[torch.Tensor, torch.Tensor]:
    """Give all processes the leader's solution: on another machine the same sums may round otherwise."""
    for values in (weights, biases) if not ranks.leads else ():
        values.zero_()
    return ranks.total(weights), ranks.total(biases)


def put(student: Student, weights: torch.Tensor, biases: torch.Tensor) -> None:
    """Let a student's head be a linear layer, (C, F) and (C,), at each position of its maps."""
    assert isinstance(student.head, nn.Conv2d), "a head of another kind is left as it was drawn"
    with torch.no_grad():
        student.head.weight.copy_(weights[:, :, None, None])
        cast(torch.Tensor, student.head.bias).copy_(biases)
