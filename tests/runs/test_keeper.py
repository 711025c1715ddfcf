"""Ctrl-C: the step is finished, what was done is kept; a second one stops at once, unless it is torchrun's echo."""

import os
import signal

import pytest

from ccd_fast.runs import keeper
from ccd_fast.runs.keeper import Stop


def twice():
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_second_ctrl_c_stops_at_once_and_the_first_is_told_of(monkeypatch):
    monkeypatch.setattr(keeper, "ECHO", 0.0)
    said = []
    stop = Stop(said.append)
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        twice()
    assert stop.requested
    assert said == ["finishing the step and keeping what was done; once more to stop at once"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_torchrun_hands_on_of_the_same_ctrl_c_is_not_a_second_one(monkeypatch):
    monkeypatch.setattr(keeper, "ECHO", 60.0)
    said = []
    stop = Stop(said.append)
    with stop.listening():
        try:
            twice()
        except KeyboardInterrupt:  # which would end all tests
            pytest.fail("the echo was taken for a second one")
    with pytest.raises(KeyboardInterrupt):
        stop.now()
    assert len(said) == 1
