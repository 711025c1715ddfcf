"""The producer's thread: ahead by so much, gone in the end, and its errors where they belong."""

import threading
import time

import pytest

from ccd_fast.views import prefetched

pytestmark = pytest.mark.timeout(30)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_items_come_in_order():
    assert list(prefetched(range(1000), 3)) == list(range(1000))
    assert list(prefetched([], 1)) == []


def test_the_producer_works_while_the_consumer_does():
    def slow():
        for index in range(5):
            time.sleep(0.05)
            yield index

    start = time.perf_counter()
    for _ in prefetched(slow(), 2):
        time.sleep(0.05)
    assert time.perf_counter() - start < 0.45  # in turn: 0.5


def test_the_producer_is_ahead_by_the_depth_and_no_more():
    made = []

    def produce():
        for index in range(100):
            made.append(index)
            yield index

    items = prefetched(produce(), 3)
    assert next(items) == 0
    time.sleep(0.1)
    assert len(made) == 5  # one taken, three waiting, one in the making
    items.close()


def test_nothing_starts_before_the_first_item_is_asked_for():
    made = []
    items = prefetched((made.append(index) for index in range(3)), 1)
    time.sleep(0.02)
    assert made == []
    items.close()


def test_what_the_producer_raises_comes_behind_the_items_before_it():
    def produce():
        yield 1
        yield 2
        raise KeyError("the third")

    seen = []
    with pytest.raises(KeyError, match="the third") as caught:
        for item in prefetched(produce(), 5):
            time.sleep(0.02)  # the error waits already
            seen.append(item)
    assert seen == [1, 2]
    assert any(entry.name == "produce" for entry in caught.traceback)


@pytest.mark.parametrize("taken", [1, 2, 10])
def test_a_consumer_that_stops_early_ends_and_closes_the_producer(taken):
    closed = threading.Event()

    def produce():
        try:
            yield from range(10**9)
        finally:
            closed.set()

    for seen, _ in enumerate(items := prefetched(produce(), 2), start=1):
        if seen == taken:
            break
    items.close()
    assert closed.is_set()


def test_a_consumer_that_raises_ends_the_producer_too():
    def consume():
        for item in prefetched(iter(range(10**9)), 2):
            if item == 5:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()


def test_an_error_while_the_producer_is_closed_is_not_lost_at_its_end():
    class Items:
        def __iter__(self):
            yield 1
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(prefetched(Items(), 1))


def test_a_depth_of_nothing_is_refused():
    with pytest.raises(ValueError, match="1 or more"):
        next(prefetched([1], 0))
