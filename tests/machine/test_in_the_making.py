"""A folder in the making goes with its work; what a killed process has left goes when the next one is made."""

import os
import signal
import subprocess
import sys

import pytest

from ccd_fast.machine import folder_in_the_making

HOLD = """
import sys
from pathlib import Path
from ccd_fast.machine import folder_in_the_making
with folder_in_the_making(Path(sys.argv[1]), ".building-") as folder:
    (folder / "half").write_text("done")
    print(folder.name, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_what_a_killed_process_has_left_is_removed_and_what_a_living_one_makes_is_not(tmp_path):
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    living = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=there, text=True)
    killed = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=there, text=True)
    kept, left = living.stdout.readline().strip(), killed.stdout.readline().strip()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (tmp_path / left / "half").is_file()
    with folder_in_the_making(tmp_path, ".building-") as own:
        assert {folder.name for folder in tmp_path.iterdir()} == {kept, own.name}
    living.communicate()
    assert living.returncode == 0 and list(tmp_path.iterdir()) == []


def test_it_goes_where_its_work_fails_and_what_is_called_otherwise_is_left_alone(tmp_path):
    others = {".exporting-abcd1234", ".building-my-own-things", ".building-"}
    for name in others:
        (tmp_path / name).mkdir()
    with pytest.raises(ZeroDivisionError), folder_in_the_making(tmp_path, ".building-") as own:
        (own / "half").write_text("done")
        raise ZeroDivisionError
    assert {folder.name for folder in tmp_path.iterdir()} == others
