"""How the processes of a run meet: what each kind of device is told of devices and patience."""

import datetime
from types import SimpleNamespace

import pytest
import torch
from torch import distributed

from ccd_fast.machine import ranks


@pytest.fixture
def told(monkeypatch):
    """What torch is told while the second of two processes joins; nothing is started."""
    told = []

    def backend(place):
        return SimpleNamespace(_set_default_timeout=lambda patience: told.append((place, patience)))

    def init(backend, **how):
        told.append((backend, how))

    for name, value in (("WORLD_SIZE", 2), ("LOCAL_WORLD_SIZE", 2), ("LOCAL_RANK", 1), ("RANK", 1)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda place: told.append(("current", place)))
    monkeypatch.setattr(distributed, "init_process_group", init)
    monkeypatch.setattr(distributed, "all_gather_object", lambda every, own: None)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(type(distributed.group), "WORLD", SimpleNamespace(_get_backend=backend))
    monkeypatch.setattr(ranks, "_places", [])
    return told


def test_on_gpus_nccl_connects_on_its_own_one_and_is_less_patient_than_the_host(told):
    own = torch.device("cuda", 1)
    joined, device = ranks.join("cuda")
    assert (joined.rank, joined.size, device) == (1, 2, "cuda:1")
    assert told == [
        ("current", own),
        ("cpu:gloo,cuda:nccl", {"timeout": ranks.PATIENCE, "device_id": own}),
        (own, ranks.GPU_PATIENCE),
    ]
    assert datetime.timedelta(minutes=1) < ranks.GPU_PATIENCE < ranks.PATIENCE


def test_on_a_cpu_there_is_gloo_alone(told):
    assert ranks.join("cpu")[1] == "cpu"
    assert told == [("gloo", {"timeout": ranks.PATIENCE})]


@pytest.mark.parametrize("backend", ["ProcessGroupGloo", "ProcessGroupNCCL"])
def test_every_backend_can_be_told_of_patience(backend):
    if not hasattr(distributed, backend):
        pytest.skip(f"this torch has no {backend}")
    assert hasattr(vars(distributed)[backend], "_set_default_timeout")
    assert hasattr(distributed.ProcessGroup, "_get_backend")
