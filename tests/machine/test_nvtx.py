"""The parts of a stage on a profiler's timeline, and nothing where nobody looks."""

from contextlib import nullcontext

import pytest
import torch
from torch.autograd import profiler

from ccd_fast.machine import nvtx
from ccd_fast.runs import Stage


@pytest.fixture
def stage():
    return Stage("relabel", 1, lambda _: None)


@pytest.fixture
def ranges(monkeypatch):
    ranges = []
    monkeypatch.setattr(torch.cuda.nvtx, "range_push", ranges.append)
    monkeypatch.setattr(torch.cuda.nvtx, "range_pop", lambda: ranges.append("end"))
    return ranges


def test_nsight_sees_the_parts_of_a_stage(stage, ranges, monkeypatch):
    monkeypatch.setattr(nvtx, "IS_READ", True)
    with stage.part("teacher"), pytest.raises(KeyError), stage.part("boxes"):
        raise KeyError
    assert ranges == ["relabel: teacher", "relabel: boxes", "end", "end"]
    assert set(stage.parts) == {"teacher", "boxes"}


def test_nothing_is_shown_where_nobody_looks(stage, ranges, monkeypatch):
    monkeypatch.setattr(nvtx, "IS_READ", False)
    with stage.part("teacher"):
        assert nvtx.shown("relabel", "teacher") is nvtx.NOTHING
    assert not ranges


def test_pytorch_s_profiler_sees_them_too(stage, ranges, monkeypatch):
    seen = []
    monkeypatch.setattr(profiler, "_is_profiler_enabled", True)  # to begin a real profile takes seconds
    monkeypatch.setattr(profiler, "record_function", lambda name: nullcontext(seen.append(name)))
    monkeypatch.setattr(nvtx, "IS_READ", True)
    with stage.part("teacher"):
        assert seen == ["relabel: teacher"]
    assert not ranges


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        *(({}, False), ({nvtx.SESSION: "7"}, True), ({nvtx.WANTED: "1"}, True)),
        *(({nvtx.SESSION: "7", nvtx.WANTED: "0"}, False), ({nvtx.WANTED: ""}, False)),
    ],
)
def test_it_is_known_from_the_environment_whether_somebody_looks(settings, wanted, monkeypatch):
    for name in (nvtx.SESSION, nvtx.WANTED):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch._C, "_nvtx", object(), raising=False)
    assert nvtx.is_read() == wanted
    monkeypatch.delattr(torch._C, "_nvtx")
    assert not nvtx.is_read()  # a torch without CUDA
