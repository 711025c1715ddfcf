"""The data sets by name, and where one of them lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccd_fast.datasets import coco, entries, folder, imagefolder, nuswide, object_boxes, voc, webdataset
from ccd_fast.datasets.description import Description
from ccd_fast.datasets.image_set import ImageSet
from ccd_fast.datasets.listing import SUFFIXES, find_images, is_writable, listed
from ccd_fast.datasets.object_boxes import ObjectBoxes
from ccd_fast.errors import UserError, nearest, printable
from ccd_fast.views.shards import ENDING, is_shard, place

DATASETS: dict[str, Description] = {
    described.name: described
    for described in (
        folder.DESCRIPTION,
        imagefolder.DESCRIPTION,
        webdataset.DESCRIPTION,
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
        classes: text file of class names, one a line, for images or COCO's annotations of one's own.
        truth: CSV, Parquet or JSON lines of known labels, used for evaluation only, for images of one's own.

    Raises:
        UserError: the name is unknown, or what lies on disk is not such a data set.
    """
    described = _checked(dataset, root, classes, truth)
    if described.yours is not None:
        return described.yours.load(root, split, classes, truth)
    if classes is not None and described.load_with is not None:
        return described.load_with(root, split, classes)
    assert described.load is not None  # a description has one of the two
    return described.load(root, split)


def everything(dataset: str, root: Path, prompt_names: Sequence[str]) -> ImageSet:
    """Give all images of a data set, of whatever split, as images of which nothing is known.

    Args:
        dataset: one whose classes the user brings.
        root: the folder that holds it.
        prompt_names: as :attr:`ImageSet.prompt_names` holds them.

    Raises:
        UserError: the data set is another, or there are no images.
    """
    described = _checked(dataset, root, None, None)
    if described.yours is None:
        open_to = ", ".join(name for name, each in DATASETS.items() if each.yours)
        raise UserError(f"--dataset {dataset}: {described.title} has labels of its own; what is labelled is {open_to}")
    return folder.unlabelled(root, prompt_names, described.yours.find(root))


def photographs(path: Path) -> list[Path]:
    """List the photographs that a path means: a file, all images of a folder, or those in a tar shard.

    Raises:
        UserError: nothing is there, a folder or shard holds no images, or a shard is damaged or hostile.
    """
    if path.is_file() and is_shard(path.name):
        found = [path / name for name in webdataset.images_of(path)]
    elif path.is_dir():
        found = [path / name for name in find_images(path)]
    elif path.exists() or place(path) is not None:
        found = [path]
    else:
        raise UserError(f"{path}: no such file")
    if not found:
        shards = next((name for name in listed(path).files if is_shard(name)), None) if path.is_dir() else None
        mend = f"; for its shards name them, '{path}/*{ENDING}'" if shards else ""
        raise UserError(f"{path}: no images in it{mend}")
    return found


def described_as(dataset: str) -> Description:
    """Give the description of a data set.

    Raises:
        UserError: the name is unknown.
    """
    if dataset not in DATASETS:
        known = ", ".join(DATASETS)
        raise UserError(f"--dataset {dataset}: unknown; this version reads {known}" + nearest(dataset, DATASETS))
    return DATASETS[dataset]


def _checked(dataset: str, root: Path, classes: Path | None, truth: Path | None) -> Description:
    """Refuse what can be seen at once to be wrong; give the description."""
    described = described_as(dataset)
    for option, file in (("--classes", classes), ("--truth", truth)):
        may_be = described.yours or (option == "--classes" and described.load_with)
        if file is not None and not may_be:
            raise UserError(f"{option} {file}: {described.title} has its own; leave the option out")
    if not root.is_dir():
        raise UserError(f"--data-root {root}: no such folder")
    if not is_writable(str(root.resolve())):
        raise UserError(f"--data-root {printable(str(root.resolve()))}: its name is not UTF-8: rename it")
    return described


@dataclass(frozen=True)
class Source:
    """Where a data set is: a name of :data:`DATASETS`, its root, and the files that it needs beside it.

    Attributes:
        classes: see :func:`load`.
        truth: see :func:`load`.
        boxes: CSV of the objects' boxes, for a ``views.choice`` that needs them; by default the data set's own.
        known: CSV, Parquet or JSON lines of known entries of the training images' labels, which the method is told.
    """

    dataset: str
    root: Path
    classes: Path | None = None
    truth: Path | None = None
    boxes: Path | None = None
    known: Path | None = None

    def check(self) -> list[str]:
        """Refuse at once what can be seen before anything large is loaded.

        Returns:
            The images of a folder of one's own, relative to it; of other data sets nothing.

        Raises:
            UserError: an unknown name, a missing folder, an option too many, class names that cannot be read, or a
                folder of one's own without images.
        """
        described = _checked(self.dataset, self.root, self.classes, self.truth)
        if self.classes is not None:
            folder.read_class_names(self.classes)
        if described.yours is None:
            return []
        if not (found := described.yours.find(self.root)):
            raise UserError(f"--data-root {self.root}: no images in it ({', '.join(sorted(SUFFIXES))})")
        return found

    def resolved(self) -> "Source":
        """Give the same source with absolute paths."""
        files = (file.resolve() if file else None for file in (self.classes, self.truth, self.boxes, self.known))
        return Source(self.dataset, self.root.resolve(), *files)

    def load(self, split: str) -> ImageSet:
        """Load a split; see :func:`load`."""
        return load(self.dataset, self.root, split, self.classes, self.truth)

    def entries(self, images: ImageSet) -> NDArray[np.int8]:
        """Read the known entries of the training images' labels; see :func:`ccd_fast.datasets.entries.read`.

        Raises:
            UserError: there is no file of them, or it is not of these images.
        """
        if self.known is None:
            raise UserError("no known labels were given: give --known FILE")
        return entries.read(self.known, images)

    def objects(self, images: ImageSet) -> ObjectBoxes | None:
        """Read the objects' boxes of a split, where there are any.

        Raises:
            UserError: the file of boxes cannot be read, or is not of these images.
        """
        return object_boxes.read(self.boxes, images) if self.boxes else object_boxes.of(images)
