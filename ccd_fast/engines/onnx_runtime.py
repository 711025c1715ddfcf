"""The ONNX Runtime engine, on the CPU or by its CUDA provider."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.store import Store
from ccd_fast.engines.streams import FixedCall
from ccd_fast.engines.tower import EngineSettings, ImageTower
from ccd_fast.errors import UserError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def installed() -> bool:
    """Tell whether ONNX Runtime can be imported."""
    return importlib.util.find_spec("onnxruntime") is not None


def problem(device: str, precision: str) -> str:
    """Say why this runtime cannot run here, or nothing."""
    extra = "cuda" if device.startswith("cuda") else "cpu"
    if not installed():
        return f"not installed: pip install 'ccd_fast[{extra}]'"
    if extra == "cpu":
        return "" if precision == "fp32" else f"its CPU provider has no sound {precision}: use fp32"
    import onnxruntime

    if PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return "this onnxruntime has no CUDA provider: pip uninstall onnxruntime && pip install 'ccd_fast[cuda]'"
    if not torch.cuda.is_available():
        return "torch sees no NVIDIA GPU"
    return ""


def open_engine(tower: ImageTower, settings: EngineSettings, store: Store) -> "OnnxRuntimeEngine":
    """Open the tower's ONNX file, exporting it first if the store lacks it."""
    file = onnx_export.build(tower, settings.precision, store)
    return OnnxRuntimeEngine(file, tower.image_size, settings)


def open_session(file: Path | bytes, device: str, threads: int, stream: int = 0, cuda_graph: bool = False) -> Any:
    """Open an ONNX file with the provider of a device.

    Args:
        file: the ONNX file, or its content.
        device: ``"cpu"`` or ``"cuda:0"``.
        threads: on the CPU.
        stream: handle of the CUDA stream to run on.
        cuda_graph: capture the first run, and replay it from then on.

    Raises:
        UserError: ONNX Runtime took another provider than the one that was asked for.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    place = torch.device(device)
    arguments: dict[str, str] = {}
    if place.type == "cuda":
        graph = "1" if cuda_graph else "0"
        arguments = {"device_id": str(place.index or 0), "user_compute_stream": str(stream)}
        arguments |= {"enable_cuda_graph": graph, "use_tf32": "0"}
    provider = PROVIDERS[place.type]
    session = onnxruntime.InferenceSession(file, options, providers=[(provider, arguments)])
    if session.get_providers()[0] != provider:
        taken = session.get_providers()[0]
        raise UserError(f"onnxruntime took {taken} instead of {provider}: its CUDA libraries do not load here")
    return session


class OnnxRuntimeEngine:
    """Runs an exported tower; see :class:`ccd_fast.engines.ImageEngine`."""

    runtime = "onnxruntime"

    def __init__(self, file: Path, image_size: int, settings: EngineSettings) -> None:
        """Load the file."""
        self.key = file.parent.name
        self.image_size = image_size
        self.batch_size = settings.batch_size
        self._run: Callable[[torch.Tensor], torch.Tensor]
        if settings.device.startswith("cuda"):
            self._run = self._bound(file, settings)
        else:
            self.session = open_session(file, "cpu", settings.threads)
            self._run = self._run_on_the_cpu

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        return in_fixed_batches(pixels, self.batch_size, self._run)

    def _run_on_the_cpu(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(["embeddings"], {"pixels": pixels.numpy()})[0])

    def _bound(self, file: Path, settings: EngineSettings) -> FixedCall:
        """Bind input and output to fixed buffers on the GPU; ONNX Runtime captures its CUDA graph itself."""
        import onnx
        import onnxruntime

        graph = onnx.load(file, load_external_data=False).graph
        width = graph.output[0].type.tensor_type.shape.dim[1].dim_value
        call = FixedCall(settings.batch_size, self.image_size, width, settings.device)
        self.session = open_session(file, settings.device, 1, call.stream.cuda_stream, settings.cuda_graph)
        binding = self.session.io_binding()
        index = call.device.index or 0
        for bind, name, dtype, buffer in (
            (binding.bind_input, "pixels", np.uint8, call.pixels),
            (binding.bind_output, "embeddings", np.float32, call.embeddings),
        ):
            bind(name, "cuda", index, dtype, tuple(buffer.shape), buffer.data_ptr())
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        call.launch = lambda: self.session.run_with_iobinding(binding, options)
        return call
