"""Kernels: the fused operations of the method, as CUDA and as NumPy twins.

Imports the ground only: errors, prompts, randomness.
"""

from ccd_fast.kernels.operations import FIXED_POINT, available, cam_boxes, crop_resize, score, update

__all__ = ["FIXED_POINT", "available", "cam_boxes", "crop_resize", "score", "update"]
