"""What a number format of the teacher's image tower does to its labels, and int8's speed in ONNX Runtime.

``python benchmarks/precisions.py CLIP DATA [OUT.json]``: a CLIP's folder, and photographs with ``classes.txt`` and
``labels.csv``; the demo's CLIP on drawn scenes is measured beside it. Quantised forms are calibrated on the first 64
training images, everything is compared on the first 256 test images. ``nvidia-modelopt`` simulates int8 and fp8 in
torch; ONNX Runtime's own quantiser writes int8 as a graph, and its CPU provider runs it: as it is, and without graph
optimisation, when int8 products are computed in float32 and cannot saturate.
"""

import copy
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from rich.console import Console

from ccd_fast import engines
from ccd_fast.bench import measure
from ccd_fast.datasets import ImageSet, folder
from ccd_fast.demo import story, tiny_clip
from ccd_fast.engines import EngineSettings, Store, onnx_export
from ccd_fast.engines.tower import EmbedPixels
from ccd_fast.evaluation.metrics import mean_average_precision
from ccd_fast.runs.progress import Stages
from ccd_fast.teacher import clip as teacher
from ccd_fast.teacher import parity
from ccd_fast.training.passes import first_views
from ccd_fast.views import open_backend

CALIBRATION, IMAGES, BATCH = 64, 256, 16
PRODUCTS = ["Conv", "Gemm", "MatMul"]
SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
INPUTS_ONLY = {**SYMMETRIC, "OpTypesToExcludeOutputQuantization": PRODUCTS}
"""As TensorRT wants it: no zero points, no int32 bias, and nothing rounded before the activation that follows."""

ORT_INT8: dict[str, dict[str, Any]] = {
    "int8, inputs of products, symmetric": {"op_types_to_quantize": PRODUCTS, "extra_options": INPUTS_ONLY},
    "int8, its default": {},
}
Embed = Callable[[torch.Tensor], torch.Tensor]


class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands the calibration images to ONNX Runtime's quantiser."""

    def __init__(self, pixels: torch.Tensor) -> None:
        """Take (M, S, S, 3) uint8."""
        self.batches: Iterator[torch.Tensor] = iter(pixels.split(BATCH))

    def get_next(self) -> dict[str, Any] | None:
        """Give the next batch, or None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {"pixels": batch.numpy()}


def in_torch(module: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Embed by a module."""
    with torch.inference_mode():
        return torch.cat([module(batch) for batch in pixels.split(BATCH)])


def by_modelopt(clip: teacher.Clip, form: str, depthwise: bool, calibration: torch.Tensor) -> Embed:
    """Simulate a format by modelopt's preset for it; without ``depthwise``, grouped convolutions stay in fp32."""
    import modelopt.torch.quantization as mtq

    module = copy.deepcopy(EmbedPixels(clip.tower)).eval()
    preset = copy.deepcopy({"int8": mtq.INT8_DEFAULT_CFG, "fp8": mtq.FP8_DEFAULT_CFG}[form])
    mtq.quantize(module, preset, lambda quantised: in_torch(quantised, calibration))
    for layer in module.modules():
        if not depthwise and getattr(layer, "groups", 1) > 1 and hasattr(layer, "weight_quantizer"):
            layer.weight_quantizer.disable()  # type: ignore[operator, union-attr]
            layer.input_quantizer.disable()  # type: ignore[operator, union-attr]
    return partial(in_torch, module)


def by_onnx_runtime(file: Path, optimised: bool = True) -> Embed:
    """Run an ONNX file by the CPU provider in torch's number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda pixels: torch.cat(
        [torch.from_numpy(session.run(None, {"pixels": batch.numpy()})[0]) for batch in pixels.split(BATCH)]
    )


def measure_clip(clip: teacher.Clip, train: ImageSet, test: ImageSet, work: Path) -> dict[str, Any]:
    """Measure every format on one CLIP; what fails is recorded with its reason."""
    backend = open_backend("auto", torch.get_num_threads())
    calibration, pixels = first_views(train, clip, backend, CALIBRATION), first_views(test, clip, backend, IMAGES)
    classes = teacher.class_embeddings(clip, test.prompt_names, ["a photo of the {}"])
    reference = parity.reference_embeddings(clip, pixels)
    truth = torch.from_numpy(test.truth[: len(pixels)])

    def zero_shot(embeddings: torch.Tensor) -> float:
        scores = torch.softmax(clip.scale * embeddings @ classes.T, dim=1)
        return round(100 * mean_average_precision(scores, truth), 2)

    forms: dict[str, dict[str, Any]] = {"open_clip fp32": {"map": zero_shot(reference)}}

    def record(name: str, opening: Callable[[], Embed]) -> None:
        try:
            embeddings = opening()(pixels)
        except Exception as error:  # noqa: BLE001  one format that fails must not end the table
            forms[name] = {"failed": str(error).strip().splitlines()[0]}
        else:
            drift = asdict(parity.compare(embeddings, reference, classes, clip.scale))
            forms[name] = {"map": zero_shot(embeddings), **{key: round(value, 5) for key, value in drift.items()}}
        print(name, forms[name], flush=True)

    plain, prepared = onnx_export.build(clip.tower, "fp32", Store(work)), work / "prepared.onnx"
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    calls = {"fp32": partial(by_onnx_runtime(plain), pixels[:BATCH])}
    for index, (name, knobs) in enumerate(ORT_INT8.items()):
        file = work / f"int8-{index}.onnx"
        quantization.quantize_static(str(prepared), str(file), Calibration(calibration), per_channel=True, **knobs)
        calls[name] = partial(by_onnx_runtime(file), pixels[:BATCH])
        record(f"ONNX Runtime {name}", partial(by_onnx_runtime, file))
        record(f"ONNX Runtime {name}, not optimised", partial(by_onnx_runtime, file, optimised=False))
    timings = measure.in_turn(calls)
    for form, depthwise in (("int8", True), ("fp8", True), ("fp8", False)):
        name = f"modelopt {form}" + ("" if depthwise else ", depthwise in fp32")
        record(name, partial(by_modelopt, clip, form, depthwise, calibration))
    for precision in ("fp16", "bf16"):
        wanted = EngineSettings("torch", precision, BATCH)
        record(f"torch {precision}", lambda wanted=wanted: engines.open_engine(clip.tower, wanted, Store(work)).embed)
    fp32 = timings["fp32"].median
    speed = {n: {"times_fp32": round(fp32 / t.median, 3), **t.record()} for n, t in timings.items()}
    return {"forms": forms, "onnxruntime_speed": speed, "threads": torch.get_num_threads()}


def compare(folder_of_clip: str, data: Path) -> dict[str, Any]:
    """Measure the given CLIP on the given photographs, and the demo's CLIP on drawn scenes."""
    scenes = story.draw(0, Stages(Console(stderr=True)), CALIBRATION, IMAGES)
    models = {}
    with tempfile.TemporaryDirectory() as work:
        for name, own, root in (
            (Path(folder_of_clip).name, folder_of_clip, data),
            ("demo", str(tiny_clip.install(Path(work))), scenes.root),
        ):
            train, test = (folder.load(root, s, root / "classes.txt", root / "labels.csv") for s in ("train", "test"))
            print(name, flush=True)
            models[name] = measure_clip(teacher.load_clip(own), train, test, Path(work))
    versions = {package: version(package) for package in ("nvidia-modelopt", "onnxruntime")}
    return {"benchmark": "precisions", "calibration": CALIBRATION, "models": models, "versions": versions}


if __name__ == "__main__":
    found = compare(sys.argv[1], Path(sys.argv[2]))
    print(json.dumps(found, indent=1))
    if len(sys.argv) > 3:
        measure.save(found, Path(sys.argv[3]))
