"""What a run measures where the truth is known, by the names in its summary. For evaluation only."""

import torch

from ccd_fast.datasets import ImageSet
from ccd_fast.evaluation import Metrics, evaluate_images, scores
from ccd_fast.evaluation.metrics import Threshold
from ccd_fast.labels import limits
from ccd_fast.student import predict
from ccd_fast.training.state import Parts, State

TEACHER, FIRST, UPDATED = "zero-shot teacher", "first pseudo-labels, train", "pseudo-labels after the updates, train"
HELD_OUT = "first head of photographs held out, train"
"""What the first head of all other photographs says of each: it foretells what labels are worth to a student."""
LAST, ORACLE = "student, last epoch, test", "student, best epoch by the test labels (oracle), test"
CHOSEN = "student, chosen epoch, test"


def measure(
    parts: Parts, state: State, name: str, table: torch.Tensor, images: ImageSet, readable: torch.Tensor
) -> None:
    """Keep a table of scores, (N, C), and its metrics over the rows whose truth is known."""
    scores.save(parts.folder, name, images, table, readable)
    if images.truth is None:
        return
    own = parts.recipe.evaluate.threshold
    threshold = _suggested(parts, table, readable) if own == "auto" else own
    metrics = evaluate_images(table, images, readable, threshold, parts.passes.absent_ap)
    if metrics is not None:
        state.metrics[name] = metrics.record()


def _suggested(parts: Parts, table: torch.Tensor, readable: torch.Tensor) -> torch.Tensor:
    """Give the thresholds by class that a table of scores suggests."""
    sample = parts.tables.sample((len(table), table.shape[1]))
    return limits.by_class(table[sample[readable[sample]]], temperature=parts.recipe.teacher.temperature)


def measure_zero_shot(parts: Parts, state: State) -> None:
    """Keep the metrics of the teacher on the test images, where there are any."""
    test = parts.test
    if test is None:
        return
    with parts.stages.stage("zero-shot on the test images", len(test)) as stage:
        zero_shot, unreadable = parts.passes.whole_images(test, stage)
    parts.set_aside(test, unreadable)
    measure(parts, state, f"{TEACHER}, test", zero_shot.scores, test, zero_shot.readable)


def student_metrics(parts: Parts, epoch: int, threshold: Threshold) -> Metrics | None:
    """Evaluate the student on the test images, and keep its scores; None where there are none."""
    test = parts.test
    if test is None or test.truth is None:
        return None
    with parts.stages.stage("evaluate", len(test), epoch=epoch) as stage:
        size = parts.recipe.student.image_size
        student = parts.passes.at_work(parts.student, size, stage)
        seen = predict(student, test.files_of_all(), parts.passes.reading, size, stage)
    scores.save(parts.folder, LAST, test, seen.probabilities, seen.readable)
    return evaluate_images(seen.probabilities, test, seen.readable, threshold, parts.passes.absent_ap)
