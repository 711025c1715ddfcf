"""Running a step: within its limit and what is left of the whole, whatever becomes of it."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from card.steps import DEMO_CLIP, PYTHON, RESULT, ROOT, XML, Step

SHORTEST = 15.0
"""Seconds below which no step is begun."""
GRACE = 5.0
"""Seconds from asking a step to end to making it end."""
KEPT_LINES = 60
"""Lines of a step's output that are kept."""
TOOLS = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/nvidia/compute-sanitizer")
"""Where CUDA's programs are looked for beside the PATH."""
LONGEST_REASON = 300
OFFLINE = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "120", "PYTHONFAULTHANDLER": "1"}


class Clock:
    """The time that all steps have together."""

    def __init__(self, seconds: float) -> None:
        """Start it."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Give the seconds that are left."""
        return self._end - time.monotonic()


@dataclass
class Record:
    """What became of a step.

    Attributes:
        name: of the step.
        kind: of the step.
        status: ``"done"``, ``"failed"``, ``"out of time"``, ``"left out"`` or ``"interrupted"``.
        why: the reason, where it is not done.
        seconds: that it took.
        command: as a person would type it.
        result: its figures.
        output: its last lines.
    """

    name: str
    kind: str
    status: str
    why: str = ""
    seconds: float = 0.0
    command: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Give what ``results.json`` keeps."""
        return {key: value for key, value in asdict(self).items() if key != "output" and value not in ("", {})}


def why_not(step: Step, device: str) -> str:
    """Say why a step is left out on this machine, or nothing."""
    if step.on_card and not device.startswith("cuda"):
        return "it says nothing without a card"
    lacking = [name for name in step.needs if not is_installed(name)]
    if lacking:
        return f"{', '.join(lacking)} not installed"
    if step.tool and not find_tool(step.tool):
        return f"{step.tool} is not here"
    return ""


def is_installed(module: str) -> bool:
    """Tell whether a module can be found; one that is found may still fail."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def find_tool(name: str) -> str | None:
    """Find a program on the PATH, or where CUDA keeps its own."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(TOOLS))


def run_step(step: Step, device: str, clock: Clock, folder: Path) -> Record:
    """Run a step, or say why it is left out; nothing is raised.

    Args:
        step: what to run.
        device: where.
        clock: of all steps.
        folder: what the step may leave its files in.
    """
    record = Record(step.name, step.kind, "left out", why_not(step, device), command=step.shown())
    if record.why:
        return record
    if (limit := min(step.limit, clock.left())) < SHORTEST:
        record.why = "no time was left for it"
        return record
    with tempfile.TemporaryDirectory(prefix="on-a-card-") as work:
        start = time.monotonic()
        places = {PYTHON: sys.executable, RESULT: f"{work}/result.json", XML: f"{work}/result.xml"}
        if DEMO_CLIP in step.command:
            places[DEMO_CLIP] = _demo_clip()
        words = [places.get(word, word).replace(XML, places[XML]) for word in step.command]
        if step.tool:
            words[0] = find_tool(step.tool) or words[0]
        environment = {**os.environ, **OFFLINE, **dict(step.env), "ON_A_CARD_FOLDER": str(folder)}
        _run(words, environment, limit, record)
        record.seconds = round(time.monotonic() - start, 1)
        _read(record, places)
    record.output = record.output[-KEPT_LINES:]
    return record


def _demo_clip() -> str:
    """Put the demo's CLIP into the cache, and give its folder."""
    from ccd_fast.demo import tiny_clip

    return str(tiny_clip.install())


def _run(words: list[str], environment: Mapping[str, str], limit: float, record: Record) -> None:
    """Run a command to its end, or to its limit; its output goes into the record."""
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace") as output:
        try:
            process = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            record.status, record.why = "failed", str(error)
            return
        try:
            code = process.wait(limit)
            record.status, record.why = ("done", "") if code == 0 else ("failed", f"exit code {code}")
        except subprocess.TimeoutExpired:
            _end(process)
            record.status, record.why = "out of time", f"it was stopped after {limit:.0f} s"
        except KeyboardInterrupt:
            _end(process)
            record.status, record.why = "interrupted", "Ctrl-C"
        output.seek(0)
        record.output = output.read().splitlines()
    if record.status == "failed":
        record.why = f"{record.why}: {_last_words(record.output)}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def _last_words(lines: list[str]) -> str:
    """Give the line of an output that says most likely what went wrong."""
    spoken = [line.strip() for line in lines if line.strip()]
    telling = [line for line in spoken if line.startswith("ccd-fast: ") or "Error" in line or line.startswith("FAILED")]
    line = (telling or spoken or ["it said nothing"])[-1]
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} …"


def _read(record: Record, places: Mapping[str, str]) -> None:
    """Take what the step wrote, whole or in part, whatever became of it."""
    figures, tests = Path(places[RESULT]), Path(places[XML])
    try:
        if figures.is_file():
            record.result = json.loads(figures.read_text(encoding="utf-8"))
        elif tests.is_file():
            record.result = of_junit(tests.read_text(encoding="utf-8"))
    except (ValueError, ElementTree.ParseError) as error:
        record.why = f"{record.why}; its figures cannot be read: {error}".lstrip("; ")
    if record.kind == "sanitizer":
        record.result = {"summary": [line.strip("= ") for line in record.output if "SUMMARY" in line]}
    if record.kind == "doctor":  # it prints its figures, and its exit code is 1 where something is broken
        with contextlib.suppress(ValueError):
            record.result = json.loads("\n".join(record.output[record.output.index("{") :]))
            record.status, record.why = "done", ""


def of_junit(text: str) -> dict[str, Any]:
    """Read what pytest says of each test: counts, and which failed or were skipped, and why."""
    cases = list(ElementTree.fromstring(text).iter("testcase"))
    found: dict[str, Any] = {"tests": len(cases), "passed": 0, "failed": {}, "skipped": {}}
    for case in cases:
        name = f"{case.get('classname', '')}.{case.get('name', '')}".removeprefix("tests.")
        wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        if wrong is not None:
            found["failed"][name] = (wrong.get("message") or "").split("\n")[0][:LONGEST_REASON]
        elif skipped is not None:
            why = (skipped.get("message") or "").split("\n")[0][:LONGEST_REASON]
            found["skipped"][why] = found["skipped"].get(why, 0) + 1
        else:
            found["passed"] += 1
    return found
