"""What DALI is given of a file: the picture's own parts, each looked at, and of all else the orientation only.

Whatever is not the plainest form of its format is for Pillow. DALI's parsers never meet what cameras and editors put
around a picture: metadata twice or damaged, previews, unknown segments, things behind the end. Three faults of theirs
ended the process.
"""

import struct
import zlib
from functools import lru_cache

import numpy as np

from ccd_fast.views.files import Encoded
from ccd_fast.views.header import Header

Parts = list[bytes | memoryview]
"""Pieces that make a file when they are joined."""

_JFIF = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
"""The start of every JPEG that DALI gets: with this segment, three components are YCbCr to each decoder."""
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ORIENTATION = 0x0112
_SHORT = 3

_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive, Huffman-coded."""
_HUFFMAN, _SCAN, _QUANTISATION, _RESTART, _END, _COMMENT = 0xC4, 0xDA, 0xDB, 0xDD, 0xD9, 0xFE
_LUMA_SAMPLING = (0x11, 0x21, 0x12, 0x22)
"""Of the first of three components; the other two have 1x1."""

_PNG_PASSED_OVER = (b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"tIME", b"tEXt", b"zTXt")
_PNG_TEXTS = (b"tEXt", b"zTXt")
_PNG_FORM = (b"\x08\0\0\0\0", b"\x08\x02\0\0\0")
"""Bits, colours (grey, RGB), compression, filters, and no interlacing."""


def plain_parts(content: Encoded, header: Header) -> Parts | None:
    """Give what DALI is to decode of a file.

    Args:
        content: (n,) uint8, the whole file.
        header: as :func:`ccd_fast.views.header.inspect` gives it.

    Returns:
        The pieces, or None where the file is for Pillow.
    """
    try:
        if header.kind == "jpeg":
            return _jpeg(content)
        if header.kind == "png":
            return _png(content)
        return _webp(content, header.size) if header.kind == "webp" else None
    except (struct.error, IndexError):  # it ends where it should go on
        return None


def _jpeg(content: Encoded) -> Parts | None:
    view, at = content.data, 2
    kept: Parts = []
    exif: int | None = None
    has_exif = has_turning_xmp = False
    frame: tuple[int, bytes] | None = None
    tables: set[int] = set()
    restarts = False
    while True:
        if view[at] != 0xFF:
            return None
        marker, length = view[at + 1], view[at + 2] << 8 | view[at + 3]
        end = at + 2 + length
        if length < 2 or end > len(view):
            return None
        body = view[at + 4 : end]
        if marker == _SCAN:
            break
        if marker in (_QUANTISATION, _HUFFMAN):
            found = _quantisation(body) if marker == _QUANTISATION else _huffman(bytes(body))
            if found is None:
                return None
            tables |= found
            kept.append(view[at:end])
        elif marker in _FRAMES and frame is None:
            frame = marker, bytes(body)
            kept.append(view[at:end])
        elif marker == _RESTART and length == 4 and not restarts:
            restarts = bool(body[0] or body[1])
            kept.append(view[at:end])
        elif 0xE0 <= marker <= 0xEF:
            start = bytes(body[:29])
            if marker == 0xE1 and start.startswith(_EXIF):
                exif = None if has_exif else _orientation(bytes(body[6:]))
                if exif is None:
                    return None
                has_exif = True
            elif marker == 0xE1 and start == _XMP:
                has_turning_xmp |= b"Orientation" in bytes(body)
            elif marker == 0xEE and start.startswith(b"Adobe") and (len(body) < 12 or body[11] != 1):
                return None  # RGB or CMYK inside
        elif marker != _COMMENT:
            return None
        at = end
    if frame is None or (has_turning_xmp and not exif):
        return None
    scans = _scans(content, at, frame, tables, restarts)
    if scans is None:
        return None
    turned = _exif_of(exif) if exif is not None and 2 <= exif <= 8 else b""
    return [_JFIF + turned, *kept, scans]


def _orientation(tiff: bytes) -> int | None:
    """Read the orientation of an EXIF segment: 0 where it has none, None where it is not the plainest EXIF."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, at)
    if at < 8 or at + 2 + 12 * count > len(tiff):
        return None
    found = 0
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, values, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _ORIENTATION:
            if found or kind != _SHORT or values != 1 or not 1 <= value <= 8:
                return None
            found = value
    return found


def _exif_of(orientation: int) -> bytes:
    """Give the smallest EXIF segment that says how a picture is turned."""
    tiff = struct.pack("<4sIHHHIHHI", b"II*\0", 8, 1, _ORIENTATION, _SHORT, 1, orientation, 0, 0)
    return b"\xff\xe1" + struct.pack(">H", 2 + len(_EXIF) + len(tiff)) + _EXIF + tiff


def _quantisation(body: memoryview) -> frozenset[int] | None:
    """Check tables of 8 bits, and give them as 0 to 3."""
    if not len(body) or len(body) % 65:
        return None
    found = frozenset(body[::65])
    return found if max(found) <= 3 else None


@lru_cache(maxsize=256)
def _huffman(body: bytes) -> frozenset[int] | None:
    """Check tables, most of which stand in many files, and give them as 0x100 to 0x103 (DC) and 0x110 to 0x113 (AC)."""
    at, found = 0, set[int]()
    while at < len(body):
        counts = body[at + 1 : at + 17]
        codes = sum(counts)
        if body[at] & 0xEC or len(counts) < 16 or codes > 256 or at + 17 + codes > len(body):
            return None
        room = 1
        for count in counts:  # as many codes of each length as a prefix code has
            room = 2 * room - count
            if room < 0:
                return None
        found.add(0x100 | body[at])
        at += 17 + codes
    return frozenset(found)


def _scans(content: Encoded, at: int, frame: tuple[int, bytes], tables: set[int], restarts: bool) -> memoryview | None:
    """Check the frame and the scans that begin at a place, and give them up to the end mark."""
    components = _components(frame[1], tables)
    if components is None:
        return None
    view = content.data
    ends = np.flatnonzero(content[at:-1] == 0xFF) + at
    codes = content[ends + 1]
    is_restart = (codes & 0xF8) == 0xD0
    is_mark = (codes != 0) & ~is_restart  # nor a byte 0xFF of data
    marks = ends[is_mark].tolist()
    start, index = at, 0
    progressive = frame[0] == 0xC2
    first = True
    while index < len(marks):
        at = marks[index]
        marker = view[at + 1]
        if marker == _END:
            stray = not restarts and bool(is_restart[: np.searchsorted(ends, at)].any())
            return None if first or stray else view[start : at + 2]
        if not (first or progressive):
            return None  # a second scan of a picture that has one
        length = view[at + 2] << 8 | view[at + 3]
        end = at + 2 + length
        if length < 2 or end > len(view):
            return None
        body = view[at + 4 : end]
        if marker == _SCAN:
            if not _scan(body, components, tables, progressive):
                return None
            first = False
        elif marker != _HUFFMAN or (found := _huffman(bytes(body))) is None:
            return None
        else:
            tables |= found
        while index < len(marks) and marks[index] < end:
            index += 1
    return None


def _components(body: bytes, tables: set[int]) -> list[int] | None:
    """Check a frame of 8 bits with one or three components, and give their numbers."""
    count = body[5]
    if body[0] != 8 or count not in (1, 3) or len(body) != 6 + 3 * count or not (any(body[1:3]) and any(body[3:5])):
        return None
    numbers, sampling, quantisation = list(body[6::3]), body[7::3], set(body[8::3])
    fits = sampling[0] in _LUMA_SAMPLING and sampling[1:] == b"\x11\x11" if count == 3 else sampling == b"\x11"
    if not fits or len(set(numbers)) < count or numbers == [82, 71, 66] or not quantisation <= tables:
        return None
    return numbers


def _scan(body: memoryview, components: list[int], tables: set[int], progressive: bool) -> bool:
    """Tell whether the head of a scan is as it should be."""
    count = body[0]
    if len(body) != 4 + 2 * count or not 1 <= count <= len(components):
        return False
    numbers, coded = list(body[1 : 1 + 2 * count : 2]), list(body[2 : 2 + 2 * count : 2])
    first, last, bits = body[-3], body[-2], body[-1]
    if not progressive:
        known = all(0x100 | code >> 4 in tables and 0x110 | code & 0xF in tables for code in coded)
        return known and numbers == components and (first, last, bits) == (0, 63, 0)
    in_order = [number for number in components if number in numbers] == numbers
    is_dc = first == last == 0
    is_ac = 1 <= first <= last <= 63 and count == 1
    refined = bits >> 4 == 0 or bits >> 4 == (bits & 0xF) + 1
    return in_order and (is_dc or is_ac) and refined and bits & 0xF <= 13 and all(code & 0xCC == 0 for code in coded)


def _png(content: Encoded) -> Parts | None:
    view, at = content.data, 33
    pixels: tuple[int, int] | None = None
    if bytes(view[8:16]) != b"\0\0\0\x0dIHDR" or bytes(view[24:29]) not in _PNG_FORM or not _is_whole(view[8:33]):
        return None
    while True:
        (length,) = struct.unpack_from(">I", view, at)
        name, end = bytes(view[at + 4 : at + 8]), at + 12 + length
        if end > len(view):
            return None
        if name == b"IEND":
            return None if pixels is None or length else [view[:33], view[slice(*pixels)], view[at:end]]
        if name == b"IDAT":
            if (pixels is not None and pixels[1] != at) or not _is_whole(view[at:end]):
                return None
            pixels = pixels[0] if pixels else at, end
        elif name not in _PNG_PASSED_OVER or (name in _PNG_TEXTS and _is_metadata(view[at + 8 : end])):
            return None
        at = end


def _is_whole(chunk: memoryview) -> bool:
    """Tell whether a chunk of a PNG has the checksum that it says."""
    return struct.pack(">I", zlib.crc32(chunk[4:-4])) == bytes(chunk[-4:])


def _is_metadata(body: memoryview) -> bool:
    """Tell whether a text of a PNG may hold EXIF or XMP."""
    keyword = bytes(body[:80]).lower()
    return b"exif" in keyword or b"xmp" in keyword or b"raw profile" in keyword


def _webp(content: Encoded, size_of_canvas: tuple[int, int] | None) -> Parts | None:
    view = content.data
    (size,) = struct.unpack_from("<I", view, 4)
    end = 8 + size
    if end > len(view) or size % 2:
        return None
    at, picture = 12, None
    while at < end:
        name, (length,) = bytes(view[at : at + 4]), struct.unpack_from("<I", view, at + 4)
        after = at + 8 + length + length % 2
        if after > end:
            return None
        if name in (b"VP8 ", b"VP8L"):
            if picture is not None or _size_if_opaque(name, view[at + 8 : at + 8 + length]) != size_of_canvas:
                return None
            picture = view[at:after]
        elif name == b"VP8X":
            if at != 12 or length != 10 or view[at + 8] & ~0x20:  # anything but a colour profile
                return None
        elif name != b"ICCP":
            return None
        at = after
    if picture is None:
        return None
    return [b"RIFF" + struct.pack("<I", 4 + len(picture)) + b"WEBP", picture]


def _size_if_opaque(name: bytes, body: memoryview) -> tuple[int, int]:
    """Give width and height in pixels of a picture that begins as it should and has no alpha; else (0, 0)."""
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        known = bytes(body[3:6]) == b"\x9d\x01\x2a" and not body[0] & 1 and body[0] & 0x10  # a frame of its own, shown
        return (width & 0x3FFF, height & 0x3FFF) if known else (0, 0)
    (bits,) = struct.unpack_from("<I", body, 1)
    known = body[0] == 0x2F and not bits >> 28  # the bit of alpha, and a version that is 0
    return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1) if known else (0, 0)
