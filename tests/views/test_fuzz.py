"""Damaged files: pixels or a reason, never an exception, whatever the damage."""

import numpy as np
import pytest

from ccd_fast.views import installed_backends, open_backend
from tests.views import samples

CASES = 240
KINDS = ["jpeg", "jpeg, progressive", "png", "webp", "gif", "tiff, LZW"]


def damaged(rng: np.random.Generator) -> bytes:
    """A valid picture, cut, with bytes overwritten, or with a piece of it missing."""
    content = bytearray(samples.LIKE_THE_SCENE[KINDS[rng.integers(len(KINDS))]])
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(content)))
        match rng.integers(4):
            case 0:
                content = content[: at + 1]
            case 1:
                for where in rng.integers(0, len(content), 8):
                    content[where] = rng.integers(256)
            case 2:
                content[int(rng.integers(min(64, len(content))))] ^= 1 << int(rng.integers(8))
            case 3:
                del content[at : at + int(rng.integers(1, 50))]
        if not content:
            break
    return bytes(content)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", installed_backends())
def test_damage_gives_pixels_or_a_reason(name, tmp_path):
    rng = np.random.default_rng(11)
    files = [tmp_path / f"{index}.jpg" for index in range(CASES)]
    for file in files:
        file.write_bytes(damaged(rng))
    (tmp_path / "whole.png").write_bytes(samples.LIKE_THE_SCENE["png"])
    backend = open_backend(name, 2)
    refused = 0
    for first in range(0, CASES, 24):
        rows = np.arange(first, first + 25)
        photographs = backend.decode([*files[first : first + 24], tmp_path / "whole.png"], rows)
        assert sorted([*photographs.rows.tolist(), *photographs.unreadable]) == rows.tolist()
        assert all(0 < len(reason) < 100 and "\n" not in reason for reason in photographs.unreadable.values())
        views = backend.whole(photographs, 32, "bilinear")
        assert views.shape == (len(photographs), 32, 32, 3)
        alone = backend.whole(backend.decode([tmp_path / "whole.png"], np.arange(1)), 32, "bilinear")
        assert (views[-1] == alone[0]).all()  # the whole one is in its place
        refused += len(photographs.unreadable)
    assert CASES / 4 < refused < CASES
