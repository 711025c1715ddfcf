"""What is known of a data set before anything is read: its classes, its splits, its tree, and where to get it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccd_fast.datasets.image_set import ImageSet


@dataclass(frozen=True)
class Form:
    """One form in which a data set is passed on.

    Attributes:
        name: in a few words.
        images: official number of images by split, ``"train"`` and ``"test"``; empty where there is none.
        source: where to get it.
        tree: what lies on disk, one line an entry.
    """

    name: str
    images: Mapping[str, int]
    source: str
    tree: str


@dataclass(frozen=True)
class Yours:
    """The adapter of a data set whose classes the user brings.

    Attributes:
        load: the root, the split, the file of the classes and that of the known labels, to an ImageSet.
        find: the root to the paths of all its images, of whatever split, relative to it; nothing is known of them.
    """

    load: Callable[[Path, str, Path | None, Path | None], ImageSet]
    find: Callable[[Path], list[str]]


@dataclass(frozen=True)
class Description:
    """A data set that an adapter reads.

    Attributes:
        name: as ``--dataset`` takes it.
        title: as people write it.
        class_names: C names as the data set's own labels have them; empty where the user brings them.
        prompt_names: C names as prompts have them.
        forms: the forms that the adapter reads; it finds out which one lies on disk.
        rules: what counts as a positive, and which images count.
        load: the adapter: the data set's root and the split, ``"train"`` or ``"test"``, to an ImageSet. None where
            the user brings classes.
        load_with: the adapter where the user brings other classes, in a file, than the data set's own; None where that
            cannot be.
        yours: the adapter where the user brings classes; else None.
        recipe: the built-in recipe that it is trained with where nobody names one.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    prompt_names: tuple[str, ...]
    forms: tuple[Form, ...]
    rules: str
    load: Callable[[Path, str], ImageSet] | None = None
    load_with: Callable[[Path, str, Path], ImageSet] | None = None
    yours: Yours | None = None
    recipe: str = "folder"

    def record(self) -> dict[str, Any]:
        """Give the description as plain data."""
        forms = [{"name": f.name, "images": dict(f.images), "source": f.source, "tree": f.tree} for f in self.forms]
        return {
            "name": self.name,
            "title": self.title,
            "classes": len(self.class_names),
            "class_names": list(self.class_names),
            "prompt_names": list(self.prompt_names),
            "forms": forms,
            "rules": self.rules,
        }
