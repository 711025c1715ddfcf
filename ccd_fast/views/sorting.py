"""Who decodes a file: DALI what is in its plainest form, Pillow the others; what cannot be a picture is set aside."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccd_fast.views.files import Encoded, Reader
from ccd_fast.views.header import Header, inspect
from ccd_fast.views.plain import Parts, plain_parts


class Asked(NamedTuple):
    """A file that is to be decoded.

    Attributes:
        content: its bytes.
        header: what they begin with says.
        parts: what DALI is given of them; None where it is not in the plainest form.
    """

    content: Encoded
    header: Header
    parts: Parts | None


def sorted_out(
    files: Sequence[Path], rows: NDArray[np.int64], read: Reader, max_megapixels: float
) -> tuple[dict[int, Asked], dict[int, str]]:
    """Read files and their headers; give by row those that are to be decoded, and the reason of each that cannot be."""
    asked: dict[int, Asked] = {}
    unreadable: dict[int, str] = {}
    for file, row in zip(files, rows.tolist(), strict=True):
        content = read(file)
        header = content if isinstance(content, str) else inspect(content, max_megapixels)
        if isinstance(content, str) or isinstance(header, str):
            unreadable[row] = str(header)
        else:
            asked[row] = Asked(content, header, plain_parts(content, header))
    return asked, unreadable
