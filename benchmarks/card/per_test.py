"""A plugin of pytest: what became of each test is a line of the ledger as soon as it is known."""

import os
from pathlib import Path
from typing import Any

from card.ledger import Ledger

FILES, PART = "ON_A_CARD_LEDGER", "ON_A_CARD_PART"
"""Environment variables: the ledger's files, and the part that the tests belong to."""


def environment(ledger: Ledger) -> dict[str, str]:
    """Give what tells this plugin of a ledger."""
    return {FILES: os.pathsep.join(map(str, ledger.files)), PART: ledger.part}


def given() -> Ledger:
    """Give the ledger that the environment names."""
    ledger = Ledger(*map(Path, os.environ[FILES].split(os.pathsep)))
    ledger.part = os.environ[PART]
    return ledger


def pytest_runtest_logreport(report: Any) -> None:
    """Write a line for a test that ran, or that did not come to it."""
    if report.when == "call" or report.outcome != "passed":
        if report.when == "teardown" and report.outcome == "passed":
            return
        given().figure(report.nodeid, report.outcome, note=reason(report), seconds=round(report.duration, 2))


def pytest_collectreport(report: Any) -> None:
    """Write a line for a file that cannot be read, or that skips itself."""
    if report.outcome != "passed":
        given().figure(report.nodeid, "error" if report.failed else report.outcome, note=reason(report))


def reason(report: Any) -> str:
    """Give why a test failed, or was skipped, in a line."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2])
    crash = getattr(getattr(longrepr, "reprcrash", None), "message", None)
    lines = str(crash or longrepr or "").strip().splitlines()
    errors = [line for line in lines if line.startswith("E ")]
    return (errors or lines or [""])[-1 if errors else 0][:300]
