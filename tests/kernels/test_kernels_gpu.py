"""The CUDA kernels on a GPU, through CuPy, against the NumPy twins."""

import pytest
import torch

from ccd_fast import kernels
from ccd_fast.kernels import cupy_kernels, numpy_twins
from tests.kernels import agreement

if not torch.cuda.is_available():
    pytest.skip("no NVIDIA GPU here", allow_module_level=True)
if not cupy_kernels.available():
    pytest.skip("CuPy is not installed: pip install 'ccd_fast[cuda]'", allow_module_level=True)

pytestmark = pytest.mark.gpu
dtypes = pytest.mark.parametrize("dtype", agreement.HALF_AND_FLOAT, ids=["float32", "float16"])


def on_gpu(tensors):
    return [tensor.cuda() for tensor in tensors]


@pytest.fixture
def poison(monkeypatch):
    """Fill what torch.empty gives with garbage, so that an output that is not written is seen."""
    empty, empty_like = torch.empty, torch.empty_like

    def filled(tensor):
        tensor.view(torch.uint8).fill_(0xFF) if tensor.numel() else None
        return tensor

    monkeypatch.setattr(torch, "empty", lambda *a, **k: filled(empty(*a, **k)))
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: filled(empty_like(*a, **k)))


@dtypes
@pytest.mark.parametrize("rows", [1, 4, 37, 2001, 40_000])
@pytest.mark.parametrize("classes", [*agreement.CLASSES, 8192])
def test_scores_and_bias_sums_agree_with_the_twin(poison, rows, classes, dtype):
    if rows * classes > 2**25:
        pytest.skip("too large for the twin")
    agreement.check_score(kernels, agreement.similarities(rows, classes, dtype, seed=rows).cuda())


@dtypes
@pytest.mark.parametrize("classes", [1, 81, 700])
def test_bias_sums_are_the_same_bits_in_every_run_and_in_any_order(classes, dtype):
    rows = agreement.similarities(20_000, classes, dtype)
    orders = [torch.arange(len(rows)), torch.arange(len(rows)), torch.randperm(len(rows))]
    results = []
    for order in orders:
        sums, counts = (torch.zeros(classes, dtype=torch.int64, device="cuda") for _ in range(2))
        kernels.score(rows[order].cuda(), 2.0, sums, counts)
        results.append((sums.cpu(), counts.cpu()))
    for sums, counts in results[1:]:
        assert torch.equal(sums, results[0][0])
        assert torch.equal(counts, results[0][1])


@dtypes
@pytest.mark.parametrize("images", [1, 5, 3000])
@pytest.mark.parametrize("classes", [1, 3, 20, 80, 81, 127, 128, 129, 1001, 4100])
def test_updated_labels_are_the_twins_bit_by_bit(images, classes, dtype):
    agreement.check_update(kernels, *on_gpu(agreement.update_case(images, classes, dtype, seed=classes)))


@dtypes
@pytest.mark.parametrize(("height", "width", "size"), [*agreement.CAM_SHAPES, (13, 11, 4096), (120, 120, 3840)])
def test_boxes_are_the_twins(poison, height, width, size, dtype):
    maps = agreement.cams(8 if size > 1000 else 2000, height, width, dtype, seed=size).cuda()
    agreement.check_cam_boxes(kernels, maps, size)
    agreement.check_cam_boxes(kernels, maps, size, threshold=0.5, margin=0.0)


@pytest.mark.parametrize("interpolation", agreement.FILTERS)
@pytest.mark.parametrize("size", [*agreement.CROP_SIZES, 224])
def test_crops_are_the_twins_bit_by_bit(poison, size, interpolation):
    pictures = on_gpu(agreement.photographs(sizes=[*agreement.PICTURES, (1200, 900), (40, 3000)]))
    for longest in (0, 9000):  # in other tiles, too
        agreement.check_crop_resize(kernels, pictures, size, interpolation, longest)


@dtypes
def test_memory_that_starts_anywhere_is_taken(dtype):
    memory = agreement.similarities(50, 81, dtype).cuda()
    agreement.check_score(kernels, memory[1:])
    table, rows, offsets, scores, bias = on_gpu(agreement.update_case(40, 80, dtype))
    odd = torch.empty(scores.numel() + 1, dtype=dtype, device="cuda")[1:].view(scores.shape).copy_(scores)
    agreement.check_update(kernels, table, rows, offsets, odd, bias)


def test_kernels_run_in_the_order_of_torchs_current_stream():
    case = agreement.update_case(500, 81, torch.float32)
    expected, others = case[0].clone(), case[1:]
    kernels.update(expected, *others, 0.05, 0.2)
    table, *others = on_gpu(case)
    late = torch.zeros_like(others[2])
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # about a tenth of a second: the scores come after the launch was queued
        late.copy_(others[2])
        kernels.update(table, others[0], others[1], late, others[3], 0.05, 0.2)
        busy = not stream.query()
        result = table.clone()
    assert busy, "the launch waited for the GPU"
    stream.synchronize()
    assert torch.equal(result.cpu(), expected)


@dtypes
def test_kernels_can_be_captured_in_a_cuda_graph(dtype):
    """As the benchmark replays them: one graph of all three, on inputs that change between replays."""
    rows, maps = agreement.similarities(300, 81, dtype).cuda(), agreement.cams(50, 7, 7, dtype).cuda()
    table, *others = on_gpu(agreement.update_case(200, 81, dtype))
    sums, counts = (torch.zeros(81, dtype=torch.int64, device="cuda") for _ in range(2))

    def all_three():
        kernels.update(table, *others, 0.05, 0.2)
        return *kernels.score(rows, 2.0, sums, counts), kernels.cam_boxes(maps, 224, 0.95, 0.1)

    all_three()  # compiles: a graph cannot
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        scores, confident, boxes = all_three()
    for seed in (1, 2):
        rows.copy_(agreement.similarities(300, 81, dtype, seed))
        maps.copy_(agreement.cams(50, 7, 7, dtype, seed))
        twin = table.cpu()
        numpy_twins.update(twin, *(t.cpu() for t in others), 0.05, 0.2)
        zeros = torch.zeros(81, dtype=torch.int64)
        expected = numpy_twins.score(rows.cpu(), 2.0, zeros, zeros.clone())
        graph.replay()
        assert torch.equal(table.cpu(), twin)
        torch.testing.assert_close(scores.cpu(), expected[0], rtol=2e-5, atol=1e-30)
        assert torch.equal(confident.cpu(), expected[1])
        assert torch.equal(boxes.cpu(), numpy_twins.cam_boxes(maps.cpu(), 224, 0.95, 0.1))


def test_no_kernel_waits_for_the_gpu():
    sums = torch.zeros(81, dtype=torch.int64, device="cuda")
    rows, case = torch.zeros((10, 81), device="cuda"), on_gpu(agreement.update_case(10, 81, torch.float32))
    maps, pictures = torch.zeros((3, 7, 7), device="cuda"), on_gpu(agreement.photographs())
    photographs, asked = agreement.places(pictures), on_gpu(agreement.boxes_in(pictures, 5))

    def all_four():
        kernels.score(rows, 2.0, sums, sums.clone())
        kernels.update(*case, 0.05, 0.2)
        kernels.cam_boxes(maps, 224, 0.95, 0.1)
        kernels.crop_resize(photographs, *asked, 64, "bicubic", 331)

    all_four()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        all_four()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_what_is_not_contiguous_or_elsewhere_is_refused():
    maps = torch.zeros((2, 8, 8), device="cuda")
    with pytest.raises(ValueError, match="maps is not contiguous"):
        kernels.cam_boxes(maps[:, :, ::2], 32, 0.9, 0.1)
    sums = torch.zeros(8, dtype=torch.int64)
    with pytest.raises(ValueError, match="bias_sums is on cpu"):
        kernels.score(maps[0], 2.0, sums, sums)
