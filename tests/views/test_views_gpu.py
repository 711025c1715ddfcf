"""DALI on the GPU makes the views that it makes on the CPU, on torch's stream, without a copy to the host."""

import numpy as np
import pytest
import torch
from pictures import picture

from ccd_fast.kernels import cupy_kernels, numpy_twins
from ccd_fast.machine.device_streams import on_stream_for
from ccd_fast.views import installed_backends, jitter_factors, open_backend, prefetched
from ccd_fast.views.gpu_decoder import HW_DECODER_LOAD_BY
from tests.views import samples

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU"),
    pytest.mark.skipif("dali" not in installed_backends(), reason="nvidia-dali is not installed"),
]

MEAN, MOST = 1.0, 24
"""Tolerance in levels of 255: nvJPEG has an inverse DCT and a chroma upsampling of its own."""


@pytest.fixture(scope="module")
def backends():
    return open_backend("dali", 2), open_backend("dali", 2, "cuda")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    files = []
    for index, (height, width) in enumerate([(100, 150), (150, 100), (64, 64), (300, 40), (9, 7), (480, 640)]):
        files.append(folder / f"{index}.jpg")
        picture(rng, height, width).save(files[-1], quality=90, progressive=index % 2 == 0)
    every = {**samples.LIKE_THE_SCENE, **samples.LIKE_GREY, **samples.OF_BOTH_BACKENDS_ALIKE}
    for index, content in enumerate([*every.values(), *(samples.turned("JPEG", turn) for turn in range(1, 9))]):
        files.append(folder / f"sample{index}.jpg")
        files[-1].write_bytes(content)
    return files


def decoded(backend, files):
    return backend.decode(files, np.arange(len(files)))


def on_host(photographs):
    """The decoded pixels themselves, by row."""
    pixels = (torch.from_dlpack(tensor).cpu().clone() for tensor in photographs.pixels.tensors)
    return dict(zip(photographs.rows.tolist(), pixels, strict=True))


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.device.type == "cuda"
    difference = (ours.cpu().int() - theirs.int()).abs()
    assert difference.float().mean() < MEAN
    assert difference.max() <= MOST


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_whole_views_agree_with_the_cpu(backends, files, interpolation):
    cpu, gpu = backends
    theirs, ours = decoded(cpu, files), decoded(gpu, files)
    assert ours.unreadable == theirs.unreadable == {}
    np.testing.assert_array_equal(ours.sizes, theirs.sizes)
    close(gpu.whole(ours, 224, interpolation), cpu.whole(theirs, 224, interpolation))


def test_crops_agree_with_the_cpu(backends, files):
    cpu, gpu = backends
    theirs, ours = decoded(cpu, files), decoded(gpu, files)
    rng = np.random.default_rng(2)
    owner = np.sort(rng.integers(0, len(files), 60))
    low = np.floor(rng.random((60, 2)) * theirs.sizes[owner, ::-1] * 0.6).astype(np.int64)
    high = np.minimum(low + 1 + rng.integers(1, 200, (60, 2)), theirs.sizes[owner, ::-1])
    boxes = np.concatenate([low, high], axis=1)
    close(gpu.crop(ours, owner, boxes, 64, "bicubic"), cpu.crop(theirs, owner, boxes, 64, "bicubic"))


@pytest.mark.parametrize("load", ["0", "1"])
def test_the_pixels_of_a_file_depend_on_that_file_alone(files, monkeypatch, load):
    """Whatever its neighbours are, its place among them, and the batches that the decoder had before."""
    monkeypatch.setenv(HW_DECODER_LOAD_BY, load)
    backend, rows = open_backend("dali", 2, "cuda"), np.arange(len(files))
    alone = {row: on_host(backend.decode([files[row]], rows[row : row + 1]))[row] for row in rows.tolist()}
    orders = [np.random.default_rng(seed).permutation(rows) for seed in range(4)]
    for order in (rows, rows[::-1], *orders, rows[:3], rows[3:], orders[0][:11]):
        together = on_host(backend.decode([files[row] for row in order], order))
        assert list(together) == order.tolist()
        for row, pixels in together.items():
            assert torch.equal(pixels, alone[row]), files[row].name


@pytest.mark.skipif(not cupy_kernels.available(), reason="CuPy is not installed")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_are_the_twins_of_the_decoded_pixels(backends, files, interpolation):
    gpu = backends[1]
    photographs = decoded(gpu, files)
    pixels = on_host(photographs)
    places = torch.tensor([[p.data_ptr(), *p.shape[:2]] for p in pixels.values()])
    owner = np.arange(len(files))
    boxes = np.column_stack([photographs.sizes[:, ::-1] // 4, np.maximum(photographs.sizes[:, ::-1] // 2, 1)])
    whole = np.column_stack([np.zeros_like(photographs.sizes), photographs.sizes[:, ::-1]])
    for asked, ours in (
        (boxes, gpu.crop(photographs, owner, boxes, 64, interpolation)),
        (boxes, gpu.crop(photographs, *(torch.from_numpy(a).cuda() for a in (owner, boxes)), 64, interpolation)),
        (whole, gpu.whole(photographs, 64, interpolation)),
    ):
        on_cpu = (torch.from_numpy(owner), torch.from_numpy(asked))
        twin = numpy_twins.crop_resize(places, *on_cpu, 64, interpolation, int(photographs.sizes.max()))
        assert torch.equal(ours.cpu(), twin)


def test_jitter_agrees_with_the_cpu(backends, files):
    cpu, gpu = backends
    pixels = cpu.whole(decoded(cpu, files), 64, "bilinear")
    factors = jitter_factors(np.random.default_rng(3).random((len(files), 4)), 0.5, 0.5)
    difference = (gpu.jitter(pixels.cuda(), factors).cpu().int() - cpu.jitter(pixels, factors).int()).abs()
    assert difference.max() <= 1


def test_a_side_stream_gives_the_same_views(backends, files):
    _, gpu = backends
    factors = jitter_factors(np.random.default_rng(3).random((len(files), 4)), 0.5, 0.5)

    def make():
        whole = gpu.whole(decoded(gpu, files), 224, "bicubic")
        return gpu.jitter(whole.flip(2), factors)  # torch's work between DALI's, on the same stream

    expected = make()
    stream = torch.cuda.Stream()
    for _ in range(5):
        with torch.cuda.stream(stream):
            result = make()
        stream.synchronize()
        assert torch.equal(result, expected)


def test_what_another_thread_decodes_on_its_stream_is_cut_on_this_one(backends, files):
    """As in a relabel pass: decoded ahead on one stream, cropped on another, and freed while others are made."""
    _, gpu = backends
    owner, size = np.repeat(np.arange(len(files)), 3), 64

    def batches():
        for turn in range(12):
            order = files if turn % 2 == 0 else files[::-1]
            photographs = decoded(gpu, order)
            yield photographs, gpu.whole(photographs, 96, "bilinear")

    def cut(photographs):
        boxes = np.zeros((len(owner), 4), dtype=np.int64)
        boxes[:, 2:] = np.maximum(photographs.sizes[owner, ::-1] // 2, 1)
        return gpu.crop(photographs, owner, boxes, size, "bicubic")

    expected = {}
    for turn, (photographs, views) in enumerate(batches()):
        expected.setdefault(turn % 2, (views.cpu(), cut(photographs).cpu()))
    with on_stream_for("pass", torch.device("cuda")):
        for turn, (photographs, views) in enumerate(prefetched(batches(), 1, torch.device("cuda"))):
            crops = cut(photographs)
            assert torch.equal(views.cpu(), expected[turn % 2][0])
            assert torch.equal(crops.cpu(), expected[turn % 2][1])


def test_views_stay_right_while_later_batches_reuse_the_memory(backends, files):
    _, gpu = backends
    first = gpu.whole(decoded(gpu, files), 224, "bilinear")
    copy = first.clone()
    for _ in range(10):
        gpu.whole(decoded(gpu, files[::-1]), 224, "bilinear")
    assert torch.equal(first, copy)


def test_bad_files_are_reported_as_on_the_cpu(backends, files, tmp_path):
    content = files[5].read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    mixed = [files[0], tmp_path / "cut.jpg", files[1], tmp_path / "empty.jpg", tmp_path / "gone.jpg"]
    found = [decoded(backend, mixed) for backend in backends]
    assert found[0].unreadable == found[1].unreadable == {1: "truncated", 3: "empty file", 4: "no such file"}
    nothing = backends[1].whole(decoded(backends[1], mixed[3:]), 32, "bilinear")
    assert nothing.shape == (0, 32, 32, 3)
    assert nothing.device.type == "cuda"


def test_pillow_moves_its_views_to_the_gpu(files):
    cpu, gpu = open_backend("pillow", 2), open_backend("pillow", 2, "cuda")
    views = gpu.whole(decoded(gpu, files), 64, "bilinear")
    assert views.device.type == "cuda"
    assert torch.equal(views.cpu(), cpu.whole(decoded(cpu, files), 64, "bilinear"))
    factors = jitter_factors(np.random.default_rng(3).random((len(files), 4)), 0.5, 0.5)
    assert gpu.jitter(views, factors).device.type == "cuda"
