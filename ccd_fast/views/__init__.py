"""Views: files become square uint8 pictures, whole, cropped, or changed for training.

Two backends do the same work behind one Protocol: DALI (fast; Linux) and Pillow (everywhere; the reference
that DALI is tested against).
"""

import importlib.util

from ccd_fast.errors import UserError
from ccd_fast.views.backend import Interpolation, Photographs, ViewBackend
from ccd_fast.views.boxes import to_image_boxes
from ccd_fast.views.training import flipped, jitter_factors

__all__ = ["Interpolation", "Photographs", "ViewBackend", "flipped", "jitter_factors", "open_backend", "to_image_boxes"]


def open_backend(name: str, threads: int) -> ViewBackend:
    """Open the backend that decodes, resizes and crops.

    Args:
        name: ``"dali"``, ``"pillow"``, or ``"auto"``: DALI where it is installed.
        threads: threads for decoding and resizing.

    Raises:
        UserError: DALI is asked for and not installed.
    """
    installed = importlib.util.find_spec("nvidia") is not None and importlib.util.find_spec("nvidia.dali") is not None
    if name == "dali" and not installed:
        raise UserError("views.backend = 'dali': nvidia-dali is not installed (Linux only); use views.backend=pillow")
    if name == "dali" or (name == "auto" and installed):
        from ccd_fast.views.dali import DaliViews

        return DaliViews(threads)
    from ccd_fast.views.pillow import PillowViews

    return PillowViews()
