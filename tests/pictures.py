"""Pictures for the tests, drawn from a random state."""

import numpy as np
from PIL import Image


def picture(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A smooth picture with an edge in it: JPEG changes it little, and resizing has something to do."""
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).copy()
    y, x = int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2))
    smooth[y : y + height // 3, x : x + width // 3] = rng.integers(0, 256, 3)
    return Image.fromarray(smooth)
