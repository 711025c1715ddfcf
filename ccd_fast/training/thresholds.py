"""The student's thresholds by class, and what makes its probabilities mean something; both are kept in the run.

Thresholds are of the probabilities as the student gives them: whoever maps these maps the thresholds too.
"""

from collections.abc import Mapping
from typing import Any

import torch

from ccd_fast.evaluation import calibration
from ccd_fast.evaluation.metrics import Threshold
from ccd_fast.labels import limits
from ccd_fast.runs.folder import CALIBRATION, OF_LABELS, OF_LABELS_ALONE, OF_STUDENT, THRESHOLDS
from ccd_fast.student import predict
from ccd_fast.training.state import Parts, State

MOST = 5000
"""Training images, evenly spread, that a checkpoint's thresholds are chosen on."""


def choose(
    parts: Parts, state: State, rows: torch.Tensor, epoch: int, predicted: torch.Tensor, best: bool
) -> Threshold:
    """Choose from which probability on the student of an epoch has each class, and keep it beside that of the labels.

    Args:
        parts: of the run.
        state: of the run.
        rows: (N,) bool, the images that it was trained on.
        epoch: that has ended.
        predicted: (S, C) float32, its probabilities of ``parts.sample`` as it learned: they do for an epoch that no
            checkpoint stays of.
        best: whether it becomes ``checkpoints/best``.

    Returns:
        One for each class, (C,) float32; the recipe's own where that is a number.
    """
    if parts.recipe.evaluate.threshold != "auto":
        return parts.recipe.evaluate.threshold
    sample = parts.sample
    of_labels = own = sample[rows[sample]]
    stays = best or epoch == parts.recipe.train.epochs - 1
    if stays:
        own = torch.nonzero(rows).flatten()
        own = own[torch.linspace(0, len(own) - 1, min(len(own), MOST)).round().long()]
        own, scores = _seen(parts, own, epoch)
    else:
        scores = predicted[rows[sample]]
    table, temperature = state.labels.table, parts.recipe.teacher.temperature
    guess = state.labels.guessed() if state.labels.alone is None else state.labels.alone
    told = None if parts.known is None else torch.from_numpy(parts.known)[own]
    found = limits.by_class(scores, guess[own], told, temperature)
    kept = {OF_STUDENT: found, OF_LABELS: limits.by_class(table[of_labels], temperature=temperature)}
    if state.labels.alone is not None:
        kept[OF_LABELS_ALONE] = limits.by_class(guess[of_labels], temperature=temperature)
    by_name = {of: dict(zip(parts.images.class_names, values.tolist(), strict=True)) for of, values in kept.items()}
    _keep(parts, THRESHOLDS, by_name, best)
    if stays and parts.recipe.is_ccd:  # the other systems' labels are not the teacher's, or are a person's
        line = calibration.fit(scores, guess[own], told, temperature)
        if line is not None:
            _keep(parts, CALIBRATION, line.record(parts.images.class_names), best)
    return found


def _keep(parts: Parts, name: str, content: Mapping[str, Any], best: bool) -> None:
    before = parts.folder.read_json(name) if (parts.folder.path / name).is_file() else {}
    parts.folder.write_json(name, {**before, **({"best": content} if best else {}), "last": content})


def _seen(parts: Parts, rows: torch.Tensor, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Let the student look at some images: those that can be read, and its probabilities of them."""
    files, size = parts.images.files(rows.numpy()), parts.recipe.student.image_size
    with parts.stages.stage("thresholds", len(rows), epoch=epoch) as stage:
        student = parts.passes.at_work(parts.student, size, stage)
        seen = predict(student, files, parts.passes.reading, size, stage)
    return rows[seen.readable], seen.probabilities[seen.readable]
