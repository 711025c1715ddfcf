"""Data sets: each adapter turns what lies on disk into an ImageSet; the registry finds it by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ccd_fast.datasets import folder
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.errors import UserError, nearest

__all__ = ["ADAPTERS", "ImageSet", "Source", "load"]

Adapter = Callable[[Path, str, Path | None, Path | None], ImageSet]

ADAPTERS: dict[str, Adapter] = {"folder": folder.load}


def load(dataset: str, root: Path, split: str, classes: Path | None = None, truth: Path | None = None) -> ImageSet:
    """Load one split of a data set.

    Args:
        dataset: a name of :data:`ADAPTERS`.
        root: the folder that holds the data set.
        split: ``"train"`` or ``"test"``.
        classes: text file of class names, one a line, where the data set has none of its own.
        truth: CSV or Parquet of known labels, used for evaluation only.

    Raises:
        UserError: the name is unknown, or what lies on disk is not such a data set.
    """
    if dataset not in ADAPTERS:
        known = ", ".join(ADAPTERS)
        raise UserError(f"--dataset {dataset}: unknown; this version reads {known}" + nearest(dataset, ADAPTERS))
    if not root.is_dir():
        raise UserError(f"--data-root {root}: no such folder")
    return ADAPTERS[dataset](root, split, classes, truth)


@dataclass(frozen=True)
class Source:
    """Where a data set is: a name of :data:`ADAPTERS`, its root, and the files it needs."""

    dataset: str
    root: Path
    classes: Path | None = None
    truth: Path | None = None

    def load(self, split: str) -> ImageSet:
        """Load a split; see :func:`load`."""
        return load(self.dataset, self.root, split, self.classes, self.truth)
