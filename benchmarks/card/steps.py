"""A step: a command, what it needs, and how long it may take."""

import shlex
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PYTHON = "python"
"""Stands for the interpreter that runs this."""
RESULT = "RESULT.json"
"""Stands for the file that a step writes its figures into."""
XML = "RESULT.xml"
"""Stands for the file that pytest writes what became of each test into."""
DEMO_CLIP = "DEMO-CLIP"
"""Stands for the folder of the demo world's CLIP."""


@dataclass(frozen=True)
class Step:
    """One part of the work, in a process of its own.

    Attributes:
        name: for people.
        kind: how its figures are read, a key of :data:`card.table.ROWS`.
        command: its words; those above stand for what is known when it runs.
        limit: seconds after which it is stopped.
        needs: modules without which it is left out.
        tool: a program without which it is left out.
        on_card: whether it says nothing without a card.
        env: added to the environment.
    """

    name: str
    kind: str
    command: tuple[str, ...]
    limit: float
    needs: tuple[str, ...] = ()
    tool: str = ""
    on_card: bool = False
    env: tuple[tuple[str, str], ...] = ()

    def shown(self) -> str:
        """Give the command as a person would type it in the project's folder."""
        words = [f"{name}={value}" for name, value in self.env]
        return " ".join([*words, shlex.join(self.command)]).replace(f"{ROOT}/", "")
