"""The ways in which a relabel pass is run, to be held against each other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from card.setting import Setting
from ccd_fast.views import installed_backends

SAYS = {
    "dali": "views by DALI",
    "pillow": "views by Pillow, on one thread of the host: says nothing of a card",
    "drawn": "pictures that lie decoded on the device: no decoding in it",
}
"""What a figure must say of the views in it."""


@dataclass(frozen=True)
class Way:
    """How a pass is run.

    Attributes:
        student: backbone of the student.
        size: side of its view in pixels.
        views: backend of the views, or ``"drawn"``.
        load_batch: photographs decoded at a time.
        priority: whether streams have priorities; None as ccd_fast has it.
        maps: whether the teacher's maps are taken in place of crops.
    """

    student: str
    size: int
    views: str
    load_batch: int
    priority: bool | None = None
    maps: bool = False

    def __str__(self) -> str:
        """Give it in words."""
        first = "" if self.priority is None else f", priorities {'on' if self.priority else 'off'}"
        maps = ", maps in place of crops" if self.maps else ""
        return f"{self.student} at {self.size}, {self.load_batch} decoded at a time, {self.views}{first}{maps}"


def ways(setting: Setting) -> Iterator[Way]:
    """Give what is measured, the most telling first."""
    (small, *others), (best, *smaller) = setting.sizes.students, setting.sizes.load_batches
    dali = "dali" in installed_backends()
    first = Way(*small, "dali" if dali else "drawn", best)
    yield first
    for wanted in (False, True):
        yield replace(first, priority=wanted)
    for student, size in others:
        yield replace(first, student=student, size=size)
    for count in smaller:
        yield replace(first, load_batch=count)
    yield replace(first, maps=True)
    if not dali:
        yield replace(first, views="pillow")
