"""What the kernels refuse, and where they run."""

import pytest
import torch

from ccd_fast import kernels
from ccd_fast.errors import UserError
from ccd_fast.kernels import cupy_kernels


def sums(classes=4):
    return torch.zeros(classes, dtype=torch.int64), torch.zeros(classes, dtype=torch.int64)


@pytest.mark.parametrize(
    ("similarities", "complaint"),
    [
        (torch.zeros(3, 4, dtype=torch.float64), "similarities is torch.float64; it must be torch.float32 or torch.fl"),
        (torch.zeros(3), r"similarities has shape \(3,\); it must be \(any, any\)"),
        (torch.zeros(4, 3).T, "similarities is not contiguous"),
        (torch.zeros(3, 0), "no classes"),
        (torch.zeros(3, 5), r"bias_sums has shape \(4,\); it must be \(5\)"),
        (torch.zeros(3, 4, device="meta"), "bias_sums is on cpu, the others on meta"),
    ],
)
def test_similarities_that_do_not_fit_are_refused(similarities, complaint):
    with pytest.raises(ValueError, match=complaint):
        kernels.score(similarities, 1.0, *sums())


def test_an_update_refuses_what_does_not_fit_together():
    table, bias, rows = torch.zeros(5, 4), torch.ones(4), torch.tensor([0, 2])
    offsets, scores = torch.tensor([0, 1, 3]), torch.zeros(3, 4)
    kernels.update(table, rows, offsets, scores, bias, 0.05, 0.2)
    for wrong, complaint in (
        ((table.half(), rows, offsets, scores, bias), "table is torch.float16"),
        ((table, rows.int(), offsets, scores, bias), "rows is torch.int32"),
        ((table, rows, offsets[:2], scores, bias), r"offsets has shape \(2,\)"),
        ((table, rows, offsets, torch.zeros(3, 3), bias), r"crop_scores has shape \(3, 3\)"),
        ((table, rows, offsets, scores, torch.ones(3)), "bias has shape"),
        ((table, rows, offsets, torch.zeros(4, 3).T, torch.ones(4)), "crop_scores"),
    ):
        with pytest.raises(ValueError, match=complaint):
            kernels.update(*wrong, 0.05, 0.2)


@pytest.mark.parametrize(
    ("maps", "size", "complaint"),
    [
        (torch.zeros(2, 3), 32, "shape"),
        (torch.zeros(2, 0, 3), 32, "no samples"),
        (torch.zeros(2, 3, 3), 4097, "4097 pixels"),
        (torch.zeros(2, 3, 3), 0, "0 pixels"),
        (torch.zeros(1, 2, 2, device="meta"), 32, "no implementation for device meta"),
    ],
)
def test_maps_that_do_not_fit_are_refused(maps, size, complaint):
    with pytest.raises(ValueError, match=complaint):
        kernels.cam_boxes(maps, size, 0.9, 0.1)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"pictures": torch.zeros((2, 2), dtype=torch.int64)}, r"pictures has shape \(2, 2\); it must be \(any, 3\)"),
        ({"owner": torch.zeros(3)}, "owner is torch.float32"),
        ({"boxes": torch.zeros((2, 4), dtype=torch.int64)}, r"boxes has shape \(2, 4\); it must be \(3, 4\)"),
        ({"boxes": torch.zeros((4, 3), dtype=torch.int64).T}, "boxes is not contiguous"),
        ({"boxes": torch.zeros((3, 4), dtype=torch.int64, device="meta")}, "boxes is on meta, the others on cpu"),
        ({"size": 0}, "a square of 0 pixels"),
        ({"size": 4097}, "a square of 4097 pixels"),
        ({"interpolation": "lanczos"}, "no filter 'lanczos'; there are bilinear, bicubic"),
    ],
)
def test_crops_that_do_not_fit_are_refused(wrong, complaint):
    pictures, owner = torch.zeros((2, 3), dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    boxes = torch.zeros((3, 4), dtype=torch.int64)
    right = {"pictures": pictures, "owner": owner, "boxes": boxes, "size": 8, "interpolation": "bilinear", "longest": 9}
    with pytest.raises(ValueError, match=complaint):
        kernels.crop_resize(**{**right, **wrong})


def test_kernels_are_available_on_a_cpu_and_on_a_gpu_with_cupy(monkeypatch):
    for installed in (None, object()):
        monkeypatch.setattr(cupy_kernels, "cupy", installed)
        assert kernels.available(torch.device("cpu"))
        assert kernels.available(torch.device("cuda", 0)) == (installed is not None)


def test_a_gpu_without_cupy_is_an_error_that_names_the_extra(monkeypatch):
    class OnGpu:
        device = torch.device("cuda", 0)

    monkeypatch.setattr(cupy_kernels, "cupy", None)
    with pytest.raises(UserError, match=r"pip install 'ccd_fast\[cuda\]'"):
        kernels.operations._implementation(OnGpu())


def test_no_maps_give_no_boxes():
    assert kernels.cam_boxes(torch.zeros(0, 3, 3), 32, 0.9, 0.1).shape == (0, 4)


def test_the_sources_of_all_kernels_come_with_the_package():
    for name in ("score_by_warps_float32", "update_wide_float16", "cam_boxes_float32", "crop_resize_bicubic"):
        assert name in cupy_kernels.source()
