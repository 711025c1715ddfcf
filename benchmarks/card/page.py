"""``README.md``: what ``figures.jsonl`` holds, for people: a line a part, and a table of the figures."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from card.ledger import Ledger, shown

PAGE = "README.md"
GOOD = ("done", "left out")


def write(ledger: Ledger, folder: Path) -> None:
    """Write the page into a folder, whole or not at all."""
    temporary = folder / f".{PAGE}"
    temporary.write_text(page(ledger.lines()), encoding="utf-8")
    temporary.replace(folder / PAGE)


def page(lines: Iterable[Mapping[str, Any]]) -> str:
    """Give the page of the lines of a ledger."""
    lines = list(lines)
    ends = {line["part"]: line for line in lines if line["event"] == "end"}
    begins = {line["part"]: line for line in lines if line["event"] == "begin"}
    text = [
        "# On a card",
        "",
        "By `benchmarks/on_a_card.sh`; `figures.jsonl` has each figure with all that belongs to it.",
        "",
    ]
    text += ["| part | | s | card at its begin, at its end |", "|---|---|---:|---|"]
    for part, end in ends.items():
        why = f"{end['status']}{': ' + end['why'] if end['why'] else ''}"
        cards = [sensors_of(found.get("card")) for found in (begins.get(part, {}), end)]
        text.append(row(part, why, shown(end["seconds"]), " → ".join(card for card in cards if card)))
    text += ["", "| part | what | figure | what it is beside; what it does not say |", "|---|---|---:|---|"]
    for line in lines:
        if line["event"] == "figure":
            text.append(row(line["part"], line["what"], f"{shown(line['value'])} {line['unit']}".strip(), line["note"]))
        elif line["event"] == "left out":
            text.append(row(line["part"], line["what"], "left out", line["why"]))
    return "\n".join(text) + "\n"


def sensors_of(card: Mapping[str, Any] | None) -> str:
    """Give what was noted of the card, in a few words."""
    return ", ".join(f"{shown(value)} {name.split()[-1]}" for name, value in (card or {}).items())


def row(*cells: str) -> str:
    """Give a row of a table."""
    return "| " + " | ".join(" ".join(str(cell).replace("|", "/").split()) for cell in cells) + " |"
