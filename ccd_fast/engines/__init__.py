"""Engines: the teacher's image tower, compiled for the machine that it runs on, and kept in a store.

Every runtime keeps one contract: uint8 RGB pixels in, unit embeddings out. Imports the machine, kernels and the ground.
Names are handed on when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.engines.cache import default_folder
    from ccd_fast.engines.precision import DTYPES, PRECISIONS, Precision
    from ccd_fast.engines.runtimes import RUNTIMES, batch_size, build, open_engine, resolve, settings
    from ccd_fast.engines.store import Store
    from ccd_fast.engines.tower import EmbedPixels, EngineSettings, ImageEngine, ImageTower

__all__ = [
    "DTYPES",
    "PRECISIONS",
    "RUNTIMES",
    "EmbedPixels",
    "EngineSettings",
    "ImageEngine",
    "ImageTower",
    "Precision",
    "Store",
    "batch_size",
    "build",
    "default_folder",
    "open_engine",
    "resolve",
    "settings",
]

WHERE = {
    "precision": (
        "DTYPES",
        "PRECISIONS",
        "Precision",
    ),
    "runtimes": (
        "RUNTIMES",
        "batch_size",
        "build",
        "open_engine",
        "resolve",
        "settings",
    ),
    "cache": ("default_folder",),
    "store": ("Store",),
    "tower": (
        "EmbedPixels",
        "EngineSettings",
        "ImageEngine",
        "ImageTower",
    ),
}
__getattr__ = handed_on(__name__, WHERE)
