"""One file decoded by Pillow: upright, RGB, on white where it is transparent."""

import importlib.util
import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from ccd_fast.views.files import Encoded
from ccd_fast.views.header import Header, inspect, too_large
from ccd_fast.views.plain import plain_parts

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats of photographs. Pillow knows others that start programs or are not pictures."""

WHITE = (255, 255, 255, 255)
"""What transparent pictures are put on, as people see them."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXCHANGE = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
)
"""Turns that exchange width and height."""

# A damaged file's reason stands in the quarantine list, and whether a picture is too large is for
# views.max_megapixels to say: Pillow's own lines about the two are kept off the terminal.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_one(content: Encoded, header: Header, max_megapixels: float) -> Image.Image | str:
    """Decode one file to an upright RGB picture, or say in a few words why it cannot be.

    Transparency is put on white, an animation is its first frame, and of 16 bits a channel the upper 8 are kept.
    """
    if header.kind == "heif" and not _reads_heif():
        return "HEIC needs the extra heif: pip install 'ccd_fast[heif]'"
    formats = ("HEIF",) if header.kind == "heif" else FORMATS
    try:
        with Image.open(io.BytesIO(content.data), formats=formats) as picture:
            refused = too_large(*picture.size, max_megapixels)
            return refused or _upright_rgb(picture)
    except Image.DecompressionBombError:
        return f"more pixels than views.max_megapixels = {max_megapixels:g} allows"
    except UnidentifiedImageError:
        return "cannot be decoded"
    except Exception as error:  # noqa: BLE001  Pillow raises many classes on rubbish, and none may stop a pass
        return "truncated" if "truncated" in str(error).lower() else "cannot be decoded"


def upright_size(content: Encoded) -> tuple[int, int]:
    """Give width and height in pixels of a file that can be decoded, as people see it; nothing is decoded.

    Raises:
        ValueError: it is no picture.
    """
    header = inspect(content, float("inf"))
    if isinstance(header, str):
        raise ValueError(header)
    parts = plain_parts(content, header)
    if header.kind == "heif":
        _reads_heif()
    with Image.open(io.BytesIO(content.data if parts is None else b"".join(parts))) as picture:
        turned = _turn(picture) in _EXCHANGE
        return (picture.height, picture.width) if turned else (picture.width, picture.height)


def _upright_rgb(picture: Image.Image) -> Image.Image | str:
    """Turn a picture upright and its pixels into RGB."""
    of_16_bits = picture.format in ("PNG", "PPM", "JPEG2000")  # in which Pillow's 32-bit mode holds 16 bits
    picture.load()
    turn = _turn(picture)
    upright = picture if turn is None else picture.transpose(turn)
    if upright.mode.startswith("I;16") or (upright.mode == "I" and of_16_bits):
        levels = np.asarray(upright).astype(np.uint16) >> 8
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if upright.mode in ("I", "F"):
        return "32-bit pixels, whose black and white are not known"
    if picture.has_transparency_data:
        clear = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, WHITE), clear).convert("RGB")
    rgb = upright.convert("RGB")
    return rgb if rgb is not picture else picture.copy()


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """Read how a picture is turned; metadata that cannot be read say nothing, and the picture is there all the same."""
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  Pillow raises many classes on damaged metadata
        return None


def _reads_heif() -> bool:
    """Tell whether pillow-heif is installed; if so, Pillow learns of it."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True
