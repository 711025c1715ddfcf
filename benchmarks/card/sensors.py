"""What ``nvidia-smi`` says of a card: clocks, power, temperature, and what works beside the kernels."""

import contextlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

FIELDS = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu", "utilization.gpu")
UNITS = ("MHz", "MHz", "W", "C", "%")
PATIENCE = 5.0


def card() -> dict[str, Any]:
    """Give clocks (MHz), power (W), temperature (°C) and use (%) of the first card; nothing where there is no tool."""
    line = _ask(",".join(FIELDS), "csv,noheader,nounits")
    values = [value.strip() for value in line.split(",")] if line else []
    if len(values) != len(FIELDS):
        return {}
    return {f"{name} {unit}": _number(value) for name, unit, value in zip(FIELDS, UNITS, values, strict=True)}


def name() -> str:
    """Name the card for a folder: letters, digits and dashes; ``"cpu"`` where there is none."""
    return re.sub(r"[^a-z0-9]+", "-", _ask("name", "csv,noheader").lower()).strip("-") or "cpu"


def _ask(fields: str, form: str) -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    command = ["nvidia-smi", f"--query-gpu={fields}", f"--format={form}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@contextlib.contextmanager
def watching() -> Iterator[dict[str, float]]:
    """Watch how busy the parts of the card are while a block runs, in per cent, once a second.

    The decoder of JPEGs is no kernel: a profile of kernels does not show it, the column ``jpg`` here does.

    Yields:
        Filled when the block ends: the mean of each column; nothing where there is no tool.
    """
    found: dict[str, float] = {}
    if not shutil.which("nvidia-smi"):
        yield found
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["nvidia-smi", "dmon", "-s", "u", "-d", "1"], stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            output.seek(0)
            found |= columns(output.read())


def columns(text: str) -> dict[str, float]:
    """Give the mean of each column of what ``nvidia-smi dmon`` prints."""
    names: list[str] = []
    rows: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("#"):
            names = names or line.lstrip("# ").split()
        elif len(line.split()) == len(names):
            rows.append(line.split())
    return {
        column: statistics.mean(float(row[place]) for row in rows)
        for place, column in enumerate(names)
        if place and rows and all(row[place].isdigit() for row in rows)
    }
