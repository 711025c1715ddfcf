"""JPEG, PNG and WebP files with their structure tampered with: parts doubled, swapped, cut, of a wrong length."""

import random
import struct
import zlib
from collections.abc import Callable

from tests.views import samples

Part = tuple[bytes, bytes]
"""A segment or chunk: its name, and its body."""

BASES = {
    "jpeg": ["jpeg", "jpeg, progressive", "jpeg, grayscale", "jpeg, CMYK"],
    "png": ["png", "png, alpha", "png, palette", "png, grayscale", "png, palette with a transparent colour"],
    "webp": ["webp", "webp, lossless", "webp, alpha", "webp, animated"],
}
EVERY = {**samples.LIKE_THE_SCENE, **samples.LIKE_GREY}


def fuzzed(rng: random.Random) -> bytes:
    """One file, of which one to three things are not as they should be."""
    kind = rng.choice(list(BASES))
    split, join, additions, usual = FORMATS[kind]
    parts, tail = split(EVERY[rng.choice(BASES[kind])])
    if rng.random() < 0.4:  # what people's files have, and DALI is not to see, around pixels that may be damaged
        parts[1:1] = [usual(rng) for _ in range(rng.randrange(4))]
        return _damaged(rng, join(NOTHING_OFF, parts, tail))
    for _ in range(rng.randint(1, 3)):
        parts = _tampered(rng, parts, additions)
    content = join(rng, parts, tail)
    match rng.randrange(12):
        case 0:
            return content[: rng.randrange(20, len(content))]
        case 1:
            return content + rng.randbytes(rng.randrange(1, 600))
        case 2:
            flipped = bytearray(content)
            flipped[rng.randrange(2, min(len(content), 700))] = rng.randrange(256)
            return bytes(flipped)
    return content


class _Settled(random.Random):
    """Draws nothing that would make a part odd."""

    def random(self) -> float:
        return 1.0


NOTHING_OFF = _Settled()


def _damaged(rng: random.Random, content: bytes) -> bytes:
    """Change some bytes in the latter part, where the pixels are, in half the files."""
    changed = bytearray(content)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 8])):
        changed[rng.randrange(len(content) // 3, len(content) - 16)] = rng.randrange(256)
    return bytes(changed)


def _tampered(rng: random.Random, parts: list[Part], additions: Callable[[random.Random], Part]) -> list[Part]:
    parts = list(parts)
    at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    name, body = parts[at]
    match rng.randrange(8):
        case 0:
            parts.insert(other, parts[at])
        case 1:
            parts[at], parts[other] = parts[other], parts[at]
        case 2:
            parts[at] = name, body[: rng.randrange(len(body) + 1)]
        case 3 if body:
            changed = bytearray(body)
            changed[rng.randrange(min(len(body), 24))] = rng.choice([0, 1, 2, 3, 4, 0x11, 0x22, 0x7F, 0xFF])
            parts[at] = name, bytes(changed)
        case 4 if len(parts) > 2:
            del parts[at]
        case _:  # what stands around a picture is where people's files differ
            parts.insert(other, additions(rng))
    return parts


def exif(rng: random.Random) -> bytes:
    """A TIFF header with a directory or two, whole or damaged, that tell an orientation or not."""
    order, start = rng.choice([("<", b"II*\0"), (">", b"MM\0*")])
    entries = []
    for tag in rng.sample([0x0112, 0x0112, 0x010F, 0x0132, 0x8769], rng.randint(0, 3)):
        kind, count = rng.choice([(3, 1), (3, 1), (3, 1), (4, 1), (1, 1), (3, 2), (2, 40)])
        value = rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 65535])
        packed = struct.pack(order + ("I" if kind == 4 else "HH"), *([value] if kind == 4 else [value, 0]))
        entries.append(struct.pack(order + "HHI", tag, kind, count) + packed)
    at = rng.choice([8, 8, 8, 8, 10, 0, 7, 65000])
    count = len(entries) if rng.random() < 0.9 else rng.choice([0, 5, 9000])
    directory = (
        struct.pack(order + "H", count) + b"".join(entries) + struct.pack(order + "I", rng.choice([0, 0, 8, 30]))
    )
    tiff = start + struct.pack(order + "I", at) + b"\0" * max(0, min(at, 10) - 8) + directory
    if rng.random() < 0.2:
        tiff += samples.encoded(samples.SCENE.resize((16, 12)), "JPEG")  # a preview
    return tiff if rng.random() < 0.9 else tiff[: rng.randrange(len(tiff))]


def xmp(rng: random.Random) -> bytes:
    """Metadata that tell an orientation as an attribute or an element, or none."""
    turn = rng.randrange(10)
    said = rng.choice(
        [f'tiff:Orientation="{turn}"', f"><tiff:Orientation>{turn}</tiff:Orientation", "", "xmp:Rating='3'"]
    )
    return f"<x:xmpmeta><rdf:Description {said}/></x:xmpmeta>".encode()


def _split_jpeg(content: bytes) -> tuple[list[Part], bytes]:
    parts, at = [], 2
    while True:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        parts.append((content[at : at + 2], content[at + 4 : at + 2 + length]))
        at += 2 + length
        if parts[-1][0] == b"\xff\xda":
            return parts, content[at:]


def _join_jpeg(rng: random.Random, parts: list[Part], tail: bytes) -> bytes:
    joined = [b"\xff\xd8"]
    for name, body in parts:
        off = rng.choice([-3, -1, 1, 2, 400]) if rng.random() < 0.02 else 0
        between = rng.choice([b"\xff", b"\0", b"\xff\xff", b"\x12\x34"]) if rng.random() < 0.03 else b""
        joined.append(between + name + (max(0, len(body) + 2 + off) & 0xFFFF).to_bytes(2, "big") + body)
    if rng.random() < 0.1:
        at = rng.randrange(len(tail))
        tail = (
            tail[:at] + rng.choice([b"\xff\xd0", b"\xff\xe1\0\x08Exif\0\0", b"\xff\xd9", b"\xff\xc4\0\2"]) + tail[at:]
        )
    return b"".join(joined) + tail


def _jpeg_addition(rng: random.Random) -> Part:
    adobe = b"Adobe\0\x64\0\0\0\0" + bytes([rng.randrange(3)])
    return rng.choice(
        [
            (b"\xff\xe1", b"Exif\0\0" + exif(rng)),
            (b"\xff\xe1", b"Exif\0\0" + exif(rng)),
            (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0" + xmp(rng)),
            (b"\xff\xe0", rng.choice([b"JFIF\0\1\2\0\0\1\0\1\0\0", b"JFXX\0\x10" + rng.randbytes(30), b"AVI1\0"])),
            (b"\xff\xe2", rng.choice([b"ICC_PROFILE\0\1\1" + rng.randbytes(64), b"MPF\0" + exif(rng)])),
            (b"\xff\xed", b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0" + rng.randbytes(9)),
            (b"\xff\xee", rng.choice([adobe, adobe[:-2], adobe + b"\0"])),
            (b"\xff\xfe", rng.randbytes(rng.randrange(40))),
            (b"\xff" + bytes([rng.randrange(0xC0, 0x100)]), rng.randbytes(rng.randrange(80))),
            (b"\xff\xdd", rng.choice([b"\0\0", b"\0\4", b"\0"])),
            (b"\xff\xdc", b"\0\x46"),
        ]
    )


def _usual_jpeg(rng: random.Random) -> Part:
    order, start = rng.choice([("<", b"II*\0"), (">", b"MM\0*")])
    turned = struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, rng.randint(1, 8), 0, 0)
    return rng.choice(
        [
            (b"\xff\xe1", b"Exif\0\0" + start + turned + rng.randbytes(rng.randrange(60))),
            (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0<x/>"),
            (b"\xff\xe2", b"ICC_PROFILE\0\1\1" + rng.randbytes(64)),
            (b"\xff\xee", b"Adobe\0\x64\0\0\0\0\1"),
            (b"\xff\xfe", rng.randbytes(9)),
        ]
    )


def _split_png(content: bytes) -> tuple[list[Part], bytes]:
    parts, at = [], 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        parts.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return parts, b""


def _join_png(rng: random.Random, parts: list[Part], tail: bytes) -> bytes:
    joined = [b"\x89PNG\r\n\x1a\n"]
    for name, body in parts:
        length = len(body) + (rng.choice([-1, 1, 4, 2**31]) if rng.random() < 0.02 else 0)
        checksum = zlib.crc32(name + body) ^ (rng.random() < 0.02)
        joined.append(struct.pack(">I", max(0, length)) + name + body + struct.pack(">I", checksum))
    return b"".join(joined) + tail


def _png_addition(rng: random.Random) -> Part:
    profile = exif(rng)
    raw = f"\nexif\n{len(profile):8}\n{profile.hex()}\n".encode()
    return rng.choice(
        [
            (b"eXIf", exif(rng)),
            (b"eXIf", exif(rng)),
            (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(rng)),
            (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)),
            (b"tEXt", b"Comment\0" + rng.randbytes(12)),
            (b"tRNS", rng.choice([b"\0\7\0\7\0\7", b"\0\1", b"\0\x80\xff"])),
            (b"gAMA", struct.pack(">I", rng.choice([45455, 100000, 0]))),
            (b"iCCP", b"x\0\0" + zlib.compress(rng.randbytes(64))),
            (b"PLTE", rng.randbytes(12)),
            (b"acTL", struct.pack(">II", rng.randrange(3), 0)),
            (b"fcTL", struct.pack(">IIIIIHHBB", 0, 45, 35, 0, 0, 1, 10, 0, 0)),
            (b"IDAT", rng.choice([b"", rng.randbytes(20)])),
            (rng.choice([b"abCd", b"ABCD", b"IEND"]), rng.randbytes(6)),
        ]
    )


def _usual_png(rng: random.Random) -> Part:
    return rng.choice([(b"gAMA", struct.pack(">I", 45455)), (b"tEXt", b"Title\0cat"), (b"pHYs", rng.randbytes(9))])


def _split_webp(content: bytes) -> tuple[list[Part], bytes]:
    parts, at = [], 12
    while at < len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        parts.append((content[at : at + 4], content[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return parts, b""


def _join_webp(rng: random.Random, parts: list[Part], tail: bytes) -> bytes:
    joined = []
    if parts[0][0] != b"VP8X" and rng.random() < 0.7:  # without it nobody looks at what else there is
        canvas = rng.choice([(90, 70)] * 6 + [(91, 70), (45, 35)])
        flags = rng.choice([0x08, 0x0C, 0x04, 0x20, 0x3C, 0x00, 0x02])
        sides = b"".join((side - 1).to_bytes(3, "little") for side in canvas)
        parts = [(b"VP8X", bytes([flags, 0, 0, 0]) + sides), *parts]
    for name, body in parts:
        length = len(body) + (rng.choice([-2, 1, 2, 2**30]) if rng.random() < 0.02 else 0)
        joined.append(name + struct.pack("<I", max(0, length)) + body + b"\0" * (len(body) % 2))
    content = b"WEBP" + b"".join(joined) + tail
    off = rng.choice([-4, -1, 2, 9]) if rng.random() < 0.04 else 0
    return b"RIFF" + struct.pack("<I", max(4, len(content) + off)) + content


def _webp_addition(rng: random.Random) -> Part:
    return rng.choice(
        [
            (b"EXIF", rng.choice([b"", b"Exif\0\0"]) + exif(rng)),
            (b"EXIF", exif(rng)),
            (b"XMP ", xmp(rng)),
            (b"ICCP", rng.randbytes(40)),
            (b"ALPH", rng.randbytes(40)),
            (b"ANIM", b"\xff\xff\xff\xff\0\0"),
            (b"VP8X", bytes([rng.randrange(64), 0, 0, 0]) + b"\x59\0\0\x45\0\0"),
            (b"JUNK", rng.randbytes(rng.randrange(20))),
        ]
    )


def _usual_webp(rng: random.Random) -> Part:
    return b"ICCP", rng.randbytes(2 * rng.randrange(30))


FORMATS = {
    "jpeg": (_split_jpeg, _join_jpeg, _jpeg_addition, _usual_jpeg),
    "png": (_split_png, _join_png, _png_addition, _usual_png),
    "webp": (_split_webp, _join_webp, _webp_addition, _usual_webp),
}
"""How a format is taken apart, put together, and what is put in: odd things, and usual ones."""
