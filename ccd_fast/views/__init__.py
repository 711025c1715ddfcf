"""Views: files become square uint8 pictures, whole, cropped, or changed for training.

Two backends do the same work behind one Protocol: DALI (fast; Linux) and Pillow (everywhere; the reference that DALI is
tested against). Imports the machine, kernels and the ground. Names are handed on when they are asked for: whoever only
looks for files in shards, as data sets do, does not wait for torch.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.views.backend import Interpolation, Photographs, ViewBackend
    from ccd_fast.views.boxes import to_image_boxes
    from ccd_fast.views.files import EncodedCache, read_bytes
    from ccd_fast.views.installed import installed_backends
    from ccd_fast.views.opening import open_backend
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

WHERE = {
    "backend": (
        "Interpolation",
        "Photographs",
        "ViewBackend",
    ),
    "boxes": ("to_image_boxes",),
    "files": (
        "EncodedCache",
        "read_bytes",
    ),
    "installed": ("installed_backends",),
    "opening": ("open_backend",),
    "prefetch": (
        "prefetched",
        "works_ahead",
    ),
    "training": (
        "flipped",
        "jitter_factors",
    ),
}
__getattr__ = handed_on(__name__, WHERE)
