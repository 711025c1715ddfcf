"""The student's forward pass by ONNX Runtime: one graph for a structure, and each epoch's weights put into it anew.

The graph is exported once, without weights, and kept in the engine store. A *refit* puts weights into it in memory and
opens a session, which folds each BatchNorm into its convolution.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from ccd_fast.engines import Store, onnx_export, onnx_runtime
from ccd_fast.engines.batching import padded_batches
from ccd_fast.errors import RunError, UserError
from ccd_fast.machine import WithinMemory
from ccd_fast.student.captured import CapturedStudent
from ccd_fast.student.network import PixelClassifier, Student

Runtime = Literal["torch", "onnxruntime"]
OUTPUTS = ("logits", "cam")
FILE = "student.onnx"
BATCH_SIZE = 16
"""Pictures in a call: a larger batch was no faster (benchmarks/results/cpu-student-engine.json), and pads more."""
PAYS_FROM = 2500
"""Forward passes from which an export and the refits are repaid, on a CPU; see the same file."""
LARGEST = 2**31
"""Bytes of weights that one ONNX file can hold."""
CHECKED = 2
"""Pictures of each comparison with eager PyTorch: a second one shows rows that were exchanged."""
LIMIT = 1e-4
"""Largest relative error that is accepted; 1e-6 to 1e-5 is usual in float32."""


def choose(wanted: Literal["auto", "torch", "onnxruntime"], passes: int, device: str = "cpu") -> Runtime:
    """Settle what runs the student outside training; a rule, so that a resumed run takes the same.

    Args:
        wanted: the knob ``student.runtime``. ``"auto"`` is ONNX Runtime on a CPU where it is installed and the work
            repays the export, and else PyTorch.
        passes: pictures that the student will look at, each time counted.
        device: where the student is.

    Raises:
        UserError: ONNX Runtime was asked for by name, and cannot run here.
    """
    why = onnx_runtime.problem(device, "fp32") if device == "cpu" else "the student's engine runs on the CPU only"
    if wanted == "onnxruntime" and why:
        raise UserError(f"student.runtime = 'onnxruntime': {why}; or set student.runtime=torch")
    if wanted == "auto":
        return "onnxruntime" if not why and passes >= PAYS_FROM else "torch"
    return wanted


def open_student(student: Student, runtime: Runtime, image_size: int, store: Store) -> PixelClassifier:
    """Give what maps pixels to logits and CAM with the weights that the student has now.

    Args:
        student: left in evaluation mode.
        runtime: as :func:`choose` gives it; with ``"torch"`` it is the student itself, on a GPU captured.
        image_size: side of the pictures, in pixels.
        store: where the graph is kept.

    Raises:
        RunError: the engine does not give what the student gives.
    """
    student.eval()
    if runtime == "onnxruntime":
        return StudentEngine(student, image_size, store)
    on_gpu = student.mean.device.type == "cuda"
    return CapturedStudent(student, image_size) if on_gpu else StudentWithinMemory(student)


class StudentWithinMemory:
    """A student that looks at fewer pictures at a time where memory runs out; the same bits otherwise.

    Attributes:
        student: as it is now, and as it will be.
    """

    def __init__(self, student: Student) -> None:
        """Wrap a student."""
        self.student = student
        self._run = WithinMemory(student, "the student", None)

    @property
    def classes(self) -> int:
        """Give C."""
        return self.student.classes

    def eval(self) -> "StudentWithinMemory":
        """Put the student into evaluation mode."""
        self.student.eval()
        return self

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits and CAM; see :meth:`ccd_fast.student.network.Student.forward`."""
        logits, cam = self._run(pixels)
        return logits, cam


class StudentEngine:
    """A student with the weights of one moment; see :class:`ccd_fast.student.network.PixelClassifier`.

    Every call of ONNX Runtime has ``BATCH_SIZE`` rows, so that a row never depends on its neighbours.
    """

    def __init__(self, student: Student, image_size: int, store: Store) -> None:
        """Export the graph if the store lacks it, put the weights in, and compare with eager PyTorch."""
        file = graph(student, image_size, store)
        self._open(with_weights(file, student.state_dict()), student.classes)
        pixels = noise(CHECKED, image_size)
        refuse_beyond_limit(
            dict(zip(OUTPUTS, self(pixels), strict=True)), eager(student, pixels), "the student's engine, after a refit"
        )

    @classmethod
    def compared_before(cls, model: bytes, classes: int) -> "StudentEngine":
        """Open a whole model of C classes that was compared with eager PyTorch when it was kept."""
        engine = cls.__new__(cls)
        engine._open(model, classes)
        return engine

    def _open(self, model: bytes, classes: int) -> None:
        self.classes = classes
        self.session = onnx_runtime.open_session(model, "cpu", torch.get_num_threads())

    def eval(self) -> "StudentEngine":
        """Give itself: an engine is always in evaluation mode."""
        return self

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits and CAM; see :meth:`ccd_fast.student.network.Student.forward`."""
        seen = [self._run(batch) for batch in padded_batches(pixels, BATCH_SIZE)]
        logits, cam = (torch.cat(parts)[: len(pixels)] for parts in zip(*seen, strict=True))
        return logits, cam

    def _run(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(array) for array in self.session.run(OUTPUTS, {"pixels": pixels.numpy()})]


def identity(student: Student, image_size: int) -> dict[str, Any]:
    """Give everything that the graph depends on: the structure, and no weight."""
    state = student.state_dict()
    shapes = "\n".join(f"{name} {tensor.dtype} {tuple(tensor.shape)}" for name, tensor in state.items())
    structure = f"{student}\n{shapes}"  # a module's text names its layers with stride, padding and activation
    versions = {**onnx_export.versions(), "timm": onnx_export.version_of("timm")}
    return {
        "student": str(student.backbone.pretrained_cfg.get("architecture", type(student.backbone).__name__)),
        "classes": student.classes,
        "image_size": image_size,
        "alpha": student.alpha,
        "structure": hashlib.sha256(structure.encode()).hexdigest(),
        "format": "onnx-without-weights",
        "precision": "fp32",
        "opset": onnx_export.OPSET,
        "exporter": versions,
    }


def graph(student: Student, image_size: int, store: Store) -> Path:
    """Export the student's graph into the store, unless it is there; give the ONNX file, which holds no weights.

    Raises:
        UserError: the student is too large for one ONNX file.
    """
    refuse_too_large(student)
    return store.get(identity(student, image_size), lambda folder: _write(student, image_size, folder / FILE)) / FILE


def _write(student: Student, image_size: int, file: Path) -> None:
    try:
        onnx_export.export(student, image_size, OUTPUTS, file, keep_weights=True)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the student cannot be exported to ONNX: {reason}; set student.runtime=torch") from error
    import onnx

    model, own = onnx.load(file), student.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in own:
            tensor.ClearField("raw_data")  # an old weight can never be taken for a new one
    onnx.save(model, file)


def with_weights(file: Path, state: Mapping[str, torch.Tensor]) -> bytes:
    """Put weights into a graph of :func:`graph`; give the whole model.

    Args:
        file: the graph.
        state: the student's.

    Raises:
        RunError: a weight of the graph is missing, or is not of its shape and type.
    """
    import onnx

    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.HasField("raw_data"):
            continue  # a constant of the structure
        weight = state.get(tensor.name)
        if weight is None:
            raise RunError(f"{file}: the student has no weight {tensor.name!r}, which this graph needs")
        if tuple(tensor.dims) != tuple(weight.shape) or weight.dtype != torch.float32:
            wanted, got = tuple(tensor.dims), f"{weight.dtype} {tuple(weight.shape)}"
            raise RunError(f"{file}: weight {tensor.name!r} is {got}, not torch.float32 {wanted}")
        tensor.raw_data = weight.detach().cpu().contiguous().numpy().tobytes()
    return bytes(model.SerializeToString())


def refuse_too_large(student: Student) -> None:
    """Refuse a student whose weights do not fit into one ONNX file.

    Raises:
        UserError: they do not.
    """
    size = sum(tensor.nbytes for tensor in student.state_dict().values())
    if size >= LARGEST:
        raise UserError(
            f"the student has {size / 2**30:.1f} GiB of weights, and an ONNX file holds 2: take a smaller one"
        )


def noise(count: int, image_size: int) -> torch.Tensor:
    """Draw pictures to compare on, (M, S, S, 3) uint8, always the same: blocks of random colours of several sizes."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.zeros((count, 3, image_size, image_size))
    for side in (2, 7, image_size):
        blocks = torch.rand((count, 3, side, side), generator=generator)
        pictures += torch.nn.functional.interpolate(blocks, size=image_size)
    return (pictures * (255 / 3)).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@torch.inference_mode()
def eager(student: Student, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Give what eager PyTorch says of pictures, by the name of the output."""
    return dict(zip(OUTPUTS, student.eval()(pixels), strict=True))


def relative_error(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Give the largest difference over the largest size of the reference; NaN where either is not finite."""
    size = torch.clamp(reference.abs().max(), min=torch.finfo(torch.float32).tiny)
    return float((ours - reference).abs().max() / size)


def refuse_beyond_limit(
    ours: Mapping[str, torch.Tensor], reference: Mapping[str, torch.Tensor], what: str
) -> dict[str, float]:
    """Give the relative error of each output, if all are within ``LIMIT``.

    Raises:
        RunError: one is beyond it, or not finite; the line says by how much.
    """
    errors = {name: relative_error(ours[name], reference[name]) for name in reference}
    for name, error in errors.items():
        if not error <= LIMIT:
            raise RunError(
                f"{what}: the {name} differ from eager PyTorch by {error:.1e} of their size, limit {LIMIT:g}"
            )
    return errors
