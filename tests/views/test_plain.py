"""What DALI is given of a file: nothing but the picture, and how it is turned."""

import struct

import numpy as np
import pytest

from ccd_fast.views.header import Header, inspect
from ccd_fast.views.plain import plain_parts
from tests.views import samples

GOOD = samples.LIKE_THE_SCENE["jpeg"]
TURNED = samples.turned("JPEG", 6)
EXIF = TURNED[TURNED.index(b"\xff\xe1") :][: 2 + int.from_bytes(TURNED[TURNED.index(b"\xff\xe1") + 2 :][:2], "big")]


def of_dali(content: bytes) -> bytes | None:
    """What DALI gets; None where the file is Pillow's."""
    encoded = np.frombuffer(content, dtype=np.uint8)
    header = inspect(encoded)
    assert isinstance(header, Header)
    parts = plain_parts(encoded, header)
    return None if parts is None else b"".join(parts)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def with_segments(*segments: bytes, base: bytes = GOOD) -> bytes:
    """A JPEG with segments behind its first one."""
    return base[:20] + b"".join(segments) + base[20:]


def test_only_the_plainest_forms_are_dalis():
    every = {**samples.LIKE_THE_SCENE, **samples.LIKE_GREY, **samples.OF_BOTH_BACKENDS_ALIKE}
    plain = {kind for kind, content in every.items() if of_dali(content) is not None}
    assert plain == {
        *("jpeg", "jpeg, progressive", "jpeg, things behind its end", "jpeg, grayscale", "jpeg of one pixel"),
        *("jpeg of 3000x1", "jpeg of 1x3000"),
        *("png", "png, grayscale", "png of one pixel", "png of 1x3000"),
        *("webp", "webp, lossless"),
    }


def test_of_what_stands_around_a_picture_nothing_is_left():
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    around = [
        segment(0xE2, b"ICC_PROFILE\0\1\1" + b"x" * 99),
        xmp,
        segment(0xED, b"Photoshop 3.0\0"),
        segment(0xFE, b"!"),
    ]
    assert of_dali(with_segments(*around) + b"a preview behind the end") == of_dali(GOOD)
    comment = samples.png_chunk(b"tEXt", b"Comment\0a cat")
    png = samples.LIKE_THE_SCENE["png"]
    assert of_dali(png[:33] + comment + png[33:] + b"more") == png


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_how_a_jpeg_is_turned_is_told_in_a_segment_of_our_own(orientation, order):
    start = b"II" if order == "<" else b"MM"
    tiff = struct.pack(order + "2sHIHHHIHH", start, 42, 8, 1, 0x0112, 3, 1, orientation, 0) + b"\0" * 4
    given = of_dali(with_segments(segment(0xE1, b"Exif\0\0" + tiff + b"a preview")))
    assert given is not None
    assert b"preview" not in given
    assert given.count(b"Exif") == (orientation != 1)
    if orientation != 1:
        at = given.index(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0") + 24
        assert given[at] == orientation


@pytest.mark.parametrize(
    "odd",
    [
        with_segments(EXIF, EXIF),
        with_segments(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff")),
        with_segments(segment(0xE1, b"Exif\0\0")),
        with_segments(segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<a tiff:Orientation="6"/>')),
        with_segments(segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")),
        with_segments(segment(0xDC, b"\0\x46")),
        with_segments(segment(0xF7, b"")),
        with_segments(b"\xff"),
        with_segments(b"\0\0"),
        GOOD.replace(b"\xff\xda", b"\xff\xda\xff\xda", 1),
        GOOD[:-2] + b"\xff\xe1\0\x08Exif\0\0" + GOOD[-2:],
        GOOD[:-2] + b"\xff\xd3" + GOOD[-2:],
        samples.LIKE_THE_SCENE["png"].replace(b"IDAT", samples.png_chunk(b"eXIf", b"MM")[4:] + b"\0\0\0\0IDAT", 1),
    ],
    ids=range(13),
)
def test_what_is_not_the_plainest_is_pillows(odd):
    assert of_dali(odd) is None
