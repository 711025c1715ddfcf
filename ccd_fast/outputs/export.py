"""A trained student as a file for other programs: ONNX with all that it needs, or weights in timm's names."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import safetensors.torch
import torch
from torch import nn

from ccd_fast import __version__
from ccd_fast.engines import onnx_export, onnx_runtime, tensorrt_runtime
from ccd_fast.errors import UserError
from ccd_fast.evaluation.calibration import Calibration
from ccd_fast.machine import folder_in_the_making
from ccd_fast.outputs.trained import Trained
from ccd_fast.recipes import Recipe
from ccd_fast.student import STUDENT_FILTER, Student
from ccd_fast.student import engine as student_engine

OUTPUTS = ("probabilities", *student_engine.OUTPUTS)
PICTURES = 4
"""Pictures that the ONNX file is compared with eager PyTorch on."""
PLAN_BATCHES = (1, 16, 64)
"""The smallest batch that a plan takes, the one that it is built to be fast at, and the largest."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: one for ONNX; plan and facts; backbone and head for safetensors.
        errors: relative error of each output against eager PyTorch; none for weights alone.
    """

    files: tuple[Path, ...]
    errors: dict[str, float]


class ExportedStudent(nn.Module):
    """A student that gives the probabilities too, as they mean something."""

    def __init__(self, student: Student, calibration: Calibration | None = None) -> None:
        """Wrap a student; without a calibration the probabilities are the sigmoid of its logits."""
        super().__init__()
        self.student = student
        classes = student.classes
        line = Calibration(1.0, torch.zeros(classes)) if calibration is None else calibration
        self.scale = line.scale
        self.shift: torch.Tensor
        self.register_buffer("shift", line.shift.float(), persistent=False)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Map (B, S, S, 3) uint8 to probabilities (B, C), logits (B, C) and CAM (B, C, h, w), float32."""
        logits, cam = self.student(pixels)
        return torch.sigmoid(self.scale * logits + self.shift), logits, cam


def export_onnx(trained: Trained, file: Path, overwrite: bool = False) -> Exported:
    """Write a student as ONNX: uint8 NHWC pixels to :data:`OUTPUTS`, any number of pictures.

    ``metadata_props`` of the file hold :func:`facts`, each value as JSON.

    Args:
        trained: the student.
        file: to write, whole or not at all.
        overwrite: replace an existing file.

    Raises:
        UserError: the file exists, cannot be written, or could not be checked: ONNX Runtime is not installed.
        RunError: it does not give what the student gives; the line says by how much. Nothing was written.
    """
    refuse_existing([file], overwrite)
    if why := onnx_runtime.problem("cpu", "fp32"):
        raise UserError(f"export checks the ONNX file with onnxruntime: {why}")
    student_engine.refuse_too_large(trained.student)
    size, errors = trained.recipe.student.image_size, {}

    def write(target: Path) -> None:
        onnx_export.export(ExportedStudent(trained.student, trained.calibration), size, OUTPUTS, target)
        errors.update(check(target, trained.student, size, trained.calibration))
        model = onnx.load(target)
        described = {name: json.dumps(value, ensure_ascii=False) for name, value in facts(trained).items()}
        onnx.helper.set_model_props(model, described)
        onnx.checker.check_model(model)
        onnx.save(model, target)

    _write_whole({file: write})
    return Exported((file,), errors)


def export_safetensors(trained: Trained, file: Path, overwrite: bool = False) -> Exported:
    """Write a student's weights: the backbone in timm's names, and the head in a file beside it, ``<stem>.head``.

    ``timm.create_model(name, num_classes=0, checkpoint_path=file)`` reads the backbone. The head is a 1x1 convolution
    (``weight``, ``bias``) with :func:`facts` in its metadata, each value as JSON.

    Args:
        trained: the student.
        file: of the backbone; each file is written whole or not at all.
        overwrite: replace existing files.

    Raises:
        UserError: a file exists, or cannot be written.
    """
    head_file = file.with_name(f"{file.stem}.head{file.suffix}")
    refuse_existing([file, head_file], overwrite)
    described = {name: json.dumps(value, ensure_ascii=False) for name, value in facts(trained).items()}
    backbone = {name: tensor.contiguous() for name, tensor in trained.student.backbone.state_dict().items()}
    head = {name: tensor.contiguous() for name, tensor in trained.student.head.state_dict().items()}
    _write_whole(
        {
            head_file: lambda target: target.write_bytes(_packed(head, described)),
            file: lambda target: target.write_bytes(_packed(backbone, {"backbone": described["backbone"]})),
        }
    )
    return Exported((file, head_file), {})


def _packed(state: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
    """Give a state as safetensors, the same bytes each time: the library puts metadata in any order."""
    content = safetensors.torch.save(state, metadata)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def export_plan(trained: Trained, file: Path, overwrite: bool = False) -> Exported:
    """Write a student as TensorRT plan, in fp32, with :func:`facts` beside it as ``<stem>.json``.

    The plan is built from the ONNX file of :func:`export_onnx`, which was compared with PyTorch; it has the same input
    and outputs, takes :data:`PLAN_BATCHES` pictures, and serves the version of TensorRT that built it.

    Args:
        trained: the student.
        file: to write, whole or not at all.
        overwrite: replace existing files.

    Raises:
        UserError: a file exists, or no TensorRT that can build here is installed.
        RunError: TensorRT refuses the graph; its own words are in the message.
    """
    described = file.with_suffix(".json")
    refuse_existing([file, described], overwrite)
    if why := tensorrt_runtime.can_build("cuda"):
        raise UserError(f"--format plan: {why}")
    size, errors = trained.recipe.student.image_size, {}

    def write(target: Path) -> None:
        graph = target.with_suffix(".onnx")
        errors.update(export_onnx(trained, graph).errors)
        name = trained.recipe.student.backbone
        target.write_bytes(tensorrt_runtime.plan(graph, PLAN_BATCHES, size, name, target.parent))

    built_by = {"tensorrt": tensorrt_runtime.version(), "batch_sizes": list(PLAN_BATCHES)}
    text = json.dumps({**facts(trained), **built_by}, indent=1, ensure_ascii=False)
    _write_whole({file: write, described: lambda target: target.write_text(text, encoding="utf-8")})
    return Exported((file, described), errors)


FORMATS: dict[str, Callable[[Trained, Path, bool], Exported]] = {
    "onnx": export_onnx,
    "plan": export_plan,
    "safetensors": export_safetensors,
}
"""By name."""


def facts(trained: Trained) -> dict[str, Any]:
    """Give what a program needs beside the weights, and where they come from; folders of this machine are left out."""
    recipe = without_folders(trained.recipe)
    mean, std = (tensor.flatten().tolist() for tensor in (trained.student.mean, trained.student.std))
    return {
        "class_names": list(trained.class_names),
        "image_size": recipe.student.image_size,
        "resize": {"filter": STUDENT_FILTER, "antialias": True, "crop": False, "colour": "RGB", "upright": True},
        "threshold": recipe.evaluate.threshold,
        "calibration": None
        if trained.calibration is None
        else {"scale": trained.calibration.scale, "shift": trained.calibration.shift.tolist()},
        "thresholds": [round(limit, 6) for limit in trained.thresholds().tolist()],
        "alpha": trained.student.alpha,
        "mean": mean,  # of pixels in 0 … 255; inside the ONNX graph
        "std": std,
        "backbone": recipe.student.backbone,
        "teacher": recipe.teacher.model,
        "recipe": recipe.model_dump(),
        "ccd_fast": __version__,
    }


def without_folders(recipe: Recipe) -> Recipe:
    """Give a recipe that names files of this machine without their folders."""
    teacher, weights = Path(recipe.teacher.model), Path(recipe.student.weights)
    return recipe.model_copy(
        update={
            "teacher": recipe.teacher.model_copy(update={"model": teacher.name})
            if teacher.exists()
            else recipe.teacher,
            "student": recipe.student.model_copy(update={"weights": weights.name}),
        }
    )


def check(file: Path, student: Student, image_size: int, calibration: Calibration | None = None) -> dict[str, float]:
    """Compare an exported file with the eager student on a few pictures.

    Returns:
        The relative error of each output.

    Raises:
        RunError: one is beyond :data:`ccd_fast.student.engine.LIMIT`.
    """
    pixels = student_engine.noise(PICTURES, image_size)
    session = onnx_runtime.open_session(file, "cpu", torch.get_num_threads())
    ours = {
        name: torch.from_numpy(array)
        for name, array in zip(OUTPUTS, session.run(OUTPUTS, {"pixels": pixels.numpy()}), strict=True)
    }
    reference = student_engine.eager(student, pixels)
    raw = torch.sigmoid(reference["logits"])
    reference["probabilities"] = raw if calibration is None else calibration(raw)
    return student_engine.refuse_beyond_limit(ours, reference, "the exported file")


def refuse_existing(files: list[Path], overwrite: bool) -> None:
    """Refuse files that are there, or that cannot be written.

    Raises:
        UserError: it says which, and the mend.
    """
    for file in files:
        if file.is_dir() or not file.parent.is_dir():
            raise UserError(f"--out {file}: " + ("is a folder" if file.is_dir() else f"no folder {file.parent}"))
        if file.exists() and not overwrite:
            raise UserError(f"--out {file}: already exists; replace it with --overwrite, or name another")


def _write_whole(writers: dict[Path, Callable[[Path], object]]) -> None:
    """Write files under temporary names beside their targets, and rename them once all are there."""
    folder = next(iter(writers)).parent
    try:
        with folder_in_the_making(folder, ".exporting-") as temporary:
            fresh = {target: temporary / target.name for target in writers}
            for target, write in writers.items():
                write(fresh[target])
            for target, file in fresh.items():
                file.replace(target)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written: {error.strerror or error}") from error
