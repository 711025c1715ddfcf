import numpy as np

from ccd_fast.randomness import Purpose, order, uniform


def test_the_same_key_gives_the_same_numbers():
    np.testing.assert_array_equal(uniform(3, 1, Purpose.FLIP, 10, 2), uniform(3, 1, Purpose.FLIP, 10, 2))


def test_every_part_of_the_key_matters():
    draws = [
        uniform(*key, 50, 2).tobytes()
        for key in ((0, 0, Purpose.FLIP), (1, 0, Purpose.FLIP), (0, 1, Purpose.FLIP), (0, 0, Purpose.JITTER))
    ]
    assert len(set(draws)) == 4


def test_an_epoch_visits_every_image_once_in_an_order_of_its_own():
    first, second = order(0, 0, 100), order(0, 1, 100)
    assert sorted(first) == list(range(100))
    assert not np.array_equal(first, second)
