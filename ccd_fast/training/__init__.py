"""A run: first labels, warm-up, label updates, training, the choice of an epoch.

Imports compat, labels, evaluation and what is below them. Names are handed on
when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.training.measures import CHOSEN, FIRST, HELD_OUT, LAST, ORACLE, TEACHER, UPDATED
    from ccd_fast.training.memory import Memory
    from ccd_fast.training.run import train

__all__ = ["CHOSEN", "FIRST", "HELD_OUT", "LAST", "ORACLE", "TEACHER", "UPDATED", "Memory", "train"]

WHERE = {
    "measures": (
        "CHOSEN",
        "FIRST",
        "HELD_OUT",
        "LAST",
        "ORACLE",
        "TEACHER",
        "UPDATED",
    ),
    "memory": ("Memory",),
    "run": ("train",),
}
__getattr__ = handed_on(__name__, WHERE)
