"""The tests that need a card, file by file, each test a line; what runs too long is asked to end, not cut off."""

import sys
from collections import Counter
from pathlib import Path

from card import children, per_test
from card.ledger import Ledger
from card.limits import Clock
from card.plan import ROOT
from card.setting import Setting

EACH = 40
"""Seconds of a test."""
FILE = 60.0
"""Seconds of a file: compiling one engine after the other must not take the time of all others."""
FIRST = ("test_views_gpu", "test_pass_gpu", "test_device_streams", "test_nccl")
LAST = ("test_kernels_gpu", "test_runtimes_gpu")
"""The kernels are checked in a part of their own, and the runtimes compile for minutes."""
NOTHING_TO_RUN = 5
"""pytest's exit code where no test was chosen, or a file skips itself."""


def measure(setting: Setting) -> None:
    """Run each file's tests for a card, without those that are slow."""
    failed = []
    for file in files():
        words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu and not slow", "-p", "no:cacheprovider"]
        words += ["-p", "card.per_test", "--timeout", str(EACH), str(file.relative_to(ROOT))]
        clock = Clock(FILE)
        code = children.run(words, setting.log, FILE, ROOT, per_test.environment(setting.ledger))
        seconds = round(FILE - clock.left(), 1)
        note = {0: "", children.OUT_OF_TIME: "it was stopped", NOTHING_TO_RUN: ""}.get(code, f"exit code {code}")
        setting.ledger.figure(file.name, counted(setting.ledger, file), note=note, seconds=seconds)
        failed += [file.name] if code not in (0, NOTHING_TO_RUN, children.OUT_OF_TIME) else []
    if failed:
        raise AssertionError(f"tests failed: {', '.join(failed)}; each is a line of its own")


def counted(ledger: Ledger, file: Path) -> str:
    """Count what became of the tests of a file."""
    name = str(file.relative_to(ROOT))
    found = Counter(line["value"] for line in ledger.lines() if str(line.get("what", "")).startswith(name))
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.items())) or "none were run"


def files(folder: Path = ROOT / "tests") -> list[Path]:
    """Give the files with tests that need a card, the most telling first."""
    marked = [file for file in folder.rglob("test_*.py") if "mark.gpu" in file.read_text(encoding="utf-8")]
    order = [*FIRST, "", *LAST]
    return sorted(marked, key=lambda file: (order.index(file.stem if file.stem in order else ""), file.name))
