"""A trained student, read back from the folder of its run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import nn

from ccd_fast import machine, systems
from ccd_fast.datasets import Source
from ccd_fast.engines import Store
from ccd_fast.errors import UserError
from ccd_fast.evaluation.calibration import Calibration
from ccd_fast.outputs.origin import class_names_of, origin
from ccd_fast.recipes import Recipe
from ccd_fast.runs import RunFolder
from ccd_fast.runs.folder import CALIBRATION, OF_STUDENT, THRESHOLDS
from ccd_fast.student import PixelClassifier, Student, kept_engine
from ccd_fast.student import engine as student_engine


@dataclass(frozen=True)
class Trained:
    """A student, with what it was trained on.

    Attributes:
        recipe: of the run.
        class_names: C names.
        source: the data set that the run used.
        read: reads the student.
        chosen: the thresholds by class that the run has chosen for this checkpoint; None where it has chosen none.
        kept: gives the engine that was kept of it, if there is one.
        calibration: makes its probabilities mean something; None where the run has none.
    """

    recipe: Recipe
    class_names: tuple[str, ...]
    source: Source
    read: Callable[[], Student] = field(repr=False)
    chosen: Mapping[str, float] | None = None
    kept: Callable[[], PixelClassifier | None] = field(default=lambda: None, repr=False)
    calibration: Calibration | None = field(default=None, repr=False)

    @cached_property
    def student(self) -> Student:
        """Give the student, in evaluation mode; it is read when it is first asked for."""
        return self.read()

    @property
    def has_thresholds(self) -> bool:
        """Tell whether there are thresholds where none is given: the recipe's, or those that the run has chosen."""
        chosen = self.chosen or {}
        return self.recipe.evaluate.threshold != "auto" or all(name in chosen for name in self.class_names)

    def calibrated(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Give probabilities of the student, (N, C) float32, as they mean something."""
        return probabilities if self.calibration is None else self.calibration(probabilities)

    def thresholds(self, given: float | None = None, raw: bool = False) -> torch.Tensor:
        """Give the probability from which on each class is predicted, (C,) float32.

        Args:
            given: one for all classes, in place of the recipe's.
            raw: of the probabilities as the student gives them, in place of :meth:`calibrated`.

        Raises:
            UserError: the recipe wants them chosen by the run, and it has not.
        """
        own = self.recipe.evaluate.threshold if given is None else given
        if own != "auto":
            return torch.full((len(self.class_names),), float(own))
        if self.chosen is None or not self.has_thresholds:
            raise UserError("the run has no thresholds of its own (thresholds.json): give one with --threshold")
        found = torch.tensor([self.chosen[name] for name in self.class_names])
        return found if raw else self.calibrated(found)


def load(run: Path, checkpoint: str = "best") -> Trained:
    """Read a trained student.

    Args:
        run: folder of the run.
        checkpoint: ``"best"`` or ``"last"``.

    Raises:
        UserError: the folder is not a run, or has no such checkpoint.
    """
    source, recipe = origin(run)
    student = _student(run, checkpoint, recipe)
    chosen = kept_thresholds(run, checkpoint, OF_STUDENT)
    line = kept_calibration(run, checkpoint)
    return Trained(recipe, class_names_of(run), source, lambda: student, chosen, calibration=line)


def load_late(run: Path, checkpoint: str = "best") -> Trained:
    """Read what a student was trained on, and the student itself only where its kept engine does not do.

    Raises:
        UserError: the folder is not a run, or has no such checkpoint.
    """
    source, recipe = origin(run)
    RunFolder(run).refuse_no_student(checkpoint)
    late = partial(kept_engine.open_kept, run, checkpoint, Store())
    chosen = kept_thresholds(run, checkpoint, OF_STUDENT)
    line = kept_calibration(run, checkpoint)
    return Trained(recipe, class_names_of(run), source, lambda: _student(run, checkpoint, recipe), chosen, late, line)


def _student(run: Path, checkpoint: str, recipe: Recipe) -> Student:
    import timm  # which loads torchvision and PyTorch's compiler

    folder = RunFolder(run)
    state = folder.load_student(checkpoint)
    class_names = class_names_of(run)
    try:
        backbone: nn.Module = timm.create_model(recipe.student.backbone, num_classes=0, global_pool="")
    except RuntimeError as error:
        raise UserError(f"{run}: timm here has no {recipe.student.backbone!r}, the backbone of its recipe") from error
    student = Student(backbone, len(class_names), recipe.student.alpha, mean=(0.0,) * 3, std=(1.0,) * 3)
    try:
        student = systems.as_it_was_saved(student, recipe.system.name, state)
        student.load_state_dict(state)  # mean and std are part of it
    except RuntimeError as error:
        raise UserError(f"{run}: the checkpoint {checkpoint!r} does not fit its recipe or classes") from error
    return student.eval()


def kept_thresholds(run: Path, checkpoint: str, of: str) -> Mapping[str, float] | None:
    """Read the thresholds that a run has chosen; None where it has chosen none.

    Args:
        run: its folder.
        checkpoint: ``"best"`` or ``"last"``.
        of: :data:`~ccd_fast.runs.folder.OF_STUDENT` or ``OF_LABELS``.

    Raises:
        UserError: the file is not what a run wrote.
    """
    if not (run / THRESHOLDS).is_file():
        return None
    found = RunFolder(run).read_json(THRESHOLDS).get(checkpoint, {}).get(of)
    if found is not None and not all(isinstance(limit, float | int) for limit in found.values()):
        raise UserError(f"{run / THRESHOLDS}: not what a run of ccd-fast wrote")
    return found  # type: ignore[no-any-return]


def kept_calibration(run: Path, checkpoint: str) -> Calibration | None:
    """Read what makes the probabilities of a checkpoint mean something; None where the run has none.

    Raises:
        UserError: the file is not what a run wrote.
    """
    if not (run / CALIBRATION).is_file():
        return None
    found = RunFolder(run).read_json(CALIBRATION).get(checkpoint)
    where = str(run / CALIBRATION)
    return None if found is None else Calibration.of_record(found, class_names_of(run), where)


def at_work(trained: Trained, pictures: int, device: str = "cpu") -> PixelClassifier:
    """Give what runs a trained student on a number of pictures, by its recipe's ``student.runtime``.

    Args:
        trained: the student; it is moved to the device.
        pictures: how many it will look at.
        device: where it runs.

    Raises:
        UserError: the runtime was asked for by name, and cannot run here.
    """
    knobs = trained.recipe.student
    place = machine.check_device(device)
    if place.type == "cpu" and knobs.runtime != "torch" and (engine := trained.kept()) is not None:
        return engine
    trained.student.to(place)
    runtime = student_engine.choose(knobs.runtime, pictures, place.type)
    return student_engine.open_student(trained.student, runtime, knobs.image_size, Store())


def device_of(run: Path) -> str:
    """Give the device that a run began on, by its kind alone where it is the first of its kind."""
    device = str(RunFolder(run).read_json("run.json").get("device", "cpu"))
    return device.removesuffix(":0")


def keep_engine(run: Path, checkpoint: str = "best") -> None:
    """Keep an engine of a trained student, by which `predict` begins at once; where ONNX Runtime runs it.

    Raises:
        UserError: it cannot be exported.
        RunError: the engine does not give what the student gives.
    """
    model = load(run, checkpoint)
    knobs = model.recipe.student
    if knobs.runtime == "torch" or student_engine.choose("auto", student_engine.PAYS_FROM) == "torch":
        return
    folder = RunFolder(run)
    kept_engine.keep(model.student, run, checkpoint, knobs.image_size, Store(), folder.write_json)
