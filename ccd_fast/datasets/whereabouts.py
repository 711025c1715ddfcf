"""Where a data set lies when nobody says: under ``$CCD_DATA``, or under ``data`` in the current folder."""

import os
from pathlib import Path

from ccd_fast.datasets.registry import described_as
from ccd_fast.errors import UserError

HOME = "CCD_DATA"
"""Environment variable: a folder that holds data sets, each in a folder of its name."""


def find(dataset: str) -> Path:
    """Find the folder that holds a data set: ``$CCD_DATA/<dataset>``, or else ``data/<dataset>``.

    Raises:
        UserError: the name is unknown, the photographs are one's own, or it is in neither place; the line says where it
            was looked for and how the data set is had.
    """
    described = described_as(dataset)
    if described.yours is not None:
        raise UserError("--data-root FOLDER is needed: the folder that holds the photographs")
    home = os.environ.get(HOME)
    places = [Path(home) / dataset] if home else []
    places.append(Path("data") / dataset)
    for place in places:
        if place.is_dir():
            return place
    unset = "" if home else f" (${HOME} is not set)"
    raise UserError(
        f"--dataset {dataset}: no {described.title} in {' or '.join(map(str, places))}{unset}: name its folder with "
        f"--data-root, or put it there: it comes from {described.forms[0].source}; its tree: ccd-fast datasets"
    )


def recipe_of(dataset: str) -> str:
    """Name the recipe that a data set is trained with where nobody names one.

    Raises:
        UserError: the name is unknown.
    """
    return described_as(dataset).recipe
