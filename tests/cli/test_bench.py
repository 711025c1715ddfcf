"""``ccd-fast bench`` as a person sees it."""

import json
import sys

import pytest

from ccd_fast.bench import measure
from ccd_fast.cli import main


def call(monkeypatch, capfd, *arguments):
    monkeypatch.setattr(sys, "argv", ["ccd-fast", "bench", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0), *capfd.readouterr()


def test_kernels_are_measured_printed_and_written(monkeypatch, capfd, tmp_path):
    monkeypatch.setitem(measure.COPY_BYTES, "cpu", 1000)
    out = tmp_path / "kernels.json"
    code, printed, _ = call(monkeypatch, capfd, "kernels", "--rows", 12, "--classes", 7, "--repeats", 2, "--out", out)
    assert code == 0
    for words in ("the NumPy twins, 12 images, 7 classes", "% of copy", "score float32", "cam_boxes float16"):
        assert words in printed
    content = json.loads(out.read_text())
    assert content["images"] == 12
    assert [k["n"] for k in content["kernels"]] == [2] * 7
    assert content["copy_gb_per_s"] > 0


def test_an_unknown_device_is_one_line(monkeypatch, capfd):
    code, printed, err = call(monkeypatch, capfd, "kernels", "--device", "tpu")
    assert (code, printed) == (2, "")
    assert err == "ccd-fast: --device tpu: no such device; use cpu, cuda, cuda:N or auto\n"
