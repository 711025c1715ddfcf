"""The shell's Tab: commands, options and values, at once."""

import os
import shutil
import subprocess
import sys

import pytest

from ccd_fast.outputs.export import FORMATS

TOLD = (
    "import atexit, sys\n"
    "atexit.register(lambda: print('large' if 'torch' in sys.modules else 'small', file=sys.stderr))\n"
    "from ccd_fast.cli import main\n"
    "main()"
)


def offered(line: str, **environment) -> tuple[list[str], str]:
    """Press Tab at the end of a line; give what is offered, and how much was imported for it."""
    words = line.split(" ")
    asked = {"_CCD_FAST_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", TOLD], capture_output=True, text=True, env={**os.environ, **asked}, check=True
    )
    return done.stdout.split(), done.stderr.strip()


@pytest.mark.parametrize(
    ("line", "there", "not_there"),
    [
        ("ccd-fast tra", ["train"], "predict"),
        ("ccd-fast label --labels", ["--labels-per-image"], "--data-root"),
        ("ccd-fast label --format ", ["csv", "parquet", "coco", "label-studio"], "folder"),
        ("ccd-fast export runs/mine --format ", list(FORMATS), "csv"),
        ("ccd-fast train --dataset voc", ["voc07", "voc12"], "folder"),
        ("ccd-fast recipe paper-v", ["paper-voc07", "paper-voc12", "paper-voc12-official"], "demo"),
        ("ccd-fast train --set train.ep", ["train.epochs="], "train.choose="),
    ],
)
def test_tab_offers_what_fits_and_loads_nothing_large(line, there, not_there):
    found, imported = offered(line)
    assert set(there) <= set(found)
    assert not_there not in found
    assert imported == "small"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_is_installed_for_the_program_s_own_name(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path)}
    # typer looks for the shell among its parents: bash, whatever the tests are run from
    install = ["bash", "--norc", "-c", f"{sys.executable} -m ccd_fast --install-completion; exit $?"]
    subprocess.run(install, env=environment, check=True, capture_output=True)
    asked = ["bash", "--norc", "-c", f"source {tmp_path / '.bashrc'} && complete -p ccd-fast"]
    told = subprocess.run(asked, env=environment, check=True, capture_output=True, text=True).stdout
    assert "_ccd_fast_completion ccd-fast" in told
