"""Which backend makes the views here: DALI (fast; Linux) or Pillow (everywhere)."""

import torch

from ccd_fast.errors import UserError
from ccd_fast.views.backend import ViewBackend
from ccd_fast.views.files import Reader, read_bytes
from ccd_fast.views.header import DEFAULT_MAX_MEGAPIXELS
from ccd_fast.views.installed import installed_backends


def open_backend(
    name: str,
    threads: int,
    device: str = "cpu",
    max_megapixels: float = DEFAULT_MAX_MEGAPIXELS,
    read: Reader = read_bytes,
) -> ViewBackend:
    """Open the backend that decodes, resizes and crops.

    Args:
        name: ``"dali"``, ``"pillow"``, or ``"auto"``: DALI where it is installed, else, on the CPU, Pillow.
        threads: threads for decoding and resizing.
        device: where views are made: ``"cpu"`` or ``"cuda"``. Pillow always works on the host; its views are then
            moved to the device.
        max_megapixels: a photograph of more pixels, in 10^6, is refused by its header.
        read: gives a file's bytes; an :class:`EncodedCache` reads each file once.

    Raises:
        UserError: DALI is asked for, or needed for speed, and not installed; or there is no such device.
    """
    installed = "dali" in installed_backends()
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {device}: torch finds no CUDA GPU here; use the device cpu")
    if name == "dali" and not installed:
        raise UserError("views.backend = 'dali': nvidia-dali is not installed (Linux only); use views.backend=pillow")
    if name == "auto" and not installed and torch.device(device).type != "cpu":
        raise UserError(
            f"views.backend = 'auto': device {device} needs nvidia-dali, which is not installed; install it, or take "
            "the slow way by name: views.backend=pillow"
        )
    if name == "dali" or (name == "auto" and installed):
        if torch.device(device).type == "cpu":
            from ccd_fast.views.host import HostViews

            return HostViews(threads, max_megapixels, read)
        from ccd_fast.views.dali import DaliViews

        return DaliViews(threads, device, max_megapixels, read)
    from ccd_fast.views.pillow import PillowViews

    return PillowViews(device, max_megapixels, read, threads)
