"""What a run consists of: what stays the same from its start to its end, and what changes."""

from dataclasses import dataclass, field
from typing import Any

from ccd_fast.config import Recipe
from ccd_fast.datasets import ImageSet
from ccd_fast.keeper import Keeper, Stop
from ccd_fast.passes import Passes
from ccd_fast.progress import Stages
from ccd_fast.pseudo_labels import PseudoLabels
from ccd_fast.ranks import Ranks
from ccd_fast.run_folder import RunFolder
from ccd_fast.student import Student
from ccd_fast.trainer import Trainer


@dataclass
class State:
    """What changes during a run; a checkpoint holds it with the student and the optimiser.

    Attributes:
        labels: the pseudo-labels.
        epoch: the next epoch.
        tau: the activity threshold; None before the first update.
        updated: the epoch of the last label update; None before the first.
        settled: whether label updates have ended, as the last one changed too little.
        agreement: m_e of each finished epoch (section 6); NaN where it is undefined.
        test_maps: test mAP of each finished epoch, where there is any truth; to compare, never to choose.
        chosen: the epoch of ``checkpoints/best``; None while there is none.
        metrics: by name, a record of :class:`~ccd_fast.evaluate.Metrics` for all that the truth allows to measure.
    """

    labels: PseudoLabels
    epoch: int = 0
    tau: float | None = None
    updated: int | None = None
    settled: bool = False
    agreement: list[float] = field(default_factory=list)
    test_maps: list[float] = field(default_factory=list)
    chosen: int | None = None
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """What a run works with, the same from its start to its end."""

    recipe: Recipe
    images: ImageSet
    test: ImageSet | None
    passes: Passes
    student: Student
    trainer: Trainer
    folder: RunFolder
    stages: Stages
    stop: Stop
    ranks: Ranks

    def keeper(self, name: str, in_step: bool = False) -> Keeper:
        """Give what keeps the state of a pass that no other pass of the run shares its name with; see `Keeper`."""
        return Keeper(self.folder, name, 60 * self.recipe.train.save_minutes, self.stop, self.ranks, in_step)
