"""A student as a model of NVIDIA's Triton Inference Server: a folder of a model repository."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx

from ccd_fast.errors import UserError
from ccd_fast.machine import folder_in_the_making
from ccd_fast.outputs.export import Exported, export_onnx, facts
from ccd_fast.outputs.trained import Trained

CONFIG, LABELS, MODEL = "config.pbtxt", "labels.txt", "1/model.onnx"
"""Files of a model's folder; ``1`` is its version."""
LARGEST_BATCH = 64
"""Pictures that are given to the model at a time at most."""
LONGEST_WAIT = 1000
"""Microseconds that a request waits at most for others to share a batch with."""
TYPES = {onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.FLOAT: "TYPE_FP32"}
"""Triton's names of types."""
LABELLED = ("probabilities", "logits")
"""Outputs that have a number a class."""
TOLD = ("image_size", "resize", "thresholds")
"""Facts that clients need, as parameters of the model, each as JSON."""


def export_triton(trained: Trained, folder: Path, overwrite: bool = False) -> Exported:
    """Write a model's folder: its name is the model's name, and the folder above it the repository.

    The ONNX file is that of :func:`ccd_fast.outputs.export.export_onnx`, compared with PyTorch.

    Args:
        trained: the student.
        folder: to write, whole or not at all.
        overwrite: replace a folder of such a model.

    Raises:
        UserError: the folder exists, or cannot be written; or as :func:`ccd_fast.outputs.export.export_onnx`.
        RunError: as :func:`ccd_fast.outputs.export.export_onnx`.
    """
    refuse_taken(folder, overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_in_the_making(folder.parent, ".exporting-") as temporary:
            fresh = temporary / "model"
            (fresh / MODEL).parent.mkdir(parents=True)
            errors = export_onnx(trained, fresh / MODEL).errors
            (fresh / LABELS).write_text("".join(f"{name}\n" for name in trained.class_names), encoding="utf-8")
            described = {name: value for name, value in facts(trained).items() if name in TOLD}
            (fresh / CONFIG).write_text(config(onnx.load(fresh / MODEL), described))
            if folder.exists():
                shutil.rmtree(folder)
            fresh.replace(folder)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written: {error.strerror or error}") from error
    return Exported(tuple(folder / name for name in (MODEL, CONFIG, LABELS)), errors)


def config(model: onnx.ModelProto, parameters: dict[str, Any]) -> str:
    """Give the configuration of a model, as Triton's protobuf has it in text.

    The name is left out: it is the folder's, whatever that is called later.

    Args:
        model: whose first axis of each tensor is the batch.
        parameters: told to clients, each as JSON.
    """
    lines = ['backend: "onnxruntime"', f"max_batch_size: {LARGEST_BATCH}"]
    lines += [_tensor("input", each) for each in model.graph.input]
    lines += [_tensor("output", each) for each in model.graph.output]
    lines += [f"dynamic_batching {{ max_queue_delay_microseconds: {LONGEST_WAIT} }}"]
    for key, value in parameters.items():
        lines.append(f'parameters {{ key: "{key}" value: {{ string_value: {json.dumps(json.dumps(value))} }} }}')
    return "".join(f"{line}\n" for line in lines)


def refuse_taken(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that is there, but for that of a model where it may be replaced.

    Raises:
        UserError: it says which, and the mend.
    """
    if not folder.exists():
        return
    if not overwrite:
        raise UserError(f"--out {folder}: already exists; replace it with --overwrite, or name another")
    if not (folder / CONFIG).is_file():
        raise UserError(f"--out {folder}: holds no {CONFIG}, so it is no model of Triton: name another")


def _tensor(kind: str, value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dims = ", ".join(str(dim.dim_value) for dim in tensor.shape.dim[1:])
    labels = f' label_filename: "{LABELS}"' if value.name in LABELLED else ""
    return f'{kind} {{ name: "{value.name}" data_type: {TYPES[tensor.elem_type]} dims: [{dims}]{labels} }}'
