"""Every format of photographs, by both backends."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from ccd_fast.views import installed_backends, open_backend
from tests.views import samples

BACKENDS = installed_backends()


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return open_backend(request.param, 2)


@pytest.fixture
def write(tmp_path):
    """Write encoded pictures; their names say nothing about the format."""

    def call(*contents):
        files = [tmp_path / f"{index}.jpg" for index in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        return files

    return call


def pixels(photographs) -> list[np.ndarray]:
    """The pictures of any backend, (H, W, 3) uint8 each."""
    found = photographs.pixels
    return [np.asarray(picture) for picture in (found if isinstance(found, list) else found.tensors)]


def decode(backend, files):
    return backend.decode(files, np.arange(len(files)))


@pytest.mark.parametrize("kind", samples.LIKE_THE_SCENE)
def test_every_format_shows_the_same_scene(backend, write, kind):
    photographs = decode(backend, write(samples.LIKE_THE_SCENE[kind]))
    assert photographs.unreadable == {}
    np.testing.assert_array_equal(photographs.sizes, [[70, 90]])
    (found,) = pixels(photographs)
    scene = samples.shown(kind)
    # What loses most is JPEG of CMYK; wrong colours (inverted, swapped, black) differ by 50 and more.
    assert np.abs(found.astype(int) - np.asarray(scene)).mean() < 3


@pytest.mark.parametrize("kind", samples.LIKE_GREY)
def test_every_grayscale_format_gives_three_equal_channels(backend, write, kind):
    (found,) = pixels(decode(backend, write(samples.LIKE_GREY[kind])))
    grey = samples.shown("alpha").convert("L") if "alpha" in kind else samples.GREY
    assert np.abs(found.astype(int) - np.asarray(grey)[:, :, None]).mean() < 1.5
    assert (found == found[:, :, :1]).all()


@pytest.mark.parametrize("kind", ["png, alpha", "webp, alpha", "png, palette with a transparent colour"])
def test_transparency_is_on_white_as_people_see_it(backend, write, kind):
    (found,) = pixels(decode(backend, write(samples.LIKE_THE_SCENE[kind])))
    np.testing.assert_array_equal(found, np.asarray(samples.shown(kind)))


def test_a_drawing_on_nothing_is_on_white_and_colours_that_nobody_sees_do_not_count(backend, write):
    drawing = Image.new("RGBA", (20, 10))
    drawing.paste((0, 0, 0, 255), (5, 0, 10, 10))
    hidden = Image.new("RGBA", (20, 10), (255, 0, 0, 0))
    forms = [samples.encoded(drawing, "PNG"), samples.encoded(hidden, "WEBP", lossless=True, exact=True)]
    forms.append(samples.encoded(hidden.convert("LA"), "PNG"))
    lines, *blank = pixels(decode(backend, write(*forms)))
    assert (lines[:, 5:10] == 0).all()
    assert (lines[:, :5] == 255).all()
    assert all((each == 255).all() for each in blank)


@pytest.mark.parametrize("kind", ["png, 16 bits a channel", "png, grayscale of 16 bits", "tiff, grayscale of 16 bits"])
def test_of_16_bits_the_upper_eight_are_kept(backend, write, kind):
    (found,) = pixels(decode(backend, write({**samples.LIKE_THE_SCENE, **samples.LIKE_GREY}[kind])))
    scene = samples.SCENE if "a channel" in kind else samples.GREY.convert("RGB")
    np.testing.assert_array_equal(found, np.asarray(scene))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(backend, write, kind, orientation):
    photographs = decode(backend, write(samples.turned(kind, orientation)))
    np.testing.assert_array_equal(photographs.sizes, [[70, 90]])
    assert np.abs(pixels(photographs)[0].astype(int) - np.asarray(samples.SCENE)).mean() < 3


@pytest.mark.skipif("dali" not in BACKENDS, reason="nvidia-dali is not installed")
def test_both_backends_decode_all_formats_to_the_same_pixels(write):
    every = {**samples.LIKE_THE_SCENE, **samples.LIKE_GREY, **samples.OF_BOTH_BACKENDS_ALIKE}
    files = write(*every.values())
    theirs, ours = (decode(open_backend(name, 2), files) for name in ("pillow", "dali"))
    assert theirs.unreadable == ours.unreadable == {}
    np.testing.assert_array_equal(ours.sizes, theirs.sizes)
    for kind, a, b in zip(every, pixels(ours), pixels(theirs), strict=True):
        # The two have libjpeg and libwebp of their own; where the versions round alike, all are equal.
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 3, kind


def test_a_batch_of_mixed_formats_keeps_its_order_and_can_be_cropped(backend, write):
    kinds = ["gif", "jpeg", "jpeg, CMYK", "png", "tiff, LZW", "webp"]
    photographs = decode(backend, write(*(samples.LIKE_THE_SCENE[kind] for kind in kinds)))
    np.testing.assert_array_equal(photographs.rows, np.arange(6))
    whole = backend.whole(photographs, 32, "bilinear")
    boxes = np.array([[45, 0, 90, 35]] * 6)
    crops = backend.crop(photographs, np.arange(6), boxes, 32, "bilinear")
    for index, kind in enumerate(kinds):
        alone = decode(backend, write(samples.LIKE_THE_SCENE[kind]))
        assert (backend.whole(alone, 32, "bilinear")[0] == whole[index]).all()
        assert (backend.crop(alone, np.array([0]), boxes[:1], 32, "bilinear")[0] == crops[index]).all()


@pytest.mark.parametrize("kind", ["jpeg of one pixel", "jpeg of 3000x1", "jpeg of 1x3000", "png of 1x3000"])
def test_one_pixel_and_long_thin_pictures_make_views(backend, write, kind):
    photographs = decode(backend, write(samples.OF_BOTH_BACKENDS_ALIKE[kind]))
    height, width = photographs.sizes[0]
    assert (height, width) in ((1, 1), (1, 3000), (3000, 1))
    assert backend.whole(photographs, 64, "bicubic").shape == (1, 64, 64, 3)
    last = np.array([[width - 1, height - 1, width, height]])
    assert backend.crop(photographs, np.array([0]), last, 64, "bicubic").shape == (1, 64, 64, 3)


def test_a_float_tiff_has_no_agreed_range_and_is_refused(backend, write):
    floats = samples.encoded(Image.fromarray(np.ones((8, 8), dtype=np.float32)), "TIFF")
    assert decode(backend, write(floats)).unreadable == {0: "32-bit pixels, whose black and white are not known"}


def test_heic_without_its_extra_is_refused_with_the_mend(backend, write, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pillow_heif" else find(name, *a))
    photographs = decode(backend, write(b"\0\0\0\x18ftypheic" + b"\0" * 64))
    assert photographs.unreadable == {0: "HEIC needs the extra heif: pip install 'ccd_fast[heif]'"}


def test_heic_is_read_and_upright_where_its_extra_is_installed(backend, write):
    pytest.importorskip("pillow_heif").register_heif_opener()
    photographs = decode(backend, write(samples.encoded(samples.SCENE, "HEIF", quality=95), samples.turned("HEIF", 6)))
    assert photographs.unreadable == {}
    for found in pixels(photographs):
        assert found.shape == (70, 90, 3)
        assert np.abs(found.astype(int) - np.asarray(samples.SCENE)).mean() < 5
