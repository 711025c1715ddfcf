"""A run: first labels, warm-up, label updates, training, the choice of an epoch.

Imports compat, labels, evaluation and what is below them.
"""

from ccd_fast.training.measures import CHOSEN, FIRST, LAST, ORACLE, TEACHER, UPDATED
from ccd_fast.training.memory import Memory
from ccd_fast.training.run import train

__all__ = ["CHOSEN", "FIRST", "LAST", "ORACLE", "TEACHER", "UPDATED", "Memory", "train"]
