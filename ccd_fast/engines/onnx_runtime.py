"""The ONNX Runtime engine, on the CPU or by its CUDA provider."""

import contextlib
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ccd_fast.engines import onnx_export
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.engines.store import Store
from ccd_fast.engines.streams import FixedCall, replaying
from ccd_fast.engines.tower import EngineSettings, ImageTower
from ccd_fast.errors import UserError
from ccd_fast.machine import say_on_stderr

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
WARM_RUNS = 3
"""On a GPU the first run allocates, the second one may be captured, and the third one is as all others will be."""
REPLAYS_WITHOUT_WAITING = (1, 28)
"""The first release that was branched off after its pull request 28686: before it the host waits for every replay of a
CUDA graph, whatever the run's options say."""
LAUNCHES_HIDDEN_FROM = 32
"""Views in a call from which on a GPU takes longer to run the kernels than the host to launch them one by one: a graph
gains nothing there, and a host that waits for it cannot prepare what comes next."""


def installed() -> bool:
    """Tell whether ONNX Runtime can be imported."""
    return importlib.util.find_spec("onnxruntime") is not None


def version() -> str:
    """Give its version, whichever of its packages is installed."""
    import onnxruntime

    return str(onnxruntime.__version__)


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


def graph_pays(version: str, batch_size: int) -> bool:
    """Tell whether a release's CUDA graph makes calls of so many views faster, and the pass around them no slower."""
    release = tuple(int(part) for part in version.split(".")[:2])
    return release >= REPLAYS_WITHOUT_WAITING or batch_size < LAUNCHES_HIDDEN_FROM


def open_engine(tower: ImageTower, settings: EngineSettings, store: Store) -> "OnnxRuntimeEngine":
    """Open the tower's ONNX file, exporting it first if the store lacks it."""
    file = onnx_export.build(tower, settings.precision, store)
    return OnnxRuntimeEngine(file, tower.image_size, settings)


def open_session(
    file: Path | bytes, device: str, threads: int, stream: int = 0, cuda_graph: bool = False, batch_size: int = 0
) -> Any:
    """Open an ONNX file with the provider of a device.

    Args:
        file: the ONNX file, or its content.
        device: ``"cpu"`` or ``"cuda:0"``.
        threads: on the CPU.
        stream: handle of the CUDA stream to run on.
        cuda_graph: capture a run, and replay it from then on.
        batch_size: the only number of views that will come; 0 for any. With it nothing is left of the graph that
            computes shapes, which would run on the CPU and forbid a capture.

    Raises:
        UserError: ONNX Runtime took another provider than the one that was asked for.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if batch_size:
        options.add_free_dimension_override_by_name(onnx_export.VIEWS, batch_size)
    place = torch.device(device)
    arguments: dict[str, str] = {}
    complaint = ""
    if place.type == "cuda":
        complaint = _load_cuda_libraries()
        graph = "1" if cuda_graph else "0"
        arguments = {"device_id": str(place.index or 0), "user_compute_stream": str(stream)}
        arguments |= {"enable_cuda_graph": graph, "use_tf32": "0"}
    provider = PROVIDERS[place.type]
    session = onnxruntime.InferenceSession(file, options, providers=[(provider, arguments)])
    if session.get_providers()[0] != provider:
        taken = session.get_providers()[0]
        why = f"its CUDA libraries do not load here{f': {complaint}' if complaint else ''}"
        raise UserError(f"onnxruntime took {taken} instead of {provider}: {why}")
    return session


def _load_cuda_libraries() -> str:
    """Load the CUDA libraries that ONNX Runtime wants, those that came with torch first; say which is missing."""
    import onnxruntime

    if not hasattr(onnxruntime, "preload_dlls"):
        return ""
    printed = io.StringIO()
    for folder in (*_beside_torch(), None):
        printed = io.StringIO()  # it prints what it cannot find; the last word counts
        with contextlib.redirect_stdout(printed):
            onnxruntime.preload_dlls(directory=folder)
    return (printed.getvalue().strip().splitlines() or [""])[0]


def _beside_torch() -> list[str]:
    """Give the folder of the CUDA libraries that came with torch, where its wheels keep them in one (from CUDA 13)."""
    major = (torch.version.cuda or "").split(".")[0]
    folder = Path(torch.__file__).parents[1] / "nvidia" / f"cu{major}" / "lib"
    return [str(folder)] if major and folder.is_dir() else []


class OnnxRuntimeEngine:
    """Runs an exported tower; see :class:`ccd_fast.engines.ImageEngine`."""

    runtime = "onnxruntime"

    def __init__(self, file: Path, image_size: int, settings: EngineSettings) -> None:
        """Load the file."""
        self.key = file.parent.name
        self.image_size = image_size
        self.batch_size = settings.batch_size
        self._call: Callable[[torch.Tensor], torch.Tensor]
        if settings.device.startswith("cuda"):
            self._call = self._bound(file, settings)
        else:
            self.session = open_session(file, "cpu", settings.threads)
            self._call = self._run_on_the_cpu

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed views; see :class:`ccd_fast.engines.ImageEngine`."""
        return in_fixed_batches(pixels, self.batch_size, self._call)

    def _run_on_the_cpu(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(["embeddings"], {"pixels": pixels.numpy()})[0])

    def _bound(self, file: Path, settings: EngineSettings) -> FixedCall:
        """Bind input and output to fixed buffers on the GPU; ONNX Runtime captures its CUDA graph itself."""
        import onnx
        import onnxruntime

        graph = onnx.load(file, load_external_data=False).graph
        width = graph.output[0].type.tensor_type.shape.dim[1].dim_value
        what, version = f"onnxruntime, {settings.precision}", onnxruntime.__version__
        wanted = settings.cuda_graph
        if wanted and not graph_pays(version, settings.batch_size):
            wanted = False
            first = ".".join(map(str, REPLAYS_WITHOUT_WAITING))
            say_on_stderr(f"{what} runs without a CUDA graph: {version} would wait for each replay, {first} does not")
        return replaying(lambda replay: self._open_call(file, width, settings, replay), wanted, what)

    def _open_call(self, file: Path, width: int, settings: EngineSettings, cuda_graph: bool) -> FixedCall:
        import onnxruntime

        call = FixedCall(settings.batch_size, self.image_size, width, settings.device)
        stream = 0 if call.stream is None else call.stream.cuda_stream
        session = open_session(file, settings.device, 1, stream, cuda_graph, settings.batch_size)
        binding = session.io_binding()
        index = call.device.index or 0
        for bind, name, dtype, buffer in (
            (binding.bind_input, "pixels", np.uint8, call.pixels),
            (binding.bind_output, "embeddings", np.float32, call.embeddings),
        ):
            bind(name, "cuda", index, dtype, tuple(buffer.shape), buffer.data_ptr())
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        call.launch = lambda: session.run_with_iobinding(binding, options)
        call.warm_up(WARM_RUNS)
        self.session = session
        return call
