"""What programs call: train a classifier, label photographs, predict, and load what was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from ccd_fast import machine
from ccd_fast.datasets import Source
from ccd_fast.datasets import photographs as images_at
from ccd_fast.datasets.folder import given_class_names
from ccd_fast.errors import UserError
from ccd_fast.outputs import Labelled, Trained, labelling, teacher_looks, trained
from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import RunFolder, Stage, Stages
from ccd_fast.runs import tensorboard as tensorboard_log
from ccd_fast.runs.writing import refuse_existing, write_whole
from ccd_fast.student import Reading, Student, probabilities_of
from ccd_fast.student import predict as look
from ccd_fast.training import train as run
from ccd_fast.training.passes import evaluation_conditions

AnyPath = str | PathLike[str]


@dataclass(frozen=True)
class Model:
    """A trained classifier.

    Attributes:
        folder: of its run.
        trained: student, recipe and classes.
        device: where it predicts.
    """

    folder: Path
    trained: Trained = field(repr=False)
    device: str = "cpu"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The C classes."""
        return self.trained.class_names

    @property
    def module(self) -> Student:
        """The PyTorch module: square (B, S, S, 3) uint8 pixels to logits (B, C) and maps (B, C, h, w)."""
        return self.trained.student

    @property
    def image_size(self) -> int:
        """S, the side of the square pictures that it was trained on, in pixels."""
        return self.trained.recipe.student.image_size

    @property
    def results(self) -> Mapping[str, float]:
        """MAP by what was measured, as the run's summary has it; empty where no labels are known."""
        summary = RunFolder(self.folder).summary()
        return {} if summary is None else summary["results"]

    def predict(self, photographs: AnyPath | Sequence[AnyPath], ensemble: bool = False) -> dict[str, dict[str, float]]:
        """Give the probability of every class for each photograph.

        Args:
            photographs: a file, a folder, a tar shard, or several of them.
            ensemble: the mean of the student's probabilities and the teacher's debiased labels; the teacher of the run
                must be at hand.

        Returns:
            By path, in order: class names to probabilities.

        Raises:
            UserError: one is not there or cannot be read; the line names it and the reason.
        """
        files = _files([photographs] if isinstance(photographs, str | PathLike) else photographs)
        backend, _ = evaluation_conditions(self.trained.recipe, self.device)
        student = trained.at_work(self.trained, len(files), self.device)
        seen = look(student, files, Reading(backend), self.image_size, Stage("predict", len(files), lambda _: None))
        for row, reason in seen.unreadable.items():
            raise UserError(f"{files[row]}: {reason}")
        table = self.trained.calibrated(seen.probabilities)
        if ensemble:
            table = teacher_looks.together(seen.probabilities, self._teacher_s_labels(files))
        rows = zip(files, table.tolist(), strict=True)
        return {str(file): dict(zip(self.class_names, row, strict=True)) for file, row in rows}

    def _teacher_s_labels(self, files: Sequence[Path]) -> torch.Tensor:
        """Give the teacher's debiased labels of photographs that can be read, (N, C)."""
        paths = [str(file.absolute()) for file in files]
        images = teacher_looks.images_at(self.trained, self.folder, Path(), paths)
        recipe = self.trained.recipe
        looks = teacher_looks.look(recipe, images, Stages(Console(quiet=True)), self.device)
        return teacher_looks.debiased(self.folder, recipe, looks.scores)

    @torch.inference_mode()
    def predict_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give the probabilities for pictures in memory.

        Args:
            pixels: (B, S, S, 3) uint8, RGB, resized to the square of side ``image_size``.

        Returns:
            (B, C) float32.

        Raises:
            UserError: the array has another shape or type.
        """
        side = self.image_size
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
            raise UserError(f"pixels must be (B, {side}, {side}, 3) uint8, not {pixels.shape} {pixels.dtype}")
        logits, _ = self.module(torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device))
        probabilities: NDArray[np.float32] = self.trained.calibrated(probabilities_of(logits.cpu())).numpy()
        return probabilities


def train(
    photographs: AnyPath,
    classes: AnyPath | Sequence[str],
    out: AnyPath,
    *,
    dataset: str = "folder",
    truth: AnyPath | None = None,
    known: AnyPath | None = None,
    teacher: str | None = None,
    student: str | None = None,
    recipe: str | Path = "folder",
    knobs: Mapping[str, Any] | None = None,
    device: str = "auto",
    log: Literal["tensorboard"] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Model:
    """Train a classifier on unlabelled photographs, as ``ccd-fast train`` does.

    Args:
        photographs: a folder, any tree.
        classes: class names, or a text file with one a line; names are kept in ``out`` + ``.classes.txt``.
        out: folder of the run.
        dataset: what the folder is: ``"folder"``, ``"imagefolder"`` or ``"webdataset"``.
        truth: known labels, for evaluation only: CSV, Parquet or .jsonl with path, labels and split.
        known: labels that the method is told and keeps: such a table with path, labels and, optionally, absent.
        teacher: a CLIP as open_clip names it, or a folder; by default the recipe's.
        student: a CNN of timm; by default the recipe's.
        recipe: a built-in recipe's name, or a file.
        knobs: of the recipe, by full name: ``{"train.epochs": 8}``.
        device: ``"auto"`` (the first GPU that works, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        log: keep the figures for TensorBoard too, in the folder ``tensorboard`` of the run.
        resume: go on with the run in ``out``.
        overwrite: replace the run in ``out``.
        quiet: show no progress.

    Returns:
        The trained classifier.

    Raises:
        UserError: something that was asked for cannot be had.
        RunError: the run could not go on; what was done is in ``out``.
    """
    settled = _recipe(recipe, knobs, teacher, student)
    file = _class_file(classes, Path(out).with_name(f"{Path(out).name}.classes.txt"), overwrite)
    of_test, told = (None if given is None else Path(given) for given in (truth, known))
    source = Source(dataset, Path(photographs), file, of_test, known=told)
    source.check()
    machine.keep_freed_memory()
    folder = RunFolder(Path(out), log=tensorboard_log.open_log(Path(out), log, resume))
    stages = Stages(Console(stderr=True, quiet=quiet), folder.add_metrics)
    place = _settled_device(device, stages)
    run(source, settled, folder, stages, place, resume, overwrite, command="ccd_fast.train(…)")
    return load(out)


def label(
    photographs: AnyPath,
    classes: AnyPath | Sequence[str] | None = None,
    *,
    run: AnyPath | None = None,
    dataset: str = "folder",
    teacher: str | None = None,
    recipe: str | Path = "folder",
    knobs: Mapping[str, Any] | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Labelled:
    """Label photographs without a training, as ``ccd-fast label`` does.

    Args:
        photographs: a folder, any tree.
        classes: class names, or a text file with one a line; not with ``run``.
        run: folder of a trained run: its teacher looks again where its student points.
        dataset: as for :func:`train`.
        teacher: a CLIP as open_clip names it, or a folder; by default the recipe's.
        recipe: a built-in recipe's name, or a file.
        knobs: of the recipe, by full name.
        device: where the teacher runs.
        quiet: show no progress.

    Returns:
        The photographs, and a label in 0 … 1 for each and every class.

    Raises:
        UserError: something that was asked for cannot be had.
    """
    stages = Stages(Console(stderr=True, quiet=quiet))
    if run is not None:
        if classes is not None or teacher is not None or knobs:
            raise UserError("label: classes, teacher and knobs are the run's where run is given")
        return labelling.by_run(Path(photographs), Path(run), stages, _settled_device(device, stages), dataset)
    if classes is None:
        raise UserError("label: give classes, or the run that has them")
    settled = _recipe(recipe, knobs, teacher, None)
    return labelling.by_teacher(Path(photographs), classes, settled, stages, _settled_device(device, stages), dataset)


def predict(
    run: AnyPath, photographs: AnyPath | Sequence[AnyPath], device: str = "auto", ensemble: bool = False
) -> dict[str, dict[str, float]]:
    """Give the probability of every class for each photograph; see :meth:`Model.predict`."""
    return load(run, device=device).predict(photographs, ensemble)


def load(run: AnyPath, checkpoint: str = "best", device: str = "auto") -> Model:
    """Load what was trained.

    Args:
        run: folder of a run.
        checkpoint: ``"best"`` or ``"last"``.
        device: where it predicts: as for :func:`train`.

    Raises:
        UserError: the folder is not a run, or has no such checkpoint.
    """
    read = trained.load(Path(run), checkpoint)
    place = torch.device("cpu") if read.recipe.compat == "official" else machine.check_device(device)
    read.student.to(place)
    return Model(Path(run), read, str(place))


def _recipe(recipe: str | Path, knobs: Mapping[str, Any] | None, teacher: str | None, student: str | None) -> Recipe:
    named = {"teacher.model": teacher, "student.backbone": student}
    wanted = {**{name: value for name, value in named.items() if value is not None}, **(knobs or {})}
    return config.load(recipe, [f"{name}={_toml(value)}" for name, value in wanted.items()])


def _settled_device(device: str, stages: Stages) -> str:
    """Settle a device, and show in a line what ``"auto"`` has become, and why."""
    place, line = machine.choose_device(device)
    if line:
        stages.say(line)
    return str(place)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'''{value}'''" if isinstance(value, str | PathLike) else str(value)


def _class_file(classes: AnyPath | Sequence[str], beside: Path, overwrite: bool) -> Path:
    """Give a file of class names; names that were given are written into one.

    Raises:
        UserError: another file is there, or a name is none.
    """
    if isinstance(classes, str | PathLike):
        return Path(classes)
    content = "".join(f"{name}\n" for name in given_class_names(classes)).encode()
    beside.parent.mkdir(parents=True, exist_ok=True)
    if beside.exists() and beside.read_bytes() == content:
        return beside
    refuse_existing("classes", [beside], overwrite)
    write_whole(beside, content)
    return beside


def _files(photographs: Sequence[AnyPath]) -> list[Path]:
    return [file for path in photographs for file in images_at(Path(path))]
