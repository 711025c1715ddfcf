"""The doctor: says what works, and does not fall ill itself."""

import json
import subprocess
import sys
from importlib import metadata

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
    report = doctor.examine()
    assert len(report) == len(doctor.PARTS) + 1
    assert report[-1] == doctor.Finding(
        doctor.HERE, "broken", "nothing can be labelled or trained here before torch can be loaded"
    )


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
    words = "sys.argv = ['ccd-fast', 'doctor', '--thorough', '--json']"
    code = f"import sys\n{nothing}{words}\nfrom ccd_fast.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"HOME": str(tmp_path)})
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["torch"]["state"] == "broken"
    assert report["python"]["state"] == "works"
    assert done.stderr.startswith("loading each library to try it")
    assert done.stderr.count("\n") == 1


def test_a_glance_loads_nothing_and_ends_with_what_this_machine_can_do():
    code = (
        "import sys\nfrom ccd_fast import doctor\nfound = doctor.glance()\n"
        "assert not {'torch', 'timm', 'open_clip', 'onnxruntime', 'nvidia.dali'} & set(sys.modules)\n"
        "print(found[-1].part, found[-1].state, found[-1].detail)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("this machine works labels, trains and predicts on the CPU: the teacher runs by ")


def test_a_glance_says_what_lacks(monkeypatch):
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.setattr(metadata, "distributions", lambda path: [])
    found = {finding.part: finding for finding in doctor.glance()}
    assert found["timm"] == doctor.Finding("timm", "broken", "not installed: pip install timm")
    assert found["DALI"] == doctor.Finding("DALI", "missing", doctor.NO_DALI)
    assert found[doctor.HERE].state == "broken"
    assert "before torch, torchvision, open_clip, timm, onnx can be loaded" in found[doctor.HERE].detail


def test_without_onnxruntime_and_dali_it_says_what_is_slower():
    parts = [doctor.Finding(part, "installed", "1") for part in doctor.NEEDED]
    assert doctor._possible(parts) == (
        "works",
        "labels, trains and predicts on the CPU: the teacher runs by torch, slower than by onnxruntime, photographs "
        "are decoded by pillow, slower than by dali",
    )
