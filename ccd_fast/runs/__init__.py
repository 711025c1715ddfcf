"""Runs: the folder that a run leaves behind, its progress on the screen, and how an interrupted pass goes on.

Imports the machine, kernels and the ground.
"""

from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.keeper import Keeper, Stop
from ccd_fast.runs.progress import Stage, Stages

__all__ = ["Keeper", "RunFolder", "Stage", "Stages", "Stop"]
