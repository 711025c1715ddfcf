"""Runs: the folder that a run leaves behind, its progress on the screen, and how an interrupted pass goes on.

Imports the machine, kernels and the ground. Names are handed on when they are asked for: whoever only looks whether a
file may be written does not wait for torch.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.runs.folder import RunFolder
    from ccd_fast.runs.keeper import Keeper, Stop
    from ccd_fast.runs.progress import Stage, Stages

__all__ = ["Keeper", "RunFolder", "Stage", "Stages", "Stop"]

WHERE = {
    "folder": ("RunFolder",),
    "keeper": (
        "Keeper",
        "Stop",
    ),
    "progress": (
        "Stage",
        "Stages",
    ),
}
__getattr__ = handed_on(__name__, WHERE)
