"""The other systems of the paper's results table, a file a system or family.

Imports labels, student and what is below them.
"""

from ccd_fast.systems.catalogue import (
    CCD,
    FROM_PEOPLE,
    SYSTEMS,
    Described,
    as_it_was_saved,
    source_of,
    with_its_head,
)
from ccd_fast.systems.system import Seen, System

__all__ = [
    "CCD",
    "FROM_PEOPLE",
    "SYSTEMS",
    "Described",
    "Seen",
    "System",
    "as_it_was_saved",
    "source_of",
    "with_its_head",
]
