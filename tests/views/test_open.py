"""Which backend is opened, and what is refused."""

import threading
import types

import numpy as np
import pytest
import torch

from ccd_fast.errors import UserError
from ccd_fast.views import installed_backends, open_backend, opening


@pytest.fixture
def without_dali(monkeypatch):
    monkeypatch.setattr(opening, "installed_backends", lambda: ["pillow"])


@pytest.fixture
def a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_auto_takes_pillow_on_the_cpu_where_dali_is_not_installed(without_dali):
    assert open_backend("auto", 2).name == "pillow"


def test_auto_on_a_gpu_never_falls_back_to_pillow(without_dali, a_gpu):
    with pytest.raises(UserError, match=r"device cuda needs nvidia-dali.*views\.backend=pillow"):
        open_backend("auto", 2, "cuda")


def test_pillow_by_name_may_serve_a_gpu(without_dali, a_gpu):
    assert open_backend("pillow", 2, "cuda").device == torch.device("cuda")


def test_pillow_works_in_as_many_threads_as_are_asked_for(tmp_path):
    """Each file waits until another one is being read, too."""
    both = threading.Barrier(2, timeout=10)
    backend = open_backend("pillow", 2, read=lambda _: (both.wait(), "no such file")[1])
    found = backend.decode([tmp_path / "one", tmp_path / "two"], np.arange(2))
    assert found.unreadable == {0: "no such file", 1: "no such file"}


def test_dali_by_name_must_be_installed(without_dali):
    with pytest.raises(UserError, match="nvidia-dali is not installed"):
        open_backend("dali", 2)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch finds no CUDA GPU"):
        open_backend("auto", 2, "cuda")


@pytest.mark.skipif("dali" not in installed_backends(), reason="nvidia-dali is not installed")
@pytest.mark.parametrize(("of_torch", "of_dali"), [(0, 1), (4711, 4711)])
def test_dali_gets_the_stream_of_torch_and_never_the_handle_0(monkeypatch, of_torch, of_dali):
    from nvidia.dali.types import _raw_cuda_stream

    from ccd_fast.views.dali import TorchStream

    current = types.SimpleNamespace(device_index=2, cuda_stream=of_torch)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: current)
    stream = TorchStream(torch.device("cuda:2"))
    assert _raw_cuda_stream(stream) == of_dali
    assert stream.device_id == 2
