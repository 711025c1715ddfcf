"""Labels as folders for other programs: ultralytics' classification folders, and a dataset directory for FiftyOne."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast.outputs.held_names import as_one_name
from ccd_fast.outputs.labelling import Labelled
from ccd_fast.views import shards

Decided = NDArray[np.bool_]

HELD_OUT = 5
"""Of the photographs of a class, every fifth is for validation: ultralytics trains with nothing less."""


def ultralytics(labelled: Labelled, decided: Decided, folder: Path) -> None:
    """Put each photograph that has a label below its likeliest: ``train/CLASS/…`` and ``val/CLASS/…``.

    A class of ultralytics excludes the others, so that the likeliest label alone is told; photographs without one are
    left out. They are copied.
    """
    likeliest = labelled.table.masked_fill(~torch.from_numpy(decided), -1.0).argmax(dim=1).tolist()
    names = [as_one_name(name) for name in labelled.images.class_names]
    for part in ("train", "val"):
        for name in names:  # a class is known by its number among the folders, which must be the same in both
            (folder / part / name).mkdir(parents=True)
    seen = [0] * len(names)
    for row in np.flatnonzero(decided.any(axis=1)).tolist():
        c = likeliest[row]
        part = "val" if seen[c] % HELD_OUT == HELD_OUT - 1 else "train"
        seen[c] += 1
        file, place = labelled.images.root / labelled.images.paths[row], folder / part / names[c]
        _copy(file, place / as_one_name(labelled.images.paths[row]))


def fiftyone(labelled: Labelled, decided: Decided, folder: Path) -> None:
    """Write what FiftyOne loads as a ``FiftyOneImageClassificationDataset``: ``labels.json`` with confidences.

    ``data`` leads to the folder of the photographs, which are not copied. FiftyOne knows them by their paths without
    the ending.
    """
    images, labels = labelled.images, dict[str, list[dict[str, object]]]()
    for row in np.flatnonzero(labelled.readable.numpy()).tolist():
        name = str(PurePosixPath(images.paths[row]).with_suffix(""))
        numbers = labelled.table[row].tolist()
        of_one = np.flatnonzero(decided[row]).tolist()
        labels[name] = [{"label": images.class_names[c], "confidence": numbers[c]} for c in of_one]
    folder.mkdir()
    (folder / "data").symlink_to(images.root.absolute(), target_is_directory=True)
    text = json.dumps({"labels": labels}, ensure_ascii=False, indent=1)
    (folder / "labels.json").write_text(f"{text}\n", encoding="utf-8")


FOLDERS: dict[str, Callable[[Labelled, Decided, Path], None]] = {"ultralytics": ultralytics, "fiftyone": fiftyone}
"""By the name that ``--format`` takes; each fills a folder that is not there yet."""


def _copy(file: Path, target: Path) -> None:
    """Copy a photograph; programs that mend photographs in place must not mend the original."""
    if file.is_file():
        shutil.copyfile(file, target)
        return
    found = shards.place(file)
    assert found is not None  # it was read before
    target.write_bytes(next(shards.read([found], found.size)))
