"""What a file's first bytes say: format, size, and whether the file was cut short.

Both backends look here before they decode. So they agree on what is refused and why, a picture that is too large is
never allocated. What DALI is given of a file is for :mod:`ccd_fast.views.plain` to say.
"""

from typing import NamedTuple

from ccd_fast.views.files import Encoded

DEFAULT_MAX_MEGAPIXELS = 100.0
"""Largest photograph, in 10^6 pixels, where no recipe says otherwise: 300 MB of RGB."""

HEIF_BRANDS = frozenset([b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"])
"""What may follow ``ftyp`` in a HEIC or HEIF file; AVIF has brands of its own."""

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that carry the picture's size (SOF); the three others of their range are tables."""
_JPEG_BARE = frozenset([0x01, 0xFF, *range(0xD0, 0xD8)])
"""Markers without a length behind them, and fill bytes."""


_PNG_END = b"IEND\xaeB`\x82"
"""Name and checksum of the last chunk."""

_OF_PILLOW = (
    *(b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    *(b"P%c%c" % (digit, space) for digit in b"123456" for space in b" \t\r\n"),
)
"""How BMP, TIFF, JPEG 2000 and the PNM formats begin."""


class Header(NamedTuple):
    """What is known of a picture before it is decoded.

    Attributes:
        kind: the format.
        size: width and height in pixels, as stored; None where only the decoder finds out.
    """

    kind: str
    size: tuple[int, int] | None = None


def inspect(content: Encoded, max_megapixels: float = DEFAULT_MAX_MEGAPIXELS) -> Header | str:
    """Look at the head of an encoded file, and at its end where that tells whether it is whole.

    Args:
        content: (n,) uint8, the whole file, not empty.
        max_megapixels: more pixels, in 10^6, are refused.

    Returns:
        The header, or in a few words why the file is refused.
    """
    head = content[:32].tobytes()
    if head.startswith(b"\xff\xd8\xff"):
        found = _jpeg(content.data)
    elif head.startswith(b"\x89PNG\r\n\x1a\n"):
        found = _png(content, head)
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        found = _webp(content, head)
    elif head.startswith((b"GIF87a", b"GIF89a")):
        found = Header("gif", _little(head[6:8], head[8:10])) if len(head) >= 10 else "truncated"
    elif head.startswith(_OF_PILLOW):
        found = Header("other")
    elif head[4:8] == b"ftyp":
        found = Header("heif" if head[8:12] in HEIF_BRANDS else "other")
    else:
        return f"not an image (starts with {_shown(head[:8])})"
    if isinstance(found, str) or found.size is None:
        return found
    return too_large(*found.size, max_megapixels) or found


def too_large(width: int, height: int, max_megapixels: float) -> str:
    """Say why a picture of this size, in pixels, is refused; nothing where it is not."""
    if width * height > max_megapixels * 1e6:
        return f"{width}x{height} pixels are more than views.max_megapixels = {max_megapixels:g} allows"
    return "" if width and height else f"{width}x{height} pixels"


def has_transparency(content: Encoded) -> bool:
    """Tell whether a PNG, WebP or GIF may be seen through somewhere, as its header says."""
    head = content[:48].tobytes()
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 29:
        return head[25] in (4, 6) or b"tRNS" in content[:4096].tobytes().partition(b"IDAT")[0]
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP" and len(head) >= 25:
        return bool(head[20] & 0x10) if head[12:16] == b"VP8X" else head[12:16] == b"VP8L" and bool(head[24] & 0x10)
    control = content[:4096].tobytes().partition(b"\x21\xf9\x04")[2]
    return head.startswith(b"GIF89a") and control != b"" and bool(control[0] & 1)


def _jpeg(view: memoryview) -> Header | str:
    """Walk the segments up to the size."""
    at, end = 2, len(view)
    while at + 4 <= end:
        if view[at] != 0xFF:
            return Header("jpeg")  # Pillow reads over what lies between segments
        marker = view[at + 1]
        if marker in _JPEG_BARE:
            at += 1 if marker == 0xFF else 2
            continue
        length = view[at + 2] << 8 | view[at + 3]
        if marker in _JPEG_SIZES:
            if at + 10 > end:
                return "truncated"
            size = view[at + 7] << 8 | view[at + 8], view[at + 5] << 8 | view[at + 6]
            if not _has_end(view, at):
                return "truncated"
            return Header("jpeg", size if min(size) else None)
        if length < 2:
            return Header("jpeg")
        at += 2 + length
    return "truncated"


def _has_end(view: memoryview, after: int) -> bool:
    """Tell whether a JPEG has its end marker, behind which cameras put things of their own."""
    return bytes(view[-2:]) == b"\xff\xd9" or bytes(view[after:]).rfind(b"\xff\xd9") > 0


def _png(content: Encoded, head: bytes) -> Header | str:
    if len(head) < 29:
        return "truncated"
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if content[-8:].tobytes() != _PNG_END and content[32:].tobytes().rfind(_PNG_END) < 0:
        return "truncated"
    return Header("png", (width, height))


def _webp(content: Encoded, head: bytes) -> Header | str:
    if len(head) < 30 or int.from_bytes(head[4:8], "little") + 8 > len(content):
        return "truncated"
    chunk = head[12:16]
    if chunk == b"VP8 ":
        width, height = _little(head[26:28], head[28:30])
        return Header("webp", (width & 0x3FFF, height & 0x3FFF))
    if chunk == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return Header("webp", ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
    if chunk == b"VP8X":
        width, height = _little(head[24:27], head[27:30])
        return Header("webp", (width + 1, height + 1))
    return "cannot be decoded"


def _little(first: bytes, second: bytes) -> tuple[int, int]:
    return int.from_bytes(first, "little"), int.from_bytes(second, "little")


def _shown(start: bytes) -> str:
    """Show bytes as text where they are text, else as hexadecimal."""
    return repr(start.decode("ascii")) if start.isascii() and start.decode("ascii").isprintable() else start.hex(" ")
