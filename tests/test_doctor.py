"""The doctor: says what works, and does not fall ill itself."""

import json
import subprocess
import sys

import pytest
import torch
from pretend_card import pretend_card

from ccd_fast import doctor, machine
from ccd_fast.engines import runtimes
from ccd_fast.kernels import cupy_kernels


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


def test_it_says_what_auto_would_take_here():
    place = machine.choose_device("auto")[0]
    taken = {f.part: f for f in doctor.examine() if f.part.startswith("auto: ")}
    assert [part.removeprefix("auto: ") for part in taken] == ["device", "teacher", "student", "views", "kernels"]
    assert {f.state for f in taken.values()} == {"works"}
    for part in ("teacher", "student", "views", "kernels"):
        assert str(place) in taken[f"auto: {part}"].detail
    assert taken["auto: teacher"].detail.split(" in ")[0] in runtimes.AUTO[place.type]


def test_a_gpu_that_is_not_used_and_what_a_gpu_lacks_are_told(monkeypatch):
    line = "device: cpu; a GPU, or its driver, is here and is not used: it is asleep"
    monkeypatch.setattr(machine, "choose_device", lambda _: (torch.device("cpu"), line))
    assert found("auto: device") == doctor.Finding("auto: device", "partly", line.removeprefix("device: "))
    with pretend_card():
        monkeypatch.setattr(machine, "choose_device", lambda _: (torch.device("cuda", 0), "device: cuda:0, no card"))
        assert found("auto: device") == doctor.Finding("auto: device", "works", "cuda:0, no card")
        assert found("auto: student").detail == "torch, on cuda:0; training is by torch"
        assert found("auto: kernels").detail == "CUDA, by CuPy, on cuda:0"
        monkeypatch.setattr(cupy_kernels, "available", lambda: False)
        assert found("auto: kernels").state == "missing"
        assert "pip install 'ccd_fast[cuda]'" in found("auto: kernels").detail


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
