"""``figures.jsonl``: every figure a line, on the disk before the next one is measured."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FIGURES = "figures.jsonl"
LATER = ("left out", "interrupted")
"""What became of a part that a later call tries again."""
LONGEST_REASON = 400


class LeftOut(Exception):  # noqa: N818 - that something says nothing here is no error
    """There is nothing to measure here; its words say why."""


class Ledger:
    """Lines of JSON in one file, or in several of the same content: what comes back, and what stays for a later call.

    A line has an ``event``: ``begin`` and ``end`` of a part, or a ``figure`` of it, or ``left out`` for one that there
    is not, with the reason.
    """

    def __init__(self, *files: Path, card: Callable[[], dict[str, Any]] = dict) -> None:
        """Go on in some files, which need not be there; ``card`` gives what begin and end of a part say of the card."""
        self.files = files
        self.part = ""
        self._card = card

    def write(self, event: str, **values: Any) -> None:
        """Write a line, and see that it is on the disk."""
        line = json.dumps({"event": event, "part": self.part, "at": round(time.time(), 2), **values}, default=str)
        for file in self.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a+b") as lines:
                lines.seek(max(lines.seek(0, os.SEEK_END) - 1, 0))
                cut_off = lines.read(1) not in (b"", b"\n")
                lines.write(b"\n" * cut_off + line.encode() + b"\n")
                lines.flush()
                os.fsync(lines.fileno())

    def figure(self, what: str, value: Any, unit: str = "", note: str = "", **more: Any) -> None:
        """Write a figure, and print it.

        Args:
            what: was measured.
            value: a number, or words.
            unit: of the number.
            note: what it is beside, or what it does not say.
            more: further figures of the same measurement.
        """
        self.write("figure", what=what, value=value, unit=unit, note=note, **more)
        print(f"    {what}: {shown(value)} {unit}{'; ' + note if note else ''}", flush=True)

    def left_out(self, what: str, why: object) -> None:
        """Write why there is no figure of something."""
        self.write("left out", what=what, why=str(why)[:LONGEST_REASON])
        print(f"    {what}: left out: {why}", flush=True)

    def begin(self, part: str, limit: float) -> None:
        """Write that a part begins."""
        self.part = part
        self.write("begin", limit=limit, card=self._card())

    def end(self, status: str, why: str = "", seconds: float = 0.0) -> None:
        """Write what became of the part; see :meth:`ends`."""
        self.write("end", status=status, why=why[:LONGEST_REASON], seconds=round(seconds, 1), card=self._card())
        print(f"[{seconds:5.0f} s] {self.part}: {status}{': ' + why if why else ''}", flush=True)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Read the lines; one that was cut off is passed over."""
        if not self.files[0].is_file():
            return
        for line in self.files[0].read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)

    def ends(self) -> dict[str, dict[str, Any]]:
        """Give the last ``end`` of each part that has one."""
        return {line["part"]: line for line in self.lines() if line["event"] == "end"}

    def is_over(self, part: str) -> bool:
        """Tell whether a part had its time: it is done, or failed, and is not tried again."""
        found = self.ends().get(part)
        return found is not None and found["status"] not in LATER

    def unfinished(self) -> dict[str, Any] | None:
        """Give the ``begin`` of a part that has no end: its process died."""
        begun = None
        for line in self.lines():
            if line["event"] in ("begin", "end"):
                begun = line if line["event"] == "begin" else None
        return begun

    def seconds(self) -> float:
        """Give the seconds that all parts took so far."""
        return sum(float(line["seconds"]) for line in self.lines() if line["event"] == "end")


def shown(value: Any) -> str:
    """Give a value for people: four figures of a number."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
