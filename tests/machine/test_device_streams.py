"""Streams: nothing on a CPU; on a GPU, here one that only writes down what it is told, the order of the work."""

import threading
from contextlib import contextmanager

import pytest
import torch

from ccd_fast.machine import device_streams
from ccd_fast.machine.device_streams import IN_FLIGHT, Lane, Lent, on_stream_for, stream_for
from ccd_fast.views import prefetch

CPU, CARD = torch.device("cpu"), torch.device("cuda", 0)


class Card:
    """Stands in for a GPU: ``said`` is what each stream was told, in order."""

    def __init__(self) -> None:
        self.said = []
        self.of_thread = threading.local()
        self.default = self.stream("default")
        self.pending = set()  # events that synchronize() waits for

    def stream(self, name):
        return Stream(self, name)

    def current(self, device=None):
        return getattr(self.of_thread, "stream", self.default)

    @contextmanager
    def on(self, stream):
        before = self.current()
        self.of_thread.stream = stream
        try:
            yield
        finally:
            self.of_thread.stream = before


class Stream:
    def __init__(self, card, name):
        self.card, self.name = card, name

    def wait_stream(self, other):
        self.card.said.append(f"{self.name} waits for {other.name}")

    def wait_event(self, event):
        self.card.said.append(f"{self.name} waits for {event.of}")


class Event:
    def __init__(self, card):
        self.card, self.of = card, None

    def record(self, stream):
        self.of = f"{stream.name} {sum(line.startswith('event') for line in self.card.said)}"
        self.card.said.append(f"event {self.of}")

    def synchronize(self):
        self.card.said.append(f"host waits for {self.of}")


@pytest.fixture
def card(monkeypatch):
    card, made = Card(), {}
    monkeypatch.setattr(torch.cuda, "current_stream", card.current)
    monkeypatch.setattr(torch.cuda, "stream", card.on)
    monkeypatch.setattr(torch.cuda, "Event", lambda: Event(card))
    find = lambda work, device: made.setdefault(work, card.stream(work))  # noqa: E731
    monkeypatch.setattr(device_streams, "stream_for", find)
    monkeypatch.setattr(prefetch, "stream_for", find)
    return card


def test_on_a_cpu_nothing_happens(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_stream", None)
    lane, lent = Lane("teacher", CPU), Lent(CPU)
    with on_stream_for("pass", CPU), lane.working_on(1):
        lent.keep(2)
    lane.join()
    lent.settle()
    assert list(prefetch.prefetched(iter("abc"), 1, CPU)) == ["a", "b", "c"]


def test_a_block_has_a_stream_of_its_own_in_the_callers_order(card):
    with on_stream_for("pass", CARD):
        assert card.current().name == "pass"
    assert card.current().name == "default"
    assert card.said == ["pass waits for default", "default waits for pass"]


def test_after_an_error_that_is_mended_the_caller_goes_on_behind_what_was_queued(card):
    item, lane = object(), Lane("teacher", CARD)
    with pytest.raises(torch.OutOfMemoryError), on_stream_for("pass", CARD), lane.working_on(item):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert card.current().name == "default"
    assert card.said[-1] == "default waits for pass"
    assert [kept for kept, _ in lane._lent._kept] == [item]  # what was queued until then may read it


def test_what_is_lent_is_kept_until_its_work_is_done_and_bounds_what_is_queued(card):
    lent = Lent(CARD)
    for item in range(IN_FLIGHT + 1):
        lent.keep(item)
    assert card.said[-1] == "host waits for default 0"  # the oldest, and no more
    assert [item for item, _ in lent._kept] == list(range(1, IN_FLIGHT + 1))
    lent.settle()
    assert not lent._kept
    assert card.said[-1] == f"host waits for default {IN_FLIGHT}"


def test_a_lane_waits_for_what_it_works_on_and_the_caller_for_nothing_until_it_joins(card):
    lane = Lane("teacher", CARD)
    with on_stream_for("pass", CARD):
        with lane.working_on("crops"):
            assert card.current().name == "teacher"
        assert card.current().name == "pass"
        assert card.said[1:] == ["teacher waits for pass", "event teacher 0"]
        lane.join()
    assert card.said[3:] == ["pass waits for teacher", "host waits for teacher 0", "default waits for pass"]


def test_items_made_ahead_are_waited_for_on_the_consumers_stream_and_kept_until_it_is_done(card):
    streams, released = [], []

    class Item:
        def __del__(self):
            released.append(len(card.said))

    def produce():
        for _ in range(4):
            streams.append(card.current().name)
            yield Item()

    with on_stream_for("pass", CARD):
        for _item in prefetch.prefetched(produce(), 1, CARD):
            card.said.append("used")
            assert card.current().name == "pass"
        del _item
    assert streams == ["ahead"] * 4
    assert card.said[:2] == ["pass waits for default", "ahead waits for pass"]
    taken = [line for line in card.said if line.startswith("pass waits for ahead")]
    assert len(taken) == card.said.count("used") == 4
    for place, line in enumerate(card.said):
        if line == "used":
            assert card.said[:place].count("used") < sum(said in taken for said in card.said[:place])
    done = [place for place, line in enumerate(card.said) if line.startswith("host waits for pass")]
    assert len(done) == 4
    assert len(released) == 4
    assert all(at > mark for at, mark in zip(sorted(released), done, strict=True))


def test_a_stream_that_cannot_be_had_is_an_error_and_no_hanging(card, monkeypatch):
    @contextmanager
    def broken(stream):
        raise RuntimeError("the card is gone")
        yield

    monkeypatch.setattr(torch.cuda, "stream", broken)
    with pytest.raises(RuntimeError, match="the card is gone"):
        next(prefetch.prefetched(iter("abc"), 1, CARD))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU")
def test_the_streams_are_the_same_at_every_call_and_not_the_default_one():
    work = ("ahead", "pass", "teacher", "bench")
    handles = [stream_for(name, torch.device("cuda")).cuda_stream for name in work]
    assert handles == [stream_for(name, torch.device("cuda", 0)).cuda_stream for name in work]
    assert len({*handles, 0}) == 5
