"""The CUDA source, compiled for the host, against the NumPy twins: results, not speed."""

import numpy as np
import pytest
import torch

from ccd_fast.kernels import cupy_kernels, launches, numpy_twins
from tests.kernels import agreement
from tests.kernels.host import Host, shifted

dtypes = pytest.mark.parametrize("dtype", agreement.HALF_AND_FLOAT, ids=["float32", "float16"])


@dtypes
@pytest.mark.parametrize("classes", agreement.CLASSES)
def test_scores_and_bias_sums_agree_with_the_twin(host, classes, dtype):
    rows = 3 if classes > 512 else 37  # more than the rows of one block's stride
    agreement.check_score(host, agreement.similarities(rows, classes, dtype, seed=classes))


@dtypes
@pytest.mark.parametrize("rows", [0, 1, 4, 15, 17, 300])
def test_any_number_of_rows_is_scored(host, rows, dtype):
    if rows:
        agreement.check_score(host, agreement.similarities(rows, 7, dtype, seed=rows))
    else:
        sums = torch.zeros(7, dtype=torch.int64)
        assert host.score(torch.zeros((0, 7), dtype=dtype), 1.0, sums, sums.clone())[0].shape == (0, 7)


@pytest.mark.parametrize("classes", [1, 5, 81, 600])
def test_no_score_depends_on_where_its_row_stands(host, classes):
    rows = agreement.similarities(9, classes, torch.float32)

    def scores_of(similarities):
        sums = torch.zeros(classes, dtype=torch.int64)
        return host.score(similarities, 1.0, sums, sums.clone())[0].numpy()

    alone = scores_of(rows)
    for elements in (1, 2, 3):
        np.testing.assert_array_equal(scores_of(shifted(rows, elements)), alone)
    np.testing.assert_array_equal(scores_of(rows[4:].contiguous()), alone[4:])


@pytest.mark.parametrize(("rows", "classes"), [(300, 7), (20, 600)])
def test_rows_that_a_block_takes_one_after_the_other_do_not_mix(host, rows, classes):
    # The similarities start elsewhere than the scores, so that other threads store than load.
    agreement.check_score(host, shifted(agreement.similarities(rows, classes, torch.float32), 1))


def test_of_equal_similarities_the_lowest_class_is_on_top(host):
    for classes in (81, 600):
        rows = torch.zeros((1, classes))
        rows[0, [classes - 1, 70, 40, 8]] = 50.0
        counts = torch.zeros(classes, dtype=torch.int64)
        host.score(rows, 2.0, torch.zeros(classes, dtype=torch.int64), counts)
        assert counts.nonzero().tolist() == [[8]]


@pytest.mark.parametrize("classes", [6, 700])
def test_nan_and_infinity_go_the_twins_way(host, classes):
    rows = torch.zeros((6, classes))
    rows[0, 2] = float("nan")
    rows[1, 3] = float("inf")
    rows[2, 1:] = -float("inf")
    rows[3] = -float("inf")
    rows[4] = float("nan")
    rows[5, 4] = 60.0
    results = []
    for kernels in (host, numpy_twins):
        sums, counts = (torch.zeros(classes, dtype=torch.int64) for _ in range(2))
        results.append([*kernels.score(rows, 0.5, sums, counts), sums, counts])
    for ours, twins in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, twins)
    scores, confident, _, counts = results[0]
    assert confident.tolist() == [False, False, True, False, False, True]
    assert scores.isnan().all(dim=1).tolist() == [True, True, False, True, True, False]
    assert counts.nonzero().flatten().tolist() == [0, 4]


@dtypes
@pytest.mark.parametrize("classes", [1, 3, 4, 20, 80, 81, 127, 128, 129, 512, 1001, 4100])
def test_updated_labels_are_the_twins_bit_by_bit(host, classes, dtype):
    images = 6 if classes > 512 else 90  # 90 images: more than the warps at once
    agreement.check_update(host, *agreement.update_case(images, classes, dtype, seed=classes))


@dtypes
def test_an_update_takes_memory_that_starts_anywhere(host, dtype):
    table, rows, offsets, scores, bias = agreement.update_case(20, 80, dtype)
    agreement.check_update(host, shifted(table, 1), rows, offsets, scores, bias)
    agreement.check_update(host, table, rows, offsets, shifted(scores, 2), bias)
    agreement.check_update(host, table, rows, offsets, scores, shifted(bias, 3))


def test_a_nan_score_makes_a_nan_label_and_the_extremes_of_the_knobs_work(host):
    case = agreement.update_case(30, 21, torch.float32)
    case[3][::4, ::5] = float("nan")
    agreement.check_update(host, *case)
    assert case[0].isnan().any()
    for ema, floor in ((0.0, 0.0), (1.0, 0.5), (0.7, 1.0)):
        agreement.check_update(host, *agreement.update_case(30, 21, torch.float32), ema=ema, floor=floor)


@dtypes
@pytest.mark.parametrize(("height", "width", "size"), agreement.CAM_SHAPES)
def test_boxes_are_the_twins(host, height, width, size, dtype):
    maps = agreement.cams(24, height, width, dtype, seed=size)
    agreement.check_cam_boxes(host, maps, size)
    agreement.check_cam_boxes(host, maps, size, threshold=0.5, margin=0.0)


def test_boxes_are_the_twins_in_the_largest_view_and_on_maps_that_start_anywhere(host):
    maps = agreement.cams(3, 13, 11, torch.float32)
    agreement.check_cam_boxes(host, maps, 4096)
    agreement.check_cam_boxes(host, shifted(maps, 3), 100)


def test_a_map_with_a_nan_or_an_infinity_gives_the_whole_view(host):
    maps = torch.zeros((3, 5, 5))
    maps[:, 1, 1] = 1.0
    maps[0, 4, 2], maps[1, 0, 0], maps[2, 3, 3] = float("nan"), float("inf"), -float("inf")
    agreement.check_cam_boxes(host, maps, 40)
    assert host.cam_boxes(maps, 40, 0.95, 0.1).tolist() == [[0, 0, 40, 40]] * 3


filters = pytest.mark.parametrize("interpolation", agreement.FILTERS)


@filters
@pytest.mark.parametrize("size", agreement.CROP_SIZES)
def test_crops_are_the_twins_bit_by_bit(host, size, interpolation):
    agreement.check_crop_resize(host, agreement.photographs(seed=size), size, interpolation)


@filters
@pytest.mark.parametrize(("size", "longest"), [(33, 900), (33, 4000), (9, 30_000)])
def test_crops_are_the_same_in_whatever_tiles_they_are_made(host, size, longest, interpolation):
    agreement.check_crop_resize(host, agreement.photographs(), size, interpolation, longest)


def test_the_longer_a_picture_may_be_the_smaller_are_the_tiles():
    none = torch.zeros(0, dtype=torch.int64)
    plans = [launches.crop_resize(none, none, none, 33, "bicubic", n, none) for n in (300, 900, 4000, 60_000)]
    assert [plan.arguments[4:6] for plan in plans] == [(32, 32), (32, 8), (4, 4), (1, 1)]
    assert [plan.shared_bytes <= launches.SHARED_BYTES for plan in plans] == [True, True, True, False]
    assert launches.crop_resize(none, none, none, 224, "bicubic", 2000, none).arguments[4:6] == (32, 32)


def test_a_long_thin_picture_becomes_a_square(host):
    agreement.check_crop_resize(host, agreement.photographs(sizes=[(1, 5000), (3000, 2)]), 9, "bicubic")


def test_the_host_sees_a_missing_barrier(tmp_path):
    source = cupy_kernels.source()
    for barrier, follows in (("__syncwarp();", "for (int r = 0"), ("__syncthreads();", "const Scored scored")):
        with_barrier = f"{barrier}\n        {follows}"  # until the rows have arrived
        assert with_barrier in source
        source = source.replace(with_barrier, follows)
    last = "__syncthreads();  // before the next band overwrites weights and lines"
    assert last in source
    broken = Host(tmp_path, source.replace(last, ""))
    with pytest.raises(AssertionError):
        agreement.check_crop_resize(broken, agreement.photographs(), 64, "bicubic", longest=1000)
    for classes in (81, 600):  # a row a warp, a row a block
        peaks = torch.zeros((100, classes)).scatter_(1, torch.randint(0, classes, (100, 1)), 30.0)
        with pytest.raises(AssertionError):
            agreement.check_score(broken, peaks)
