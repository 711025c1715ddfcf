"""Where a run runs: the device that was named, or the first GPU that works."""

import importlib.util
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from ccd_fast.errors import UserError
from ccd_fast.machine.saying import say_on_stderr

NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
"""A folder for each GPU that the driver of this machine has, whether or not torch can use it."""


def check_device(device: str) -> torch.device:
    """Give the torch device of a name; a GPU that has a number becomes the current one, as events and kernels want it.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"auto"``; see :func:`choose_device`.

    Raises:
        UserError: there is no such device here.
    """
    if device == "auto":
        place, _, unused = _first_that_works()
        if unused:
            say_on_stderr(_told(place, "", unused))
        return place
    try:
        place = torch.device(device)
    except RuntimeError:
        raise UserError(f"--device {device}: no such device; use cpu, cuda, cuda:N or auto") from None
    if place.type not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: not supported; use cpu, cuda, cuda:N or auto")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch finds no CUDA GPU here; use --device cpu")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {device}: this machine has {torch.cuda.device_count()} GPUs, counted from cuda:0")
    if place.index is not None and place.type == "cuda":
        torch.cuda.set_device(place)
    return place


def choose_device(device: str) -> tuple[torch.device, str]:
    """Settle where a run runs: with ``"auto"``, on the first GPU that works, and else on the CPU.

    A GPU works if it gives a sum; being there is not enough. Of processes that torchrun started each looks at the GPU
    of its own number only.

    Args:
        device: ``"auto"``, or one of :func:`check_device`.

    Returns:
        The device, and a line that says which it became and why no other; an empty one where the device was named.

    Raises:
        UserError: there is no such device; or one of several processes finds no GPU that works, and others may.
    """
    if device != "auto":
        return check_device(device), ""
    place, name, unused = _first_that_works()
    return place, _told(place, name, unused)


def _told(place: torch.device, name: str, unused: str) -> str:
    if place.type == "cuda":
        return f"device: {place}, {name}" + (f"; {unused}" if unused else "")
    if not unused:
        return "device: cpu; no NVIDIA GPU is here"
    return f"device: cpu; a GPU, or its driver, is here and is not used: {unused}; `ccd-fast doctor` says more"


def _first_that_works() -> tuple[torch.device, str, str]:
    """Give the first GPU that works, else the CPU; the GPU's name; and what is not used before it, with the reason."""
    with warnings.catch_warnings():  # torch warns of a driver that it cannot use; the line says it
        warnings.simplefilter("ignore")
        seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    unused: list[str] = []
    for index in _own(seen):
        place = torch.device("cuda", index)
        if not (why := _failure(place) or _lacking()):
            torch.cuda.set_device(place)
            return place, torch.cuda.get_device_name(place), "; ".join(unused)
        unused.append(f"{place} does not work ({why})")
    if seen and _processes() > 1:
        why = "; ".join(unused) or f"this machine has {seen} GPUs"
        raise UserError(
            f"--device auto: no GPU for process {_number()} of this machine, and others may have one: {why}"
        )
    return torch.device("cpu"), "", "; ".join(unused) or ("" if seen else _why_unseen())


def _own(seen: int) -> Sequence[int]:
    """Give the numbers of the GPUs that this process may take, of so many that torch sees."""
    return range(seen) if _processes() == 1 else range(_number(), min(_number() + 1, seen))


def _processes() -> int:
    """Give how many processes torchrun started, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _number() -> int:
    """Give the number of this process among those of this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def _failure(gpu: torch.device) -> str:
    """Say why a GPU that torch sees does not work, or nothing."""
    try:
        found = float(torch.ones(8, device=gpu).sum())
    except (AssertionError, RuntimeError) as error:  # torch's own, and those of CUDA
        return _first_line(error)
    return "" if found == 8 else f"eight ones give {found}"


def _lacking() -> str:
    """Say which library the kernels lack to run on a GPU, or nothing."""
    return "" if importlib.util.find_spec("cupy") else "CuPy is not installed: pip install 'ccd_fast[cuda]'"


def _why_unseen() -> str:
    """Say why torch sees no GPU though this machine's driver has some, or nothing where there is none."""
    if not any(NVIDIA_GPUS.glob("*")) and shutil.which("nvidia-smi") is None:
        return ""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    behind = "" if hidden is None else f" (CUDA_VISIBLE_DEVICES is {hidden!r})"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (AssertionError, RuntimeError) as error:
        return _first_line(error) + behind
    return f"torch sees none{behind}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
