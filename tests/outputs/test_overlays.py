"""The colours of a class activation map over a photograph."""

import numpy as np

from ccd_fast.outputs.overlays import STRENGTH, WARM, blended, titled


def test_the_hottest_place_is_coloured_and_the_coldest_left_alone():
    picture = np.full((2, 2, 3), 100, dtype=np.uint8)
    heat = np.array([[-3.0, -1.0], [0.0, 5.0]], dtype=np.float32)
    mixed = blended(picture, heat)
    assert mixed[0, 0].tolist() == [100, 100, 100]
    np.testing.assert_allclose(mixed[1, 1], 100 * (1 - STRENGTH) + STRENGTH * WARM, atol=1)
    reds = mixed[..., 0].astype(int)
    assert reds[0, 0] < reds[1, 1]


def test_a_flat_map_colours_nothing():
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert np.array_equal(blended(picture, np.full((2, 2), 0.7, dtype=np.float32)), picture)


def test_the_name_of_an_overlay_is_one_that_a_disk_takes_and_no_two_are_the_same():
    taken = set()
    names = [titled("🙂" * 60, "a/b" * 100, taken) for _ in range(3)]
    assert len(taken) == 3 == len({name.encode() for name in names})
    assert max(len(f"{name}.png".encode()) for name in names) <= 255
    assert titled("photo", "a/b", taken) == "photo-a-b"
