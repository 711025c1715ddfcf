"""What a stage shows while it runs, on a terminal and in a log, and what it says and records when it ends."""

import io

import pytest
from rich.console import Console

from ccd_fast.runs import progress
from ccd_fast.runs.durations import in_words
from ccd_fast.runs.progress import Stage, Stages


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def work(stage, clock, part, seconds):
    with stage.part(part):
        clock.now += seconds


def relabel(stages, clock, batches=3):
    """Ten images and 40 crops a batch, of which 8 are repeats and 16 hits; 4 seconds a batch."""
    with stages.stage("relabel", 40, epoch=2) as stage:
        for _ in range(batches):
            work(stage, clock, "student", 1.0)
            work(stage, clock, "teacher", 2.0)
            clock.now += 1.0
            stage.advance(10, 40, 8, 16)


SHOWN = "2.5 images/s, 10.0 crops/s, 50% cache hits (student 25%, teacher 50%)"
MOST, ENDED = "relabel epoch 2: 20 of 40 photographs, 2.5 a second, 8.0 s left", "30 photographs in 12 s, 2.5 a second"


@pytest.mark.parametrize(("verbose", "more"), [(False, ""), (True, f" ({SHOWN})")])
def test_a_log_gets_a_line_now_and_then_for_people_and_all_of_it_when_verbose(clock, monkeypatch, verbose, more):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 8.0)
    log = io.StringIO()
    relabel(Stages(Console(file=log, width=200), verbose=verbose), clock)
    assert log.getvalue().splitlines() == [f"{MOST}{more}", f"relabel epoch 2: {ENDED}{more}"]


def test_each_stage_ends_with_what_is_known_of_all_that_follows(clock):
    log, kept = io.StringIO(), []
    stages = Stages(Console(file=log, width=200), kept.append)
    stages.outlook = lambda: f"{len(kept)} stage done"  # the record of the stage is there already
    relabel(stages, clock)
    assert log.getvalue() == f"relabel epoch 2: {ENDED}; 1 stage done\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (89, "89 s"), (90, "2 min"), (5369, "89 min")),
        *((5400, "1 h 30 min"), (7200, "2 h"), (86400, "24 h"), (172800, "2 days"), (273600, "3 days 4 h")),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds, words):
    assert in_words(seconds) == words


def test_a_terminal_of_80_columns_shows_the_bar_and_all_of_it_below(clock):
    screen = io.StringIO()
    relabel(Stages(Console(file=screen, width=80, force_terminal=True, color_system=None, legacy_windows=False)), clock)
    while_it_runs, _, at_the_end = screen.getvalue().rpartition("relabel epoch 2: ")
    assert "30 of 40 photographs, 2.5 a second, 4.0 s left" in while_it_runs
    assert at_the_end.strip() == ENDED


def test_parts_that_overlap_are_said_to_run_side_by_side(clock):
    log = io.StringIO()
    with Stages(Console(file=log, width=200), verbose=True).stage("train", 10) as stage:
        with stage.part("decode"):
            work(stage, clock, "student", 2.0)
        stage.advance(10)
    assert "(student 100%, decode 100%, side by side)" in log.getvalue()


def test_a_stage_without_parts_or_crops_shows_its_images_only(clock):
    log = io.StringIO()
    with Stages(Console(file=log, width=200)).stage("draw scenes", 10, of="scenes") as stage:
        clock.now += 5
        stage.advance(10)
    assert log.getvalue() == "draw scenes: 10 scenes in 5.0 s, 2.0 a second\n"


def test_a_stage_of_nothing_says_nothing(clock):
    log, kept = io.StringIO(), []
    with Stages(Console(file=log, width=200), kept.append).stage("decode the test images", 0):
        clock.now += 5
    assert log.getvalue() == "" and len(kept) == 1


def test_what_was_done_before_an_interruption_counts_with_the_time_that_it_took(clock):
    kept = []
    stages = Stages(Console(file=io.StringIO()), kept.append)
    with stages.stage("relabel", 40, epoch=3) as stage:
        stage.go_on(20, 80, 6.0)
        clock.now += 4
        with stage.part("teacher"):
            clock.now += 2
        stage.advance(20, 40, 8, 16)
    assert kept == [
        {
            "stage": "relabel",
            "images": 40,
            "seconds": 12.0,
            "images_per_second": 3.33,
            "crops": 120,
            "crops_per_second": 10.0,
            "repeated_crops": 8,
            "cache_hits": 0.5,
            "share": {"teacher": 0.333},
            "epoch": 3,
        }
    ]


def test_on_a_gpu_the_parts_are_said_to_be_the_host_s():
    stage = Stage("relabel", 4, lambda _: None)
    with stage.part("teacher"):
        pass
    stage.stop()
    assert stage.shown_shares().startswith(" (teacher ")
    stage.on_gpu = True
    assert stage.shown_shares().startswith(" (where the host is: teacher ")
