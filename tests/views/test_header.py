"""Refusals that cost nothing: by the header, the same in both backends."""

import tracemalloc

import numpy as np
import pytest

from ccd_fast.views import installed_backends, open_backend
from ccd_fast.views.header import Header, inspect
from tests.views import samples


def look(content: bytes, **limits) -> Header | str:
    return inspect(np.frombuffer(content, dtype=np.uint8), **limits)


def jpeg_of(width: int, height: int) -> bytes:
    """A small JPEG whose header says another size."""
    content = samples.encoded(samples.SCENE, "JPEG")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + content[at + 4 :]


@pytest.mark.parametrize("kind", ["jpeg", "jpeg, progressive", "png", "webp", "webp, lossless", "webp, alpha", "gif"])
def test_the_size_is_read_from_the_header(kind):
    found = look(samples.LIKE_THE_SCENE[kind])
    assert isinstance(found, Header)
    assert found.size == (90, 70)


@pytest.mark.parametrize("name", installed_backends())
def test_a_decompression_bomb_is_refused_before_it_is_allocated(name, tmp_path):
    gif = bytearray(samples.LIKE_THE_SCENE["gif"])
    gif[6:10] = (12000).to_bytes(2, "little") + (9000).to_bytes(2, "little")
    contents = [samples.png_header(12000, 9000), jpeg_of(12000, 9000), bytes(gif), samples.png_header(2**31 - 1, 2**31)]
    contents += [samples.png_header(12000, 9000, depth=16)]
    files = [tmp_path / f"{index}.jpg" for index in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    backend = open_backend(name, 2)
    tracemalloc.start()
    photographs = backend.decode(files, np.arange(len(files)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
    said = "12000x9000 pixels are more than views.max_megapixels = 100 allows"
    huge = f"{2**31 - 1}x{2**31} pixels are more than views.max_megapixels = 100 allows"
    assert photographs.unreadable == {0: said, 1: said, 2: said, 3: huge, 4: said}


@pytest.mark.parametrize("name", installed_backends())
def test_the_limit_holds_for_formats_whose_size_only_the_decoder_knows(name, tmp_path):
    (tmp_path / "a.tif").write_bytes(samples.LIKE_THE_SCENE["tiff, LZW"])
    small, large = (open_backend(name, 2, max_megapixels=m) for m in (0.0062, 0.0063))
    said = "90x70 pixels are more than views.max_megapixels = 0.0062 allows"
    assert small.decode([tmp_path / "a.tif"], np.arange(1)).unreadable == {0: said}
    assert large.decode([tmp_path / "a.tif"], np.arange(1)).unreadable == {}


@pytest.mark.parametrize("kind", ["jpeg", "jpeg, progressive", "jpeg, grayscale", "jpeg, CMYK", "png", "webp", "gif"])
@pytest.mark.parametrize("name", installed_backends())
def test_a_file_that_was_cut_short_is_truncated_wherever_the_cut(name, kind, tmp_path, capfd):
    whole = {**samples.LIKE_THE_SCENE, **samples.LIKE_GREY}[kind]
    lengths = [len(whole) - 2, len(whole) // 2, len(whole) // 4, 25]
    if kind != "gif":  # whose last byte says nothing that a decoder needs
        lengths.append(len(whole) - 1)
    files = [tmp_path / f"{length}.jpg" for length in lengths]
    for file, length in zip(files, lengths, strict=True):
        file.write_bytes(whole[:length])
    found = open_backend(name, 2).decode(files, np.arange(len(files)))
    if kind == "gif":
        assert found.unreadable.keys() == {1, 2, 3}  # the end mark is missing only: the first frame is whole
        return
    assert found.unreadable == dict.fromkeys(range(len(files)), "truncated")
    assert capfd.readouterr().err == ""  # DALI, had it been asked, would have written a line of its own


def test_an_embedded_preview_does_not_pass_for_the_end_of_a_photograph():
    preview = samples.encoded(samples.SCENE.resize((16, 16)), "JPEG")
    segment = b"\xff\xe1" + (2 + len(preview)).to_bytes(2, "big") + preview
    content = samples.LIKE_THE_SCENE["jpeg"]
    with_preview = content[:2] + segment + content[2:]
    assert look(with_preview).size == (90, 70)
    assert look(with_preview[:-300]) == "truncated"


def test_what_is_no_image_is_named_by_how_it_starts():
    assert look(b"<html><body>404") == "not an image (starts with '<html><b')"
    assert look(b"\0\1\2\3\4\5\6\7\x08") == "not an image (starts with 00 01 02 03 04 05 06 07)"
    assert look(b"%PDF-1.7 and so on") == "not an image (starts with '%PDF-1.7')"
    assert look(b"P7") == "not an image (starts with 'P7')"


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a"])
def test_a_signature_alone_is_truncated(start):
    assert look(start) == "truncated"
