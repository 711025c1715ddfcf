"""Runs: the folder that a run leaves behind, its progress on the screen, and how an interrupted pass goes on.

Imports the machine, kernels and the ground. Names are handed on when they are asked for: whoever only looks whether a
file may be written does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccd_fast.runs.folder import RunFolder
    from ccd_fast.runs.keeper import Keeper, Stop
    from ccd_fast.runs.progress import Stage, Stages

__all__ = ["Keeper", "RunFolder", "Stage", "Stages", "Stop"]

WHERE = {"folder": ("RunFolder",), "keeper": ("Keeper", "Stop"), "progress": ("Stage", "Stages")}


def __getattr__(name: str) -> Any:
    """Hand a name on from the file where it lives."""
    for module, names in WHERE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
