"""What a run ran on: device, machine, versions, revision."""

import ctypes
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ccd_fast import __version__

PACKAGES = (
    *("torch", "torchvision", "timm", "open_clip_torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu"),
    *("nvidia-dali-cuda130", "numpy", "pillow", "pyarrow", "safetensors"),
)


def describe() -> dict[str, Any]:
    """Describe machine and software, for the records of runs and benchmarks."""
    return {
        "ccd_fast": __version__,
        "revision": _revision(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        **_gpu(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _gpu() -> dict[str, Any]:
    """Name the GPU, where there is one."""
    if not torch.cuda.is_available():
        return {}
    major, minor = torch.cuda.get_device_capability()
    return {"gpu": torch.cuda.get_device_name(), "capability": f"{major}.{minor}", "cuda": torch.version.cuda}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Name the processor as Linux does, or as Python knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _revision() -> str | None:
    """Give the git revision of the source, with a plus if it was changed; None for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def keep_freed_memory() -> bool:
    """Tell glibc to keep the memory that torch frees, for its next step, instead of giving it back page by page.

    A training step on the CPU frees and asks for the same gigabyte again and again; with glibc's own settings a
    quarter of the time goes into page faults. ``benchmarks/results/cpu-allocator.json`` has the measurement. All
    threads share one arena: memory that one of them frees serves the others, so that a long run does not grow
    (``benchmarks/results/cpu-soak.json``).

    Returns:
        Whether the settings were taken; False where the C library is another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8  # names and numbers of malloc.h
    settings = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 * 2**20), (arena_max, 1))
    taken = [mallopt(name, value) == 1 for name, value in settings]
    return all(taken)
