"""A folder under work has one holder, whose name the second is told; the lock goes with its process."""

import os
import signal
import subprocess
import sys

import pytest

from ccd_fast.errors import UserError
from ccd_fast.runs.lock import locked

HOLD = """
import sys
from pathlib import Path
from ccd_fast.runs.lock import locked
with locked(Path(sys.argv[1]), "--out"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_in_a_line_that_names_the_first(holder, tmp_path):
    named = rf"--out run: process {holder.pid} on .+, since .+ is at work on it"
    with pytest.raises(UserError, match=named), locked(tmp_path / "run", "--out run"):
        pass


def test_a_lock_goes_with_its_process_however_it_ends(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".run.lock").is_file()
    with locked(tmp_path / "run", "--out run"):
        assert str(os.getpid()) in (tmp_path / ".run.lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_gives_the_lock_up(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "deep" / "run", "--out"):
        raise ZeroDivisionError
    with locked(tmp_path / "deep" / "run", "--out"):
        pass
    assert list(tmp_path.iterdir()) == []
