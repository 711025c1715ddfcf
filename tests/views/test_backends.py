import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import picture
from PIL import Image

from ccd_fast.views import jitter_factors, open_backend
from ccd_fast.views.pillow import PillowViews

pytest.importorskip("nvidia.dali")


@pytest.fixture(scope="module")
def dali():
    return open_backend("dali", 2)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    files = []
    for index, (height, width) in enumerate([(100, 150), (150, 100), (64, 64), (300, 40), (9, 7), (480, 640)]):
        files.append(folder / f"{index}.jpg")
        picture(rng, height, width).save(files[-1], quality=90, progressive=index % 2 == 0)
    files.append(folder / "grey.jpg")
    picture(rng, 80, 90).convert("L").save(files[-1])
    files.append(folder / "alpha.png")
    picture(rng, 80, 90).convert("RGBA").save(files[-1])
    return files


def decoded(backend, files):
    return backend.decode(files, np.arange(len(files)))


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    """Both decode to the same pixels; the resizers round alike but for one pixel in twenty, mostly by a level."""
    difference = (a.int() - b.int()).abs()
    assert a.shape == b.shape
    assert difference.float().mean() < 0.1
    assert difference.max() <= 16


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [32, 224])
def test_whole_views_agree_with_pillow(dali, files, size, interpolation):
    ours = dali.whole(decoded(dali, files), size, interpolation)
    close(ours, PillowViews().whole(decoded(PillowViews(), files), size, interpolation))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crops_agree_with_pillow(dali, files, interpolation):
    ours, theirs = decoded(dali, files), decoded(PillowViews(), files)
    rng = np.random.default_rng(2)
    owner = np.sort(rng.integers(0, len(files), 40))
    low = np.floor(rng.random((40, 2)) * theirs.sizes[owner, ::-1] * 0.6).astype(np.int64)
    high = np.minimum(low + 1 + rng.integers(1, 200, (40, 2)), theirs.sizes[owner, ::-1])
    boxes = np.concatenate([low, high], axis=1)
    close(dali.crop(ours, owner, boxes, 64, interpolation), PillowViews().crop(theirs, owner, boxes, 64, interpolation))


def test_a_crop_of_everything_is_the_whole_view(dali, files):
    photographs = decoded(dali, files)
    boxes = np.concatenate([np.zeros((len(files), 2), dtype=np.int64), photographs.sizes[:, ::-1]], axis=1)
    crops = dali.crop(photographs, np.arange(len(files)), boxes, 48, "bicubic")
    assert torch.equal(crops, dali.whole(photographs, 48, "bicubic"))


def test_on_photographs_too(dali, shared):
    files = sorted((shared / "data" / "coco18" / "images").iterdir())[:64]
    ours = dali.whole(decoded(dali, files), 224, "bicubic")
    close(ours, PillowViews().whole(decoded(PillowViews(), files), 224, "bicubic"))


@pytest.mark.parametrize("name", ["dali", "pillow"])
def test_exif_orientation_is_honoured(name, tmp_path):
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, :40] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees to stand upright
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    backend = open_backend(name, 2)
    photographs = decoded(backend, [tmp_path / "turned.jpg"])
    np.testing.assert_array_equal(photographs.sizes, [[80, 40]])
    view = backend.whole(photographs, 64, "bilinear")[0].float()
    assert view[:24].mean() > 200  # white went to the top
    assert view[40:].mean() < 50


@pytest.mark.parametrize("name", ["dali", "pillow"])
def test_unreadable_files_are_reported_and_shift_no_row(name, files, tmp_path):
    (tmp_path / "rubbish.jpg").write_bytes(b"this is no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes(files[0].read_bytes()[:400])
    bad = [tmp_path / n for n in ("rubbish.jpg", "empty.jpg", "cut.jpg", "missing.jpg")]
    mixed = [files[0], bad[0], files[1], bad[1], bad[2], files[2], bad[3]]
    backend = open_backend(name, 2)
    photographs = backend.decode(mixed, np.arange(10, 17))
    np.testing.assert_array_equal(photographs.rows, [10, 12, 15])
    assert photographs.unreadable == {
        11: "not an image (starts with 'this is ')",
        13: "empty file",
        14: "truncated",
        16: "no such file",
    }
    alone = backend.whole(decoded(backend, files[:3]), 32, "bilinear")
    assert torch.equal(backend.whole(photographs, 32, "bilinear"), alone)


def test_pillow_gives_the_same_in_one_thread_and_in_several(files, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(files[0].read_bytes()[:400])
    mixed = [*files, tmp_path / "cut.jpg", *files[::-1]]
    owner = np.arange(2 * len(files)).repeat(3)
    alone, together = (PillowViews(threads=threads) for threads in (1, 4))
    found = [decoded(backend, mixed) for backend in (alone, together)]
    assert found[0].unreadable == found[1].unreadable == {len(files): "truncated"}
    for field in ("rows", "sizes"):
        np.testing.assert_array_equal(getattr(found[0], field), getattr(found[1], field))
    boxes = np.column_stack(
        [np.zeros((len(owner), 2), dtype=np.int64), np.maximum(found[0].sizes[owner, ::-1] // 2, 1)]
    )
    for view in (
        lambda backend, of: backend.whole(of, 48, "bicubic"),
        lambda b, of: b.crop(of, owner, boxes, 32, "bilinear"),
    ):
        assert torch.equal(view(alone, found[0]), view(together, found[1]))


def test_a_backend_of_dali_may_have_fewer_threads_than_one_before(files):
    """A decoder of the other one's would wait for threads that there are no more, for ever."""
    found = []

    def work():
        for threads in (3, 1):
            backend = open_backend("dali", threads)
            found.extend(len(decoded(backend, files)) for backend in (backend, backend))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(30)
    assert found == [len(files)] * 4


@pytest.mark.parametrize("name", ["dali", "pillow"])
def test_a_batch_with_nothing_readable_gives_no_views(name, tmp_path):
    backend = open_backend(name, 2)
    photographs = decoded(backend, [tmp_path / "missing.jpg"])
    assert len(photographs) == 0
    assert backend.whole(photographs, 32, "bilinear").shape == (0, 32, 32, 3)


def test_colour_jitter_agrees_with_its_affine_map(dali, files):
    pixels = dali.whole(decoded(dali, files), 64, "bilinear")
    factors = jitter_factors(np.random.default_rng(3).random((len(files), 4)), 0.5, 0.5)
    difference = (dali.jitter(pixels, factors).int() - PillowViews().jitter(pixels, factors).int()).abs()
    assert difference.max() <= 1


def test_no_jitter_changes_nothing(dali, files):
    pixels = dali.whole(decoded(dali, files), 64, "bilinear")
    factors = jitter_factors(np.random.default_rng(3).random((len(files), 4)), 0.0, 0.0)
    assert (dali.jitter(pixels, factors).int() - pixels.int()).abs().max() <= 1
