"""Timing: turns, warm-up apart, records with the machine."""

import json
import sys
import time

import torch

from ccd_fast.bench import measure
from ccd_fast.engines import ceilings


def test_what_is_timed_takes_turns_and_the_warm_up_does_not_count():
    order: list[str] = []
    calls = {"slow": lambda: (order.append("slow"), time.sleep(0.02)), "fast": lambda: order.append("fast")}
    timings = measure.in_turn(calls, repeats=3, warmup=2)
    assert order == ["slow", "fast"] * 5
    assert len(timings["slow"].seconds) == 3
    assert timings["slow"].median >= 0.02 > timings["fast"].median


def test_the_median_is_the_middle_one():
    assert measure.Timing((3.0, 1.0, 2.0)).median == 2.0
    assert measure.Timing((3.0, 1.0, 2.0)).record() == {"median_s": 2.0, "min_s": 1.0, "max_s": 3.0, "n": 3}


def test_limits_of_the_device_count_what_is_done(monkeypatch):
    for module in (measure, ceilings):
        monkeypatch.setattr(module, "time_once", lambda call, device="cpu": call() is None or 0.5)
    monkeypatch.setitem(measure.MATMUL_SIDE, "cpu", 64)
    monkeypatch.setitem(measure.COPY_BYTES, "cpu", 1000)
    assert measure.matmul_rate(dtype=torch.float32) == 2 * 64**3 / 0.5
    assert measure.copy_rate() == 2 * 1000 / 0.5


def test_a_record_says_command_machine_and_versions(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/ccd-fast", "bench", "kernels", "--n", "1 000"])
    measure.save({"n": 5}, tmp_path / "results" / "r.json")
    content = json.loads((tmp_path / "results" / "r.json").read_text())
    assert content["command"] == "ccd-fast bench kernels --n '1 000'"
    assert content["n"] == 5
    assert content["machine"]["packages"]["torch"] == torch.__version__.split("+")[0]
