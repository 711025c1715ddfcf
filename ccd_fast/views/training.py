"""The two training views of section 5: random flips, and colour jitter for the second."""

import numpy as np
import torch
from numpy.typing import NDArray


def flipped(pixels: torch.Tensor, flip: NDArray[np.bool_]) -> torch.Tensor:
    """Mirror the chosen pictures left to right.

    Args:
        pixels: (B, H, W, 3) of any dtype.
        flip: (B,) bool.
    """
    chosen = torch.from_numpy(flip).to(pixels.device).view(-1, 1, 1, 1)
    return torch.where(chosen, pixels.flip(2), pixels)


def jitter_factors(draws: NDArray[np.float64], strength: float, hue: float) -> NDArray[np.float32]:
    """Turn uniform draws into the factors of a colour jitter.

    Args:
        draws: (B, 4) in [0, 1).
        strength: 0 (none) to 0.5; brightness, contrast and saturation are multiplied by 1 ± strength.
        hue: 0 (none) to 0.5 (any other hue); hue turns by ± this share of the full circle.

    Returns:
        (B, 4) float32: brightness, contrast, saturation, hue in degrees.
    """
    signed = 2 * draws - 1
    return np.concatenate([1 + strength * signed[:, :3], 360 * hue * signed[:, 3:]], axis=1).astype(np.float32)


def color_twist_matrix(factors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the affine map of RGB that a colour jitter is.

    Hue and saturation turn and stretch the chroma plane of YIQ, contrast stretches around mid-grey (128), and
    brightness multiplies the whole.

    Args:
        factors: (B, 4) brightness, contrast, saturation, hue in degrees.

    Returns:
        (B, 3, 3) matrices and (B,) offsets: rgb' = matrix @ rgb + offset, in levels of 0 to 255.
    """
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]])
    brightness, contrast, saturation, hue = factors.astype(np.float64).T
    cosine, sine = saturation * np.cos(np.radians(hue)), saturation * np.sin(np.radians(hue))
    chroma = np.zeros((len(factors), 3, 3))
    chroma[:, 0, 0] = 1
    chroma[:, 1, 1] = chroma[:, 2, 2] = cosine
    chroma[:, 1, 2], chroma[:, 2, 1] = sine, -sine
    gain = (brightness * contrast)[:, None, None]
    matrix = gain * (np.linalg.inv(to_yiq) @ chroma @ to_yiq)
    offset = 128 * (1 - contrast) * brightness
    return matrix.astype(np.float32), offset.astype(np.float32)
