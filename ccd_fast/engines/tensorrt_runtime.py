"""The TensorRT engine: plans built from ONNX by ``tensorrt``, or by ``tensorrt_rtx`` for RTX cards; one API."""

import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.store import Store
from ccd_fast.engines.streams import FixedCall, replaying
from ccd_fast.engines.tower import EngineSettings, ImageTower
from ccd_fast.errors import RunError, UserError

FILE = "tower.plan"
MODULES = ("tensorrt", "tensorrt_rtx")
RTX_CARDS = ("7.5", "8.6", "8.9", "12.0", "12.1")
"""Compute capabilities that TensorRT-RTX serves: no data-centre card (8.0, 9.0, 10.0) is among them."""
RTX_TARGETS = ("SM86", "SM89", "SM120")
"""What an RTX plan is built for where no card is there to say: Ampere to Blackwell. Turing has no fp32 products."""

LONGEST_REASON = 200
"""Characters of TensorRT's own words that a message gives."""


def module_name() -> str:
    """Name the module that is installed, ``tensorrt`` before ``tensorrt_rtx``; empty if neither is."""
    return next((name for name in MODULES if importlib.util.find_spec(name) is not None), "")


def version() -> str:
    """Name the module that is installed, with its version."""
    name = module_name()
    return f"{name} {_module(name).__version__}"


def can_build(device: str) -> str:  # noqa: ARG001 - as the other runtimes are asked
    """Say why no plan can be built for a device, or nothing; an RTX plan can be built without a card."""
    name = module_name()
    if not name:
        return "not installed: pip install 'ccd_fast[tensorrt]' (data-centre cards) or 'ccd_fast[tensorrt-rtx]'"
    if name == "tensorrt" and not torch.cuda.is_available():
        return "tensorrt builds for the GPU that it sees, and there is none"
    return ""


def problem(device: str, precision: str) -> str:  # noqa: ARG001 - as the other runtimes are asked
    """Say why this runtime cannot run here, or nothing."""
    if why := can_build(device):
        return why
    if not device.startswith("cuda"):
        return "it runs on an NVIDIA GPU only"
    if not torch.cuda.is_available():
        return "torch sees no NVIDIA GPU"
    if _serves(device):
        return ""
    card = f"{torch.cuda.get_device_name(device)} has {_capability(device)}"
    return (
        f"tensorrt_rtx serves cards of compute capability {', '.join(RTX_CARDS)}, and {card}: "
        "pip install 'ccd_fast[tensorrt]'"
    )


def _capability(device: str) -> str:
    """Give the compute capability of a GPU, ``"9.0"`` say; of the current one where the device is no GPU."""
    major, minor = torch.cuda.get_device_capability(device if device.startswith("cuda") else None)
    return f"{major}.{minor}"


def _serves(device: str) -> bool:
    """Tell whether a GPU is here that the module can build for and run on."""
    if not torch.cuda.is_available():
        return False
    return module_name() == "tensorrt" or _capability(device) in RTX_CARDS


def identity(tower: ImageTower, settings: EngineSettings) -> dict[str, Any]:
    """Give everything that a plan depends on."""
    name = module_name()
    return {
        **onnx_export.identity(tower, settings.precision),
        "format": "plan",
        "runtime": {"module": name, "version": _module(name).__version__},
        "batch_size": settings.batch_size,
        "target": _target(settings.device),
    }


def _target(device: str) -> dict[str, Any]:
    """Name the GPU that a plan is for, or the generations where none is there that the module serves."""
    if _serves(device):
        name = torch.cuda.get_device_name(device if device.startswith("cuda") else None)
        return {"gpu": name, "capability": _capability(device)}
    return {"capabilities": list(RTX_TARGETS)}


def build(tower: ImageTower, settings: EngineSettings, store: Store) -> Path:
    """Build the plan into the store, unless it is there; give its path.

    Raises:
        UserError: no TensorRT, or no GPU for the one that needs it.
        RunError: TensorRT refuses the graph or the card; its own words are in the message.
    """
    if why := can_build(settings.device):
        raise UserError(f"runtime tensorrt: {why}")
    onnx_file = onnx_export.build(tower, settings.precision, store)
    facts = identity(tower, settings)
    return store.get(facts, lambda folder: _build_plan(onnx_file, settings, tower, folder / FILE, store)) / FILE


def _build_plan(onnx_file: Path, settings: EngineSettings, tower: ImageTower, file: Path, store: Store) -> None:
    """Build for exactly one batch size."""
    count, what = settings.batch_size, f"{tower.name} in {settings.precision}"
    with _on(settings.device):
        built = plan(onnx_file, (count, count, count), tower.image_size, what, store.folder, _instead(settings))
    file.write_bytes(built)


def plan(
    onnx_file: Path, batch_sizes: tuple[int, int, int], image_size: int, what: str, folder: Path, instead: str = ""
) -> bytes:
    """Build the plan of an ONNX graph that takes ``pixels``, (B, S, S, 3) uint8.

    Args:
        onnx_file: the graph, with its precisions.
        batch_sizes: the smallest B, the one to be fast at, and the largest.
        image_size: S.
        what: names the graph, for messages.
        folder: where the timings of the layers are kept.
        instead: what to try where it fails.

    Raises:
        RunError: TensorRT refuses the graph or the card; its own words are in the message.
    """
    trt = _module(module_name())
    logger = _Log(trt)
    builder = trt.Builder(logger.own)
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strongly_typed is None else 1 << int(strongly_typed))
    parser = trt.OnnxParser(network, logger.own)
    if not parser.parse_from_file(str(onnx_file)):
        reason = _brief(parser.get_error(0).desc())
        raise RunError(f"TensorRT cannot read {what}: {reason}{instead}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("pixels", *((count, image_size, image_size, 3) for count in batch_sizes))
    config.add_optimization_profile(profile)
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means fp32
    if module_name() == "tensorrt_rtx" and not _serves("cuda"):
        config.num_compute_capabilities = len(RTX_TARGETS)
        for index, target in enumerate(RTX_TARGETS):
            config.set_compute_capability(getattr(trt.ComputeCapability, target), index)
    timings = _timing_cache(config, folder) if module_name() == "tensorrt" else None
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise RunError(f"TensorRT cannot build {what}: {_brief(logger.last)}{instead}")
    if timings is not None:
        _keep_timings(config, timings)
    return bytes(built)


def _on(device: str) -> AbstractContextManager[object]:
    """Make a device the current one, as TensorRT builds for that and runs there; nothing where there is no GPU."""
    return torch.cuda.device(device) if device.startswith("cuda") and torch.cuda.is_available() else nullcontext()


def _timing_cache(config: Any, folder: Path) -> Path:
    """Give the builder what earlier builds on this card have timed; TensorRT checks that the card is the same."""
    name = torch.cuda.get_device_name().replace(" ", "-").replace("/", "-")
    file = folder / f"timings-{_module('tensorrt').__version__}-{name}.cache"
    known = file.read_bytes() if file.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    return file


def _keep_timings(config: Any, file: Path) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(bytes(config.get_timing_cache().serialize()))
    temporary.replace(file)


def open_engine(tower: ImageTower, settings: EngineSettings, store: Store) -> "TensorRtEngine":
    """Open the tower's plan, building it first if the store lacks it."""
    return TensorRtEngine(build(tower, settings, store), tower, settings)


class TensorRtEngine:
    """Runs a plan; see :class:`ccd_fast.engines.ImageEngine`."""

    runtime = "tensorrt"

    def __init__(self, file: Path, tower: ImageTower, settings: EngineSettings) -> None:
        """Load the plan and bind its buffers.

        Raises:
            RunError: TensorRT does not take the plan on this card.
        """
        trt = _module(module_name())
        self.key = file.parent.name
        self.image_size = tower.image_size
        self.batch_size = settings.batch_size
        logger = _Log(trt)
        self._runtime = trt.Runtime(logger.own)
        with _on(settings.device):
            self._engine = self._runtime.deserialize_cuda_engine(file.read_bytes())
        if self._engine is None:
            raise RunError(f"TensorRT does not take the plan {self.key} on this card: {logger.last}")
        self._width = self._engine.get_tensor_shape("embeddings")[1]
        what = f"{module_name()}, {settings.precision}"
        self._call = replaying(lambda graph: self._open_call(settings, logger, graph), settings.cuda_graph, what)

    def _open_call(self, settings: EngineSettings, logger: "_Log", cuda_graph: bool) -> FixedCall:
        """Make a context, and bind its buffers."""
        call = FixedCall(self.batch_size, self.image_size, self._width, settings.device)
        with _on(settings.device):
            context = self._engine.create_execution_context()
        if context is None:
            raise UserError(f"TensorRT has not the memory to run the plan {self.key} on {settings.device}")
        context.set_input_shape("pixels", tuple(call.pixels.shape))
        context.set_tensor_address("pixels", call.pixels.data_ptr())
        context.set_tensor_address("embeddings", call.embeddings.data_ptr())

        device = call.device  # and not the call itself, which would be kept by what it keeps

        def launch() -> None:
            if not context.execute_async_v3(torch.cuda.current_stream(device).cuda_stream):
                raise RunError(f"TensorRT could not run the plan {self.key}: {logger.last}")

        call.launch = launch
        call.warm_up(1)  # what TensorRT sets up at its first run must not be captured
        if cuda_graph:
            call.capture()
            call.warm_up(1)
        return call

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        return in_fixed_batches(pixels, self.batch_size, self._call)


def _brief(message: str) -> str:
    """Give the telling part of TensorRT's words: one line, without what it prints of the graph."""
    line = " ".join(message.split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} …"


def _instead(settings: EngineSettings) -> str:
    """Say what to try; TensorRT-RTX has no bfloat16 convolution."""
    return "; bf16 is not for every layer there: try --precision fp16" if settings.precision == "bf16" else ""


def _module(name: str) -> Any:
    return importlib.import_module(name)


class _Log:
    """Takes TensorRT's messages: errors are kept for our own message, the rest is dropped."""

    def __init__(self, trt: Any) -> None:
        kept = self

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                    kept.last = message

        self.last = "no reason given"
        self.own = Logger()
