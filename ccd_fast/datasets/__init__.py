"""Data sets: each adapter turns what lies on disk into an ImageSet; the registry finds it by name.

Imports engines, views, runs, recipes and what is below them.
"""

from ccd_fast.datasets.boxes import Boxes
from ccd_fast.datasets.description import Description, Form
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.object_boxes import ObjectBoxes
from ccd_fast.datasets.registry import DATASETS, Source, everything, load, photographs

__all__ = [
    "DATASETS",
    "Boxes",
    "Description",
    "Form",
    "ImageSet",
    "ObjectBoxes",
    "Source",
    "everything",
    "load",
    "photographs",
]
