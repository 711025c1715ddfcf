"""Engines: the teacher's image tower, compiled for the machine that it runs on, and kept in a store.

Every runtime keeps one contract: uint8 RGB pixels in, unit embeddings out. Imports the machine, kernels and the ground.
"""

from ccd_fast.engines.precision import DTYPES, PRECISIONS, Precision
from ccd_fast.engines.runtimes import RUNTIMES, batch_size, build, open_engine, resolve, settings
from ccd_fast.engines.store import Store, default_folder
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
