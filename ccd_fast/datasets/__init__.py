"""Data sets: each adapter turns what lies on disk into an ImageSet; the registry finds it by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ccd_fast.datasets import coco, folder, nuswide, voc
from ccd_fast.datasets.boxes import Boxes
from ccd_fast.datasets.description import Description, Form
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.errors import UserError, nearest

__all__ = ["DATASETS", "Boxes", "Description", "Form", "ImageSet", "Source", "load"]

DATASETS: dict[str, Description] = {
    described.name: described
    for described in (
        folder.DESCRIPTION,
        voc.DESCRIPTIONS[2007],
        voc.DESCRIPTIONS[2012],
        coco.DESCRIPTIONS[2014],
        coco.DESCRIPTIONS[2017],
        nuswide.DESCRIPTION,
    )
}


def load(dataset: str, root: Path, split: str, classes: Path | None = None, truth: Path | None = None) -> ImageSet:
    """Load one split of a data set.

    Args:
        dataset: a name of :data:`DATASETS`.
        root: the folder that holds the data set.
        split: ``"train"`` or ``"test"``.
        classes: text file of class names, one a line, for a folder of one's own.
        truth: CSV or Parquet of known labels, used for evaluation only, for a folder of one's own.

    Raises:
        UserError: the name is unknown, or what lies on disk is not such a data set.
    """
    adapter = _adapter(dataset, root, classes, truth)
    return folder.load(root, split, classes, truth) if adapter is None else adapter(root, split)


def _adapter(
    dataset: str, root: Path, classes: Path | None, truth: Path | None
) -> Callable[[Path, str], ImageSet] | None:
    """Refuse what can be seen at once to be wrong; give the adapter, None for a folder of one's own."""
    if dataset not in DATASETS:
        known = ", ".join(DATASETS)
        raise UserError(f"--dataset {dataset}: unknown; this version reads {known}" + nearest(dataset, DATASETS))
    adapter = DATASETS[dataset].load
    for option, file in (("--classes", classes), ("--truth", truth)):
        if adapter is not None and file is not None:
            raise UserError(f"{option} {file}: {DATASETS[dataset].title} has its own; leave the option out")
    if not root.is_dir():
        raise UserError(f"--data-root {root}: no such folder")
    return adapter


@dataclass(frozen=True)
class Source:
    """Where a data set is: a name of :data:`DATASETS`, its root, and the files it needs."""

    dataset: str
    root: Path
    classes: Path | None = None
    truth: Path | None = None

    def check(self) -> None:
        """Refuse at once what takes no reading to see: an unknown name, a missing folder, an option too many.

        Raises:
            UserError: one of these.
        """
        _adapter(self.dataset, self.root, self.classes, self.truth)

    def resolved(self) -> "Source":
        """Give the same source with absolute paths."""
        classes, truth = (file.resolve() if file else None for file in (self.classes, self.truth))
        return Source(self.dataset, self.root.resolve(), classes, truth)

    def load(self, split: str) -> ImageSet:
        """Load a split; see :func:`load`."""
        return load(self.dataset, self.root, split, self.classes, self.truth)
