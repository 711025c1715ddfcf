"""Names of devices, as far as they can be judged without PyTorch."""

import re
import shutil
import sys
from pathlib import Path

from ccd_fast.errors import UserError

SIGNS = (
    *("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/nvmap", "/dev/nvhost-gpu"),
    *("/dev/kfd", "/etc/nv_tegra_release"),
)
"""Files and folders of which one at least is there where torch could find a GPU: NVIDIA's, WSL's, Jetson's, AMD's."""


def refuse_at_once(device: str) -> None:
    """Refuse a name that is no device, and a GPU where there is no sign of one.

    Args:
        device: as ``--device`` gives it.

    Raises:
        UserError: there is no such device.
    """
    if "torch" in sys.modules:  # then it is asked: :func:`ccd_fast.machine.devices.check_device`
        return
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UserError(f"--device {device}: no such device; use cpu, cuda, cuda:N or auto")
    if device.startswith("cuda") and not may_have_a_gpu():
        raise UserError(f"--device {device}: there is no GPU, and no driver of one, here; use --device cpu")


def may_have_a_gpu() -> bool:
    """Tell whether there is any sign of a GPU or of its driver."""
    return any(Path(sign).exists() for sign in SIGNS) or shutil.which("nvidia-smi") is not None
