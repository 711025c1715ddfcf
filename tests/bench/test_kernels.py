"""The benchmark of the kernels: what it counts, and that it runs what it says."""

import pytest
import torch

from ccd_fast.bench import kernels, measure
from ccd_fast.errors import UserError

CPU = torch.device("cpu")


def test_the_bytes_that_must_move_are_counted_from_the_shapes():
    assert kernels.score_case(CPU, 10, 3, torch.float32).moved == 10 * 3 * 4 + 10 * 3 * 4 + 10
    assert kernels.score_case(CPU, 10, 3, torch.float16).moved == 10 * 3 * 2 + 10 * 3 * 4 + 10
    crops = kernels.CROPS_AN_IMAGE * 10 * 3
    assert kernels.update_case(CPU, 10, 3, torch.float16).moved == crops * 2 + 2 * 10 * 3 * 4 + 2 * 10 * 8
    case = kernels.boxes_case(CPU, 40, 3, torch.float32)
    assert case.rows == 10
    assert case.moved == 10 * (100 * 4 + 32)


def test_a_rate_is_what_all_calls_of_a_round_move_over_its_time():
    case = kernels.Case("score", torch.float16, rows=50, moved=1000, calls=(print,) * 8)
    rate = kernels.Rate(case, measure.Timing((2.0,)), copy_rate=16_000.0)
    assert case.name == "score float16"
    assert rate.rows_a_second == 200
    assert rate.bytes_a_second == 4000
    assert rate.share_of_copy == 0.25
    assert rate.record()["gb_per_s"] == 4e-6


def test_every_call_of_a_round_works_on_arrays_of_its_own(monkeypatch):
    seen = []
    monkeypatch.setattr(kernels.kernels, "score", lambda s, *_: seen.append(s.data_ptr()))
    kernels._round(kernels.score_case(CPU, 5, 3, torch.float32), CPU)()
    assert len(set(seen)) == kernels.SETS


def test_all_kernels_are_measured_on_both_types(monkeypatch):
    monkeypatch.setitem(measure.COPY_BYTES, "cpu", 1000)
    rates = kernels.bench(CPU, rows=8, classes=5, repeats=1)
    names = ["score", "update", "cam_boxes"]
    of_both = [f"{name} {dtype}" for name in names for dtype in ("float32", "float16")]
    assert [rate.case.name for rate in rates] == [*of_both, "crop_resize uint8"]
    assert all(rate.bytes_a_second > 0 for rate in rates)


def test_a_device_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="finds no CUDA GPU"):
        kernels.check_device("cuda")
    with pytest.raises(UserError, match="no such device; use cpu"):
        kernels.check_device("tpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_a_gpu_is_measured():
    rates = kernels.bench(kernels.check_device("cuda"), rows=2000, classes=81, repeats=2)
    assert len(rates) == 7


def test_crops_are_counted_by_the_pixels_of_their_boxes_and_of_their_squares():
    case = kernels.crops_case(CPU, 80, 3, torch.uint8)
    sides = [120, 121]  # a quarter of the photograph's height, and one more
    assert case.moved == 3 * (sum(side * side for side in sides) + 2 * 224 * 224)
    assert [tuple(call().shape) for call in case.calls] == [(2, 224, 224, 3)] * kernels.SETS
