"""Kernels: the three fused operations of the method, as CUDA and as NumPy twins.

Imports the ground only: errors, prompts, randomness.
"""

from ccd_fast.kernels.operations import FIXED_POINT, cam_boxes, score, update

__all__ = ["FIXED_POINT", "cam_boxes", "score", "update"]
