"""A trained run that says where the teacher looks again, on any photographs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ccd_fast.datasets import ImageSet, object_boxes
from ccd_fast.errors import RunError, UserError
from ccd_fast.labels import PseudoLabels, on_disk
from ccd_fast.labels.limits import FEW
from ccd_fast.labels.neighbours import draw_together, know_each_other
from ccd_fast.labels.table import of_run
from ccd_fast.machine import ALONE
from ccd_fast.recipes import Recipe
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.runs.folder import OF_LABELS, OF_LABELS_ALONE
from ccd_fast.student import Student
from ccd_fast.training.passes import Passes, open_passes

if TYPE_CHECKING:
    from ccd_fast.outputs.trained import Trained


@dataclass(frozen=True)
class Guide:
    """A trained student that says where the teacher looks again.

    Attributes:
        passes: of its run.
        student: as it was trained.
        recipe: of the run.
        tau: a class is active from this probability on.
        bias: b, (C,) float32, of the run.
        root: of the run's own images.
        told: by path, what the run was told of an image, (C,) int8: 1 there, -1 absent, 0 nothing.
        limits_alone: by class, from which label on an image has it, where labels are each image's own; None where the
            run has chosen none.
        are_drawn: whether the run's labels were drawn towards those of neighbours.
    """

    passes: Passes
    student: Student
    recipe: Recipe
    tau: float
    bias: torch.Tensor
    root: Path
    told: Mapping[str, torch.Tensor]
    limits_alone: Mapping[str, float] | None
    are_drawn: bool

    def draw_together(self, images: ImageSet, labels: PseudoLabels, stages: Stages) -> bool:
        """Draw first labels towards those of neighbours, in place, where the run has; tells whether it was done.

        Neighbours are sought among these images: of fewer than :data:`FEW` none is near enough.
        """
        from ccd_fast.training.first_head import MOST, look  # which loads timm: labels without a run do without

        count, few = self.recipe.labels.neighbours, int(labels.readable.sum()) < FEW
        if not self.are_drawn or few or len(images) > MOST:
            return False
        rows = torch.nonzero(labels.readable).flatten()
        with stages.stage("neighbours", len(rows)) as stage:
            features, readable = look(self.student, images, rows, self.passes.reading, self.recipe, stage)
        know_each_other(labels, rows[readable], features[readable], count, ALONE)
        draw_together(labels)
        return True

    def update(self, images: ImageSet, labels: PseudoLabels, stages: Stages) -> dict[int, str]:
        """Update first labels in place (section 4); gives the unreadable rows with the reason."""
        with stages.stage("relabel", len(images)) as stage:
            epoch = self.recipe.train.warmup_epochs
            return self.passes.relabel(self.student, images, labels, self.tau, epoch, stage)

    def pin(self, images: ImageSet, labels: PseudoLabels) -> int:
        """Set in place what the run was told of its own images: it stands, whatever was seen. Gives their number."""
        if not self.told or images.root.resolve() != self.root.resolve():
            return 0
        nothing = torch.zeros(len(images.class_names), dtype=torch.int8)
        labels.told = torch.stack([self.told.get(path, nothing) for path in images.paths])
        labels.pin()
        return int((labels.told != 0).any(dim=1).sum())


def open_guide(model: "Trained", run: Path, images: ImageSet, stages: Stages, device: str) -> Guide:
    """Open what a run looks with.

    Args:
        model: read from the run.
        run: its folder.
        images: that it will look at.
        stages: shows the progress.
        device: where the teacher runs.

    Raises:
        UserError: the run has not ended, or what it was made with cannot be had.
        RunError: the run never updated its labels, so that nothing says where to look.
    """
    from ccd_fast.outputs import trained

    folder = RunFolder(run)
    summary = folder.summary()
    if summary is None:
        raise UserError(f"--run {run}: the run has not ended; go on with ccd-fast train --resume --out {run}")
    tau = summary.get("tau")
    if tau is None:
        raise RunError(f"--run {run}: it never updated its labels: without --run, the teacher labels whole images")
    passes = open_passes(model.recipe, images, object_boxes.of(images), device, stages.say)
    passes.prepare(model.student)
    labels = of_run(folder)
    of = OF_LABELS if labels.alone is None else OF_LABELS_ALONE
    return Guide(
        passes,
        model.student,
        model.recipe,
        tau,
        labels.bias,
        model.source.root,
        _told(run, labels),
        trained.kept_thresholds(run, "best", of),
        labels.near is not None,
    )


def _told(run: Path, labels: PseudoLabels) -> dict[str, torch.Tensor]:
    """Give what a run was told of its images, by path."""
    if labels.told is None:
        return {}
    paths = on_disk.words(on_disk.files(run)[0], "path")
    rows = torch.nonzero((labels.told != 0).any(dim=1)).flatten().tolist()
    return {paths[row]: labels.told[row] for row in rows}
