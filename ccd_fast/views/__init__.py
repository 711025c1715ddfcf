"""Views: files become square uint8 pictures, whole, cropped, or changed for training.

Two backends do the same work behind one Protocol: DALI (fast; Linux) and Pillow (everywhere; the reference that DALI is
tested against). Imports the machine, kernels and the ground.
"""

from ccd_fast.views.backend import Interpolation, Photographs, ViewBackend
from ccd_fast.views.boxes import to_image_boxes
from ccd_fast.views.files import EncodedCache, read_bytes
from ccd_fast.views.opening import installed_backends, open_backend
from ccd_fast.views.prefetch import prefetched, works_ahead
from ccd_fast.views.training import flipped, jitter_factors

__all__ = [
    "EncodedCache",
    "Interpolation",
    "Photographs",
    "ViewBackend",
    "flipped",
    "installed_backends",
    "jitter_factors",
    "open_backend",
    "prefetched",
    "read_bytes",
    "to_image_boxes",
    "works_ahead",
]
