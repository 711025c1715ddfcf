"""What is left behind: one JSON file, one Markdown file with one table, the last words of each step, one trace."""

import datetime
import json
import re
from pathlib import Path
from typing import Any

from card import table
from card.running import Record

MOST_FILES = 8
FIGURES, PAGE, WORDS = "results.json", "README.md", "log.txt"


def card_name(device: str) -> str:
    """Name the card for a folder: letters, digits and dashes."""
    if not device.startswith("cuda"):
        return "cpu"
    import torch

    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")


def machine() -> dict[str, Any]:
    """Describe the machine, as far as what is installed can."""
    try:
        from ccd_fast.machine import facts as own

        return own.describe()
    except Exception as error:  # noqa: BLE001 - a record without it is better than none
        return {"unknown": f"{type(error).__name__}: {error}"}


class Report:
    """The records of all steps, written anew after each.

    Attributes:
        folder: where they are written.
        records: what became of the steps so far.
    """

    def __init__(self, folder: Path, device: str) -> None:
        """Begin a report; nothing is written yet."""
        self.folder = folder.resolve()
        self.records: list[Record] = []
        self._device = device
        self._facts: dict[str, Any] = {}

    def exists(self) -> bool:
        """Tell whether a report is there already."""
        return (self.folder / FIGURES).exists()

    def go_on(self) -> None:
        """Take the steps of an earlier report that are done; the others are run anew."""
        if self.exists():
            kept = json.loads((self.folder / FIGURES).read_text(encoding="utf-8"))["steps"]
            self.records = [Record(**step) for step in kept if step["status"] == "done"]

    def has(self, name: str) -> bool:
        """Tell whether a step has a record."""
        return any(record.name == name for record in self.records)

    def add(self, record: Record) -> None:
        """Add a step's record, and write everything."""
        self.records.append(record)
        if not self._facts:
            today = str(datetime.date.today())
            self._facts = {"device": self._device, "card": card_name(self._device), "date": today, "machine": machine()}
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(FIGURES, json.dumps({**self._facts, "steps": [r.record() for r in self.records]}, indent=1) + "\n")
        self._write(PAGE, table.page(self._facts, self.records))
        with (self.folder / WORDS).open("a", encoding="utf-8") as log:
            log.write(
                "\n".join([f"=== {record.name}: {record.status} {record.why}", record.command, *record.output, "", ""])
            )
        files = list(self.folder.iterdir())
        if len(files) > MOST_FILES:
            raise RuntimeError(f"{self.folder} has {len(files)} files, more than {MOST_FILES}")

    def _write(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        temporary = self.folder / f".{name}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.folder / name)
