"""The doctor: says what works, and does not fall ill itself."""

import json
import subprocess
import sys

import pytest

from ccd_fast import doctor
from ccd_fast.engines import runtimes


def found(part: str) -> doctor.Finding:
    return next(f for f in doctor.examine() if f.part == part)


def test_what_is_here_works_and_has_a_version():
    import torch

    assert found("torch") == doctor.Finding("torch", "works", torch.__version__)
    assert found("teacher on a CPU").state == "works"


def test_a_part_that_raises_is_broken_and_the_rest_is_still_looked_at(monkeypatch):
    def fails() -> tuple[str, str]:
        raise RuntimeError("the library is torn\nsecond line")

    monkeypatch.setitem(doctor.PARTS, "torch", fails)
    assert found("torch") == doctor.Finding("torch", "broken", "RuntimeError: the library is torn")
    assert len(doctor.examine()) == len(doctor.PARTS)


def test_an_installed_library_that_does_not_import_is_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert found("timm").state == "broken"


def test_it_says_why_no_runtime_works(monkeypatch):
    for name in runtimes.RUNTIMES:
        monkeypatch.setitem(runtimes.RUNTIMES, name, runtimes.Runtime(lambda d, p: "no card", None, None))
    assert found("teacher on a GPU").state == "missing"
    assert "tensorrt: no card" in found("teacher on a GPU").detail


@pytest.mark.slow
def test_the_command_lives_on_a_machine_that_has_nothing(tmp_path):
    nothing = "for name in ('timm', 'open_clip', 'onnxruntime', 'torch', 'nvidia'): sys.modules[name] = None\n"
    code = f"import sys\n{nothing}sys.argv = ['ccd-fast', 'doctor', '--json']\nfrom ccd_fast.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"HOME": str(tmp_path)})
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["torch"]["state"] == "broken"
    assert report["python"]["state"] == "works"
    assert not done.stderr
