"""The systems by name: what the paper's table calls them, what labels they may see, how they are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from numpy.typing import NDArray

from ccd_fast.errors import UserError
from ccd_fast.recipes.knobs import SystemKnobs
from ccd_fast.student import Student
from ccd_fast.systems import cross_entropy
from ccd_fast.systems.asl import Asl
from ccd_fast.systems.cdul import Cdul
from ccd_fast.systems.class_features import ClassFeatures, ClassFeatureStudent, co_occurrence
from ccd_fast.systems.epr import Epr
from ccd_fast.systems.g2netpl import G2NetPl
from ccd_fast.systems.llr import Llr
from ccd_fast.systems.role import Role
from ccd_fast.systems.sarb import BlendingHead, Sarb
from ccd_fast.systems.sst import PairHead, Sst
from ccd_fast.systems.system import Seen, System

CCD = "ccd"
NOTHING = "none"
"""What CCD knows of the labels by default."""
TILES = "teacher-tiles"
"""CDUL's own: the teacher's scores of the whole image and of its tiles."""
FROM_PEOPLE = ("full", "partial", "one-positive", "file")
"""Sources that are labels which people gave."""
FROM_TEACHER = ("teacher-top1", "teacher-threshold")

Group = Literal["all labels", "part of the labels", "one positive an image", "annotation-free"]


@dataclass(frozen=True)
class Described:
    """A system.

    Attributes:
        title: what the table calls it.
        group: of the table's.
        may_see: sources of what it knows of the labels; the first is its own.
        make: makes it, of what it may see and its head, if it has one. None for CCD, which is a room of its own.
        head: in the place of the student's own, where it needs another.
    """

    title: str
    group: Group
    may_see: tuple[str, ...]
    make: Callable[[Seen, Any], System] | None
    head: type[ClassFeatures] | None = None


def _plain(system: Callable[[Seen], System]) -> Callable[[Seen, Any], System]:
    """Make a system that leaves the student's head as it is."""
    return lambda seen, _: system(seen)


SYSTEMS: dict[str, Described] = {
    "bce": Described("BCE", "all labels", ("full", "file"), _plain(cross_entropy.Bce)),
    "bce-ls": Described("BCE-LS", "all labels", ("full", "file"), _plain(cross_entropy.Smoothed)),
    "sarb": Described("SARB", "part of the labels", ("partial", "full", "file"), Sarb, BlendingHead),
    "asl": Described("ASL", "part of the labels", ("partial", "full", "file"), _plain(Asl)),
    "sst": Described("SST (Chen et al.)", "part of the labels", ("partial", "full", "file"), Sst, PairHead),
    "llr": Described("LL-R", "one positive an image", ("one-positive", "file"), _plain(Llr)),
    "g2netpl": Described(
        "G2NetPL (reconstruction)", "one positive an image", ("one-positive", "file"), _plain(G2NetPl)
    ),
    "an": Described("Naive AN", "annotation-free", (*FROM_TEACHER, "teacher-soft"), _plain(cross_entropy.Bce)),
    "an-ls": Described(
        "AN-LS (Szegedy et al.)", "annotation-free", (*FROM_TEACHER, "teacher-soft"), _plain(cross_entropy.Smoothed)
    ),
    "wan": Described("WAN (Aodha et al.)", "annotation-free", FROM_TEACHER, _plain(cross_entropy.WeakNegatives)),
    "epr": Described("EPR (as Durand et al.)", "annotation-free", FROM_TEACHER, _plain(Epr)),
    "role": Described("ROLE", "annotation-free", FROM_TEACHER, _plain(Role)),
    "cdul": Described("CDUL", "annotation-free", (TILES,), _plain(Cdul)),
    CCD: Described("CCD", "annotation-free", (NOTHING, *FROM_PEOPLE), None),
}
"""In the order of the paper's table."""


def source_of(knobs: SystemKnobs, has_file: bool) -> str:
    """Settle what a system is told of the labels.

    Args:
        knobs: of the recipe.
        has_file: whether known labels were given (``--known``).

    Raises:
        UserError: it may not be told that, or a file would not be heeded, or there is none.
    """
    allowed = SYSTEMS[knobs.name].may_see
    own = "file" if has_file else allowed[0]
    source = own if knobs.labels == "own" else knobs.labels
    if source not in allowed:
        given = "--known" if source == "file" and knobs.labels == "own" else f"system.labels = {source!r}"
        raise UserError(f"{given}: {knobs.name} is not told these; it learns from {', '.join(allowed)}")
    if has_file != (source == "file"):
        why = "would not be heeded; leave one out" if has_file else "needs --known FILE"
        raise UserError(f"system.labels = {source!r}: {'--known' if has_file else 'it'} {why}")
    return source


def with_its_head(student: Student, name: str, words: torch.Tensor, known: NDArray[Any], seed: int) -> Student:
    """Put the head of a system on a student, where it has one of its own.

    Args:
        student: its backbone stays.
        name: of :data:`SYSTEMS`.
        words: a vector of each class's name, (C, D).
        known: (N, C) int8, of which the head's graph is made.
        seed: of the weights that are drawn.
    """
    head = SYSTEMS[name].head
    if head is None:
        return student
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        edges = co_occurrence(torch.from_numpy(known))
        return ClassFeatureStudent.of(student, head(student.backbone.num_features, words.cpu(), edges))


def as_it_was_saved(student: Student, name: str, state: dict[str, torch.Tensor]) -> Student:
    """Put a head on a student that a saved state of the same system fits into; its weights are still to be loaded.

    Raises:
        RuntimeError: the state is of a student without such a head.
    """
    head = SYSTEMS[name].head
    if head is None:
        return student
    try:
        words, edges = state["head.words"], state["head.edges"]
    except KeyError as error:
        raise RuntimeError(f"no {error}") from error
    return ClassFeatureStudent.of(student, head(student.backbone.num_features, words, edges))
