"""Where a run runs: a GPU that works before the CPU, and never the CPU in silence where there is a GPU."""

import pytest
import torch

from ccd_fast import machine
from ccd_fast.errors import UserError
from ccd_fast.machine import devices

CPU = torch.device("cpu")


@pytest.fixture
def put_in(monkeypatch, tmp_path):
    """Put cards into this machine: of each what it raises, or gives as the sum of eight ones."""
    current, plain = [], torch.ones

    def ones(count, device=None):
        found = cards[torch.device(device).index]
        if isinstance(found, Exception):
            raise found
        return plain(count) * found / count

    def put(*found):
        cards[:] = found

    cards = []
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(devices, "NVIDIA_GPUS", tmp_path)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: name)  # CuPy is installed
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: f"Card {place.index}")
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch, "ones", ones)
    put.current = current
    return put


def test_auto_is_the_first_gpu_that_works(put_in):
    put_in(8, 8)
    assert machine.choose_device("auto") == (torch.device("cuda", 0), "device: cuda:0, Card 0")
    too_new = RuntimeError("CUDA error: no kernel image is available\nCUDA kernel errors might be reported later")
    put_in(too_new, 7, 8)
    assert machine.choose_device("auto") == (
        torch.device("cuda", 2),
        "device: cuda:2, Card 2; cuda:0 does not work (CUDA error: no kernel image is available); "
        "cuda:1 does not work (eight ones give 7.0)",
    )
    assert put_in.current == [torch.device("cuda", 0), torch.device("cuda", 2)]


def test_a_gpu_is_not_taken_without_what_the_kernels_need_and_the_line_says_so(put_in, monkeypatch):
    put_in(8)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: None)
    place, line = machine.choose_device("auto")
    assert place == CPU
    assert "cuda:0 does not work (CuPy is not installed: pip install 'ccd_fast[cuda]')" in line


def test_auto_is_the_cpu_where_no_gpu_is(put_in, capsys):
    assert machine.choose_device("auto") == (CPU, "device: cpu; no NVIDIA GPU is here")
    assert machine.check_device("auto") == CPU
    assert not capsys.readouterr().err


UNUSED = "device: cpu; a GPU, or its driver, is here and is not used: {}; `ccd-fast doctor` says more"


def test_a_gpu_that_does_not_work_is_not_passed_over_in_silence(put_in, capsys):
    put_in(torch.OutOfMemoryError("CUDA out of memory"))
    line = UNUSED.format("cuda:0 does not work (CUDA out of memory)")
    assert machine.choose_device("auto") == (CPU, line)
    assert machine.check_device("auto") == CPU
    assert capsys.readouterr().err == f"ccd-fast: {line}\n"


@pytest.mark.parametrize("sign", ["a folder of the driver", "nvidia-smi"])
def test_nor_is_one_that_torch_does_not_see(sign, put_in, tmp_path, monkeypatch):
    def fail():
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch.cuda, "init", fail)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if sign == "nvidia-smi":
        monkeypatch.setattr(devices.shutil, "which", lambda name: f"/usr/bin/{name}")
    else:
        (tmp_path / "0000:01:00.0").mkdir()
    assert machine.choose_device("auto") == (CPU, UNUSED.format("Torch not compiled with CUDA enabled"))
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.choose_device("auto") == (CPU, UNUSED.format("torch sees none (CUDA_VISIBLE_DEVICES is '')"))


def test_each_of_several_processes_takes_its_own_gpu_or_says_that_it_has_none(put_in, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    put_in(RuntimeError("not looked at"), 8)
    assert machine.choose_device("auto") == (torch.device("cuda", 1), "device: cuda:1, Card 1")
    put_in(8)
    with pytest.raises(UserError, match=r"no GPU for process 1 of this machine, and others may have one: .* has 1 G"):
        machine.choose_device("auto")
    put_in(8, RuntimeError("broken"))
    with pytest.raises(UserError, match=r"no GPU for process 1 .*: cuda:1 does not work \(broken\)"):
        machine.check_device("auto")
    put_in()
    assert machine.choose_device("auto")[0] == CPU


def test_a_gpu_that_was_named_becomes_the_current_one(put_in):
    put_in(8, 8)
    assert machine.choose_device("cuda:1") == (torch.device("cuda", 1), "")
    assert machine.check_device("cuda") == torch.device("cuda")
    assert machine.check_device("cpu") == CPU
    assert put_in.current == [torch.device("cuda", 1)]
    for wrong, reason in (("cuda:2", "has 2 GPUs"), ("meta", "not supported"), ("tpu", "no such device; use cpu")):
        with pytest.raises(UserError, match=reason):
            machine.choose_device(wrong)


def test_on_this_machine_it_gives_what_a_tensor_can_be_put_on():
    place, line = machine.choose_device("auto")
    assert torch.ones(2, device=place).device == place
    assert line.startswith(f"device: {place}")
