"""Encoded pictures of every kind that the views must read, made by Pillow."""

import io
import struct
import zlib

import numpy as np
from pictures import picture
from PIL import Image

SCENE = picture(np.random.default_rng(5), 70, 90)
GREY = SCENE.convert("L")
LEVELS = np.asarray(GREY).astype(np.uint16) * 256 + np.arange(90, dtype=np.uint16)
"""16 bits: the upper eight are GREY."""


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _translucent() -> Image.Image:
    image = SCENE.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int, depth: int = 8) -> bytes:
    """A PNG of any size that holds no pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")


def _png_of_16_bit_rgb() -> bytes:
    pixels = np.asarray(SCENE).astype(">u2") * 256 + 77
    lines = b"".join(b"\0" + line.tobytes() for line in pixels.astype(">u2"))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 90, 70, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")


def _cmyk(adobe_transform: int | None) -> bytes:
    """A CMYK JPEG as Adobe marks it (inverted; transform 2: YCCK), or without Adobe's segment."""
    content = encoded(SCENE.convert("CMYK"), "JPEG", quality=95)
    at = content.index(b"\xff\xee")
    end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    segment = b"" if adobe_transform is None else content[at : end - 1] + bytes([adobe_transform])
    return content[:at] + segment + content[end:]


def turned(kind: str, orientation: int) -> bytes:
    """SCENE as a camera stores it that was held so: upright only when EXIF is honoured."""
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    image = SCENE
    for step in stored.get(orientation, []):
        image = image.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, kind, exif=exif.tobytes(), **({"quality": 95} if kind != "TIFF" else {}))


PALETTE = SCENE.quantize(64)
LIKE_THE_SCENE = {
    "jpeg": encoded(SCENE, "JPEG", quality=95),
    "jpeg, progressive": encoded(SCENE, "JPEG", quality=95, progressive=True),
    "jpeg, RGB inside": encoded(SCENE, "JPEG", quality=95, keep_rgb=True),
    "jpeg, things behind its end": encoded(SCENE, "JPEG", quality=95) + b"\0" * 500,
    "jpeg, CMYK": _cmyk(0),
    "png": encoded(SCENE, "PNG"),
    "png, alpha": encoded(_translucent(), "PNG"),
    "png, palette": encoded(PALETTE, "PNG"),
    "png, palette with a transparent colour": encoded(PALETTE, "PNG", transparency=3),
    "png, 16 bits a channel": _png_of_16_bit_rgb(),
    "webp": encoded(SCENE, "WEBP", quality=95),
    "webp, lossless": encoded(SCENE, "WEBP", lossless=True),
    "webp, alpha": encoded(_translucent(), "WEBP", lossless=True, exact=True),
    "webp, animated": encoded(SCENE, "WEBP", save_all=True, append_images=[SCENE.rotate(90)], lossless=True),
    "bmp": encoded(SCENE, "BMP"),
    "bmp, palette": encoded(PALETTE, "BMP"),
    "tiff": encoded(SCENE, "TIFF"),
    "tiff, LZW": encoded(SCENE, "TIFF", compression="tiff_lzw"),
    "tiff, CMYK": encoded(SCENE.convert("CMYK"), "TIFF"),
    "tiff, palette": encoded(PALETTE, "TIFF"),
    "gif": encoded(PALETTE, "GIF"),
    "gif, animated": encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(90)]),
    "ppm": encoded(SCENE, "PPM"),
    "jpeg 2000": encoded(SCENE, "JPEG2000"),
}
"""Encoded forms of SCENE."""


def shown(kind: str) -> Image.Image:
    """What people see of a form of SCENE: on white where it is transparent."""
    image = _translucent() if "alpha" in kind else PALETTE if "palette" in kind or "gif" in kind else SCENE
    if "transparent colour" in kind:
        image = image.convert("RGB")
        pixels = np.array(image)
        pixels[np.asarray(PALETTE) == 3] = 255
        return Image.fromarray(pixels)
    clear = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")


LIKE_GREY = {
    "jpeg, grayscale": encoded(GREY, "JPEG", quality=95),
    "png, grayscale": encoded(GREY, "PNG"),
    "png, grayscale with alpha": encoded(_translucent().convert("LA"), "PNG"),
    "png, grayscale of 16 bits": encoded(Image.fromarray(LEVELS), "PNG"),
    "tiff, grayscale of 16 bits": encoded(Image.fromarray(LEVELS), "TIFF"),
    "pgm": encoded(GREY, "PPM"),
}
"""Encoded forms of GREY."""

OF_BOTH_BACKENDS_ALIKE = {
    "jpeg, CMYK not marked by Adobe": _cmyk(None),
    "jpeg, YCCK": _cmyk(2),
    "tiff, bilevel": encoded(GREY.convert("1"), "TIFF"),
    "png, bilevel": encoded(GREY.convert("1"), "PNG"),
    "jpeg of one pixel": encoded(SCENE.resize((1, 1)), "JPEG"),
    "jpeg of 3000x1": encoded(SCENE.resize((3000, 1)), "JPEG"),
    "jpeg of 1x3000": encoded(SCENE.resize((1, 3000)), "JPEG"),
    "png of one pixel": encoded(SCENE.resize((1, 1)), "PNG"),
    "png of 1x3000": encoded(SCENE.resize((1, 3000)), "PNG"),
}
"""For these there is nothing to compare with but the other backend."""
