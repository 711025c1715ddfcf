"""Programs that are started: asked to end before they are made to, so that they leave what they have."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

GRACE = 5.0
"""Seconds from one way of ending a program to the next, harsher one."""
WAYS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
"""pytest and Python write what they have at the first, and do not see the others."""
TOOLS = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/nvidia/compute-sanitizer")
"""Where CUDA's programs are looked for beside the PATH."""
OUT_OF_TIME = -1000
"""In place of an exit code."""


def find_tool(name: str) -> str | None:
    """Find a program on the PATH, or where CUDA keeps its own."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(TOOLS))


def run(
    words: Sequence[str],
    log: Path,
    limit: float,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    says: IO[str] | None = None,
    grace: float = GRACE,
) -> int:
    """Run a program to its end, or to its limit; whatever is raised meanwhile ends it, too.

    Args:
        words: the program and its arguments.
        log: what it says is added to this file; only its errors where ``says`` is given.
        limit: seconds.
        folder: where it works.
        env: added to the environment.
        says: where its words go, if not into the log.
        grace: seconds from one way of ending it to the next.

    Returns:
        Its exit code; that of a signal is negative; or ``OUT_OF_TIME``.

    Raises:
        OSError: it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(words),
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=says or output,
            stderr=output,
            start_new_session=True,
        )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return OUT_OF_TIME
    finally:
        end(process, grace)


def end(process: "subprocess.Popen[bytes]", grace: float = GRACE) -> None:
    """End a program and all that it has started: SIGINT, then SIGTERM, then SIGKILL."""
    for number in WAYS:
        if process.poll() is not None and number is not signal.SIGKILL:
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)


def last_words(log: Path, begin: int = 0, longest: int = 300) -> str:
    """Give the line of a log, from a byte on, that says most likely what went wrong."""
    lines = log.read_bytes()[begin:].decode(errors="replace").splitlines() if log.is_file() else []
    spoken = [line.strip() for line in lines if line.strip()]
    telling = [line for line in spoken if "Error" in line or "error:" in line or line.startswith("FAILED")]
    line = (telling or spoken or ["it said nothing"])[-1]
    return line if len(line) <= longest else f"{line[:longest]} …"
