"""Kernels: the fused operations of the method, as CUDA and as NumPy twins.

Imports the ground only: errors, prompts, randomness. Names are handed on
when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.kernels.operations import FIXED_POINT, available, cam_boxes, crop_resize, score, update

__all__ = ["FIXED_POINT", "available", "cam_boxes", "crop_resize", "score", "update"]

WHERE = {
    "operations": (
        "FIXED_POINT",
        "available",
        "cam_boxes",
        "crop_resize",
        "score",
        "update",
    ),
}
__getattr__ = handed_on(__name__, WHERE)
