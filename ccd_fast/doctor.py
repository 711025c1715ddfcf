"""What works on this machine, what does not, and why; it never raises.

A glance (:func:`glance`) reads what is installed, and loads nothing large. :func:`examine` loads each library and tries
it: that takes as long as the loading does.
"""

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccd_fast.errors import UserError

if TYPE_CHECKING:
    import torch

NEEDED = ("torch", "torchvision", "open_clip", "timm", "onnx")
"""Parts that nothing goes without."""
NO_DALI = "not installed (Linux only): views.backend = 'pillow' works, slower"
NO_ONNX_RUNTIME = "pip install 'ccd_fast[cpu]' (or [cuda])"
NO_CUPY = "needed on a GPU only: pip install 'ccd_fast[cuda]'"
ENOUGH_DISK = 10 * 2**30
"""Free bytes below which a large teacher's engines and a run may not fit."""


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        part: what was looked at.
        state: ``"works"``, ``"installed"`` (it is there and was not tried), ``"partly"`` (some of what it is for can be
            done here), ``"missing"`` (something optional is not there) or ``"broken"`` (it is there and does not work,
            or ccd_fast cannot do without it).
        detail: version or figures, or the reason and the mend.
    """

    part: str
    state: str
    detail: str


HERE = "this machine"
"""The last part of a report: what can be done here."""


def glance() -> list[Finding]:
    """Look at what is installed, without loading it; for a machine without a sign of a GPU."""
    found = [_guarded(part, look) for part, look in AT_A_GLANCE.items()]
    return [*found, Finding(HERE, *_possible(found))]


def examine() -> list[Finding]:
    """Load and try everything that ccd_fast runs on."""
    found = [_guarded(part, look) for part, look in PARTS.items()]
    return [*found, Finding(HERE, *_possible(found))]


def _possible(found: list[Finding]) -> tuple[str, str]:
    """Say in a line what can be done on this machine, from what was found."""
    parts = {finding.part: finding for finding in found}
    if lacking := [part for part in NEEDED if parts[part].state in ("missing", "broken")]:
        return "broken", f"nothing can be labelled or trained here before {', '.join(lacking)} can be loaded"
    there = {part for part, finding in parts.items() if finding.state in ("works", "installed")}
    device, teacher, views = (parts.get(f"auto: {part}") for part in ("device", "teacher", "views"))
    if device is not None and teacher is not None and views is not None:
        if "broken" in (device.state, teacher.state, views.state):
            return "broken", "nothing can be labelled or trained here before what is broken is mended"
        where = "the CPU" if device.detail.startswith("cpu") else device.detail
        by, eyes = teacher.detail.split(" in ")[0], views.detail.split(",")[0]
    else:
        where, by = "the CPU", "onnxruntime" if "onnxruntime" in there else "torch, slower than by onnxruntime"
        eyes = "dali" if "DALI" in there else "pillow, slower than by dali"
    return (
        "works",
        f"labels, trains and predicts on {where}: the teacher runs by {by}, photographs are decoded by {eyes}",
    )


def _guarded(part: str, look: Callable[[], tuple[str, str]]) -> Finding:
    """A part whose look itself fails is broken, and the report goes on."""
    try:
        state, detail = look()
    except UserError as error:
        state, detail = "missing", str(error)
    except Exception as error:  # noqa: BLE001  a broken library may raise anything at import
        lines = str(error).strip().splitlines()
        state, detail = "broken", f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    return Finding(part, state, detail)


def _python() -> tuple[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return "works", f"{platform.python_version()}, {platform.system()} {platform.machine()}, {cores} cores"


def _memory() -> tuple[str, str]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return "works", f"{pages / 2**30:.0f} GiB"


def _library(module: str, attribute: str = "__version__") -> Callable[[], tuple[str, str]]:
    """A library that ccd_fast cannot do without: import it for real."""

    def look() -> tuple[str, str]:
        return "works", str(getattr(importlib.import_module(module), attribute))

    return look


def _installed(distribution: str) -> Callable[[], tuple[str, str]]:
    """A library that ccd_fast cannot do without, by what its package says of itself."""

    def look() -> tuple[str, str]:
        try:
            return "installed", metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return "broken", f"not installed: pip install {distribution}"

    return look


def _some(beginning: str, without: str) -> Callable[[], tuple[str, str]]:
    """An optional library, whose package has one of several names; ``without`` is said where there is none."""

    def look() -> tuple[str, str]:
        found = {str(each.metadata["Name"]): each.version for each in metadata.distributions(path=sys.path)}
        named = sorted(name for name in found if name.lower().replace("_", "-").startswith(beginning))
        return ("installed", f"{named[0]} {found[named[0]]}") if named else ("missing", without)

    return look


def _no_gpu() -> tuple[str, str]:
    return "missing", "no GPU, and no driver of one, is here; --device cpu works"


def _gpu() -> tuple[str, str]:
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"this torch is built for CUDA {built}, and sees no card or driver" if built else "this torch has no CUDA"
        return "missing", f"no NVIDIA GPU: {why}; --device cpu works"
    cards = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        cards.append(f"{facts.name} ({facts.total_memory / 2**30:.0f} GiB, {facts.major}.{facts.minor})")
    left = float(torch.ones(8, device="cuda").sum())  # a card that is seen may still refuse to work
    return "works" if left == 8 else "broken", ", ".join(cards)


def _driver() -> tuple[str, str]:
    file = Path("/proc/driver/nvidia/version")
    if not file.is_file():
        return "missing", "no NVIDIA driver is loaded"
    return "works", file.read_text(encoding="utf-8").splitlines()[0].split("Module", 1)[-1].strip()


def _dali() -> tuple[str, str]:
    import importlib.util

    if importlib.util.find_spec("nvidia") is None or importlib.util.find_spec("nvidia.dali") is None:
        return "missing", NO_DALI
    import nvidia.dali

    return "works", str(nvidia.dali.__version__)


def _onnx_runtime() -> tuple[str, str]:
    from ccd_fast.engines import onnx_runtime

    if not onnx_runtime.installed():
        return "missing", NO_ONNX_RUNTIME
    import onnxruntime

    providers = [p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers()]
    return "works", f"{onnxruntime.__version__}, providers {', '.join(providers)}"


def _tensorrt() -> tuple[str, str]:
    from ccd_fast.engines import tensorrt_runtime

    name = tensorrt_runtime.module_name()
    if not name:
        return "missing", tensorrt_runtime.can_build("cuda")
    version = importlib.import_module(name).__version__
    why = tensorrt_runtime.problem("cuda", "fp16")
    if not why:
        return "works", f"{name} {version}"
    if tensorrt_runtime.can_build("cuda"):
        return "missing", f"{name} {version} can neither build plans here nor run them: {why}"
    return "partly", f"{name} {version} builds plans, but cannot run them here: {why}"


def _cupy() -> tuple[str, str]:
    import importlib.util

    if importlib.util.find_spec("cupy") is None:
        return "missing", NO_CUPY
    import cupy

    return "works", str(cupy.__version__)


def _runtimes(device: str, precision: str) -> Callable[[], tuple[str, str]]:
    """Which runtimes can run a teacher on a device, the one that ``auto`` takes first."""

    def look() -> tuple[str, str]:
        from ccd_fast.engines import runtimes

        problems = {name: runtime.problem(device, precision) for name, runtime in runtimes.RUNTIMES.items()}
        works = [name for name, why in problems.items() if not why]
        if not works:
            return "missing", "; ".join(f"{name}: {why}" for name, why in problems.items())
        auto = next((name for name in runtimes.AUTO[device] if name in works), works[0])
        return "works", f"auto takes {auto}; there are {', '.join(works)}"

    return look


def _auto_device() -> tuple[str, str]:
    place, line = _auto()
    unused = place.type == "cpu" and "not used" in line
    return "partly" if unused else "works", line.removeprefix("device: ")


def _auto() -> tuple["torch.device", str]:
    """Give the device that ``--device auto`` takes, and what it says of it."""
    from ccd_fast import machine

    return machine.choose_device("auto")


def _auto_teacher() -> tuple[str, str]:
    from ccd_fast import engines

    settled = engines.resolve(engines.settings("auto", "auto", 1, str(_auto()[0])))
    return "works", f"{settled.runtime} in {settled.precision}, on {settled.device}"


def _auto_student() -> tuple[str, str]:
    from ccd_fast.student import engine

    place = _auto()[0]
    few, many = (engine.choose("auto", passes, place.type) for passes in (0, engine.PAYS_FROM))
    below = "" if few == many else f" for {engine.PAYS_FROM:,} views and more, {few} for fewer"
    return "works", f"{many}{below}, on {place}; training is by torch"


def _auto_views() -> tuple[str, str]:
    from ccd_fast.views import open_backend

    place = _auto()[0]
    return "works", f"{open_backend('auto', 1, str(place)).name}, for {place}"


def _auto_kernels() -> tuple[str, str]:
    import torch

    from ccd_fast import kernels

    place = _auto()[0]
    sums, counts = torch.zeros((2, 3), dtype=torch.int64, device=place)
    scores, _ = kernels.score(torch.zeros((1, 3), device=place), 2.0, sums, counts)
    state = "works" if torch.allclose(scores.cpu(), torch.full((1, 3), 1 / 3)) else "broken"
    return state, f"{'CUDA, by CuPy' if place.type == 'cuda' else 'their NumPy twins'}, on {place}"


def _cache() -> tuple[str, str]:
    from ccd_fast.engines import Store

    store = Store()
    above = next(folder for folder in (store.folder, *store.folder.parents) if folder.exists())
    free = shutil.disk_usage(above).free
    if not os.access(above, os.W_OK):
        return "broken", f"{above} cannot be written to; set CCD_CACHE"
    keys = store.keys()
    size = sum(store.size(key) for key in keys)
    detail = f"{len(keys)} engines ({size / 2**20:.0f} MiB) in {store.folder}, {free / 2**30:.0f} GiB free"
    if damaged := store.damaged():
        return "broken", f"{detail}; damaged: {', '.join(damaged)}: see ccd-fast build-engines --list"
    return "works" if free >= ENOUGH_DISK else "broken", detail + ("" if free >= ENOUGH_DISK else ": little room")


PARTS: dict[str, Callable[[], tuple[str, str]]] = {
    "python": _python,
    "memory": _memory,
    "torch": _library("torch"),
    "torchvision": _library("torchvision"),
    "open_clip": _library("open_clip"),
    "timm": _library("timm"),
    "onnx": _library("onnx"),
    "GPU": _gpu,
    "driver": _driver,
    "DALI": _dali,
    "onnxruntime": _onnx_runtime,
    "TensorRT": _tensorrt,
    "CuPy": _cupy,
    "teacher on a CPU": _runtimes("cpu", "fp32"),
    "teacher on a GPU": _runtimes("cuda", "fp16"),
    "auto: device": _auto_device,
    "auto: teacher": _auto_teacher,
    "auto: student": _auto_student,
    "auto: views": _auto_views,
    "auto: kernels": _auto_kernels,
    "engine store": _cache,
}


AT_A_GLANCE: dict[str, Callable[[], tuple[str, str]]] = {
    "python": _python,
    "memory": _memory,
    "torch": _installed("torch"),
    "torchvision": _installed("torchvision"),
    "open_clip": _installed("open_clip_torch"),
    "timm": _installed("timm"),
    "onnx": _installed("onnx"),
    "GPU": _no_gpu,
    "DALI": _some("nvidia-dali-cuda", NO_DALI),
    "onnxruntime": _some("onnxruntime", NO_ONNX_RUNTIME),
    "TensorRT": _some("tensorrt", "needed on a GPU only, or to build plans for one"),
    "CuPy": _some("cupy", NO_CUPY),
    "engine store": _cache,
}


def summary(findings: list[Finding]) -> dict[str, Any]:
    """Give the report as plain data, for ``--json``."""
    return {f.part: {"state": f.state, "detail": f.detail} for f in findings}
