"""The labels by class, with photographs of each: the surest, and those that only just count."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ccd_fast.report.album import Album
from ccd_fast.report.charts import Bar

SIDE = 128
"""Longer side of an example, in pixels."""
PICTURED = 60
"""Classes that are shown with examples, those with most photographs; of more a page would become too large to send."""
LISTED = 240
"""Classes behind them that are listed with their counts."""
COUNTS = 0.5
"""The label from which on a photograph counts for a class, where nothing else is said."""


@dataclass(frozen=True)
class Example:
    """A photograph of a class.

    Attributes:
        path: relative to the data set's root.
        picture: as a data URL.
        label: its label for the class.
        truth: whether the class is there; None where that is not known.
    """

    path: str
    picture: str
    label: float
    truth: bool | None


@dataclass(frozen=True)
class OfClass:
    """A class and its photographs.

    Attributes:
        name: of the class.
        count: photographs whose label counts.
        least: the label from which on one does.
        examples: some of them; the likeliest ones where none counts.
    """

    name: str
    count: int
    least: float = COUNTS
    examples: list[Example] = field(default_factory=list)


def by_class(counts: list[Bar], album: Album | None) -> list[OfClass]:
    """Give the classes, those with most photographs first.

    Args:
        counts: photographs by class, in that order.
        album: the photographs; None where they are not shown.
    """
    found = [
        OfClass(bar.name, int(bar.values["photographs"] or 0), bar.values.get("least") or COUNTS) for bar in counts
    ]
    if album is None:
        return found
    places = {name: place for place, name in enumerate(album.model.class_names)}
    chosen = {one.name: rows_to_show(album.after[:, places[one.name]], one.least) for one in found[:PICTURED]}
    copies = dict(album.copies(sorted({row for rows in chosen.values() for row in rows}), SIDE))
    return [
        OfClass(
            one.name,
            one.count,
            one.least,
            [
                Example(
                    album.images.paths[row],
                    copies[row],
                    float(album.after[row, places[one.name]]),
                    album.truth(row, places[one.name]),
                )
                for row in chosen.get(one.name, [])
                if row in copies
            ],
        )
        for one in found
    ]


def rows_to_show(labels: NDArray[np.float32], least: float = COUNTS) -> list[int]:
    """Choose photographs of a class: the two surest, and the last two that count; the likeliest two where none does.

    Args:
        labels: (N,), of one class; NaN is last.
        least: the label from which on a photograph counts.
    """
    order = np.argsort(-labels, kind="stable")
    counting = int((labels >= np.float32(least)).sum())
    ends = (
        order[:2] if not counting else order[:counting] if counting <= 4 else order[[0, 1, counting - 2, counting - 1]]
    )
    return [int(row) for row in ends]
