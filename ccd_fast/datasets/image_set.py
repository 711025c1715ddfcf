"""What every part of ccd_fast knows of a data set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccd_fast.datasets.boxes import Boxes
from ccd_fast.errors import UserError
from ccd_fast.views import shards


@dataclass(frozen=True)
class ImageSet:
    """One split of a data set. Row i of everything that speaks of images is ``paths[i]``, for ever.

    Attributes:
        name: the data set's name, e.g. ``"folder"``.
        split: ``"train"`` or ``"test"``.
        root: the folder that the paths are relative to.
        paths: N paths with forward slashes, relative to ``root``.
        class_names: C names, as labels name them.
        prompt_names: C names, as prompts name them; several names of a class are joined by `` | ``.
        truth: (N, C) bool, the known labels, or None where nothing is known.
        known: (N,) bool, the rows of ``truth`` that are known.
        boxes: of the objects that make their class positive, or None where the data set has none. For evaluation only.
        official: how many images the official split has, or None where there is none.
    """

    name: str
    split: str
    root: Path
    paths: tuple[str, ...]
    class_names: tuple[str, ...]
    prompt_names: tuple[str, ...]
    truth: NDArray[np.bool_] | None
    known: NDArray[np.bool_]
    boxes: Boxes | None = None
    official: int | None = None

    def __len__(self) -> int:
        """Give N, the number of images."""
        return len(self.paths)

    def files(self, rows: NDArray[np.int64]) -> list[Path]:
        """Give the files of some rows."""
        return [self.root / self.paths[row] for row in rows]

    def files_of_all(self) -> list[Path]:
        """Give all N files."""
        return [self.root / path for path in self.paths]

    def missing(self, rows: slice = slice(None)) -> list[str]:
        """Give the paths, of some rows or of all, that are not on disk."""
        return [path for path in self.paths[rows] if shards.size(self.root / path) is None]

    def refuse_missing(self, allowed: float) -> None:
        """Refuse a tree of which much is missing, as an archive that was extracted in part; no image is opened.

        Args:
            allowed: share of the images that may be missing.

        Raises:
            UserError: it says how many, and names one.
        """
        missing = self.missing()
        if len(missing) > allowed * len(self):
            what = "training" if self.split == "train" else "test"
            raise UserError(
                f"{self.root}: {len(missing)} of the {len(self)} {what} images are not there, more than "
                f"views.max_bad_frac = {allowed:g} allows, for example {missing[0]}: was an archive extracted in part?"
            )
