"""Views in compat mode: Pillow's, from the pixels as they are stored."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ccd_fast.views import Photographs, read_bytes
from ccd_fast.views.pillow import PillowViews


class PublishedViews(PillowViews):
    """Pillow's views, EXIF orientation not honoured."""

    def decode(self, files: Sequence[Path], rows: NDArray[np.int64]) -> Photographs:
        """Decode files as they are stored; see :class:`ccd_fast.views.ViewBackend`."""
        decoded = {row: _as_stored(file) for file, row in zip(files, rows.tolist(), strict=True)}
        pictures = {row: picture for row, picture in decoded.items() if not isinstance(picture, str)}
        return Photographs(
            rows=np.array(list(pictures), dtype=np.int64),
            sizes=np.array([(p.height, p.width) for p in pictures.values()], dtype=np.int64).reshape(-1, 2),
            pixels=list(pictures.values()),
            unreadable={row: reason for row, reason in decoded.items() if isinstance(reason, str)},
        )


def _as_stored(file: Path) -> Image.Image | str:
    """Decode one file, or say why it cannot be."""
    content = read_bytes(file)
    if isinstance(content, str):
        return content
    try:
        return Image.open(io.BytesIO(content.tobytes())).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "cannot be decoded"
