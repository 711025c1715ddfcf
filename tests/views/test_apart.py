"""Decoding in a process apart: what ends it is named, and the rest of the batch and of the run is as if it were not."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from ccd_fast.errors import RunError
from ccd_fast.views import apart, installed_backends, open_backend
from ccd_fast.views.apart import Apart, Encoded, decoder_apart
from ccd_fast.views.header import Header
from tests.views import samples

if "dali" not in installed_backends():
    pytest.skip("nvidia-dali is not installed", allow_module_level=True)

GOOD = samples.LIKE_THE_SCENE["jpeg"]


DEADLY = b"\0 of which the decoder below dies"
WITHOUT_DALI = """
import contextlib, os, sys; sys.path[:] = {path!r}
from ccd_fast.views import decoding_worker
decode_one = decoding_worker.decode_one
decoding_worker.decode_one = lambda content, *how: os.abort() if content[0] == 0 else decode_one(content, *how)
decoding_worker._load_dali = lambda: None
decoding_worker._dali = lambda threads: contextlib.nullcontext()
decoding_worker.main({arguments})
"""
"""The process with Pillow alone, which starts at once, and dies of a file when it is asked to."""


def as_it_is(content: bytes, by: str = "pillow") -> Encoded:
    """A file that is decoded with all that is in it."""
    return Encoded([content], by, Header("jpeg"))


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setattr(apart, "_PROGRAM", WITHOUT_DALI)
    worker = Apart(2)
    yield worker
    worker.close()


def alike(picture, other) -> bool:
    return np.array_equal(picture, other)


def test_a_file_that_ends_the_decoder_is_named_and_the_others_are_decoded(worker):
    (whole,) = worker.decode([as_it_is(GOOD)], 100)
    found = worker.decode([as_it_is(content) for content in (GOOD, GOOD, DEADLY, GOOD, DEADLY)], 100)
    assert found[2] == found[4] == "ends the decoder (SIGABRT)"
    assert all(alike(found[place], whole) for place in (0, 1, 3))


def test_a_run_sets_the_culprit_aside_by_name(tmp_path, monkeypatch, worker):
    backend = open_backend("dali", 2)
    monkeypatch.setattr(backend, "_apart", worker)
    monkeypatch.setattr("ccd_fast.views.sorting.inspect", lambda *_: Header("other"))
    for place, content in enumerate([GOOD, DEADLY, GOOD]):
        (tmp_path / f"{place}.jpg").write_bytes(content)
    found = backend.decode([tmp_path / f"{place}.jpg" for place in range(3)], np.arange(3))
    assert found.unreadable == {1: "ends the decoder (SIGABRT)"}
    np.testing.assert_array_equal(found.rows, [0, 2])


def test_two_segments_of_exif_end_nothing(tmp_path):
    """DALI 2.4 writes where it must not, and often dies of it."""
    segments = (b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0%c" % turn + b"\0" * 7 for turn in (6, 3))
    (tmp_path / "a.jpg").write_bytes(GOOD[:2] + b"".join(segments) + GOOD[2:])
    backend = open_backend("dali", 2)
    pid = backend._apart.process.pid
    found = backend.decode([tmp_path / "a.jpg"], np.arange(1))
    assert backend._apart.process.pid == pid
    np.testing.assert_array_equal(found.sizes, [[90, 70]])  # as the first says


def test_a_process_that_somebody_killed_is_nobodys_fault(worker):
    (before,) = worker.decode([as_it_is(GOOD)], 100)
    os.kill(worker.process.pid, signal.SIGKILL)
    found = worker.decode([as_it_is(GOOD)] * 3, 100)
    assert all(alike(picture, before) for picture in found)


def test_a_process_that_hangs_is_ended(worker, monkeypatch):
    worker.decode([as_it_is(GOOD)], 100)
    monkeypatch.setattr(apart, "LOOKS", 0.02)
    os.kill(worker.process.pid, signal.SIGSTOP)
    pid = worker.process.pid
    assert isinstance(worker.decode([as_it_is(GOOD)], 100)[0], np.ndarray)
    assert worker.process.pid != pid


def test_a_process_that_cannot_start_is_told_of_with_what_it_said(monkeypatch):
    monkeypatch.setattr(apart, "_PROGRAM", "raise SystemExit('no such {arguments:.0s}library')")
    broken = Apart(1)
    with pytest.raises(RunError, match=r"no such library; use views\.backend=pillow"):
        broken.decode([as_it_is(GOOD)], 100)


def test_pixels_stay_as_they_are_while_somebody_has_them(worker):
    contents = [samples.encoded(samples.SCENE.rotate(turn), "PNG") for turn in range(0, 2 * apart.SLABS + 4)]
    held = [worker.decode([as_it_is(content)], 100)[0] for content in contents]
    for turn, picture in enumerate(held):
        np.testing.assert_array_equal(picture, np.asarray(samples.SCENE.rotate(turn)))
    del held, picture
    gc.collect()
    assert worker._free.qsize() == apart.SLABS


def test_a_large_batch_gives_its_memory_back(worker, monkeypatch):
    monkeypatch.setattr(apart, "MOST_KEPT", 10_000)
    found = worker.decode([as_it_is(GOOD)], 100)
    del found
    gc.collect()
    assert min(os.fstat(slab).st_size for slab in worker._slabs) == 0
    assert alike(worker.decode([as_it_is(GOOD)], 100)[0], worker.decode([as_it_is(GOOD)], 100)[0])


def test_several_threads_may_ask(worker):
    other = samples.encoded(samples.SCENE.rotate(90, expand=True), "JPEG", quality=95)
    wrong = []

    def ask(content: bytes, shape: tuple[int, ...]) -> None:
        for _ in range(20):
            wrong.extend(p.shape for p in worker.decode([as_it_is(content)] * 2, 100) if p.shape != shape)

    threads = [threading.Thread(target=ask, args=each) for each in ((GOOD, (70, 90, 3)), (other, (90, 70, 3)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_dali_refuses_is_tried_by_pillow(tmp_path):
    """A PNG that says it is higher than it is: Pillow takes the rows that are there, DALI does not."""
    whole = samples.LIKE_THE_SCENE["png"]
    longer = whole[:8] + samples.png_chunk(b"IHDR", whole[16:20] + (71).to_bytes(4, "big") + whole[24:29]) + whole[33:]
    assert decoder_apart(2).decode([Encoded([longer], "dali", Header("png"))], 100) == [None]
    (tmp_path / "a.png").write_bytes(longer)
    found = open_backend("dali", 2).decode([tmp_path / "a.png"], np.arange(1))
    assert found.unreadable == {}
    np.testing.assert_array_equal(found.pixels[0][:70], np.asarray(samples.SCENE))


def test_libraries_do_not_speak_to_the_screen(tmp_path, capfd):
    (tmp_path / "a.webp").write_bytes(samples.turned("WEBP", 6))
    (tmp_path / "b.jpg").write_bytes(GOOD.replace(b"\xff\xda", b"\xff\xda\0\3", 1))
    open_backend("dali", 2).decode([tmp_path / "a.webp", tmp_path / "b.jpg"], np.arange(2))
    assert capfd.readouterr() == ("", "")


def test_a_process_that_was_started_early_is_the_first_that_is_asked_for(monkeypatch):
    monkeypatch.setattr(apart, "_PROGRAM", WITHOUT_DALI)
    monkeypatch.setattr(apart, "_at_work", {})
    apart.start_early()
    (early,) = apart._at_work.values()
    apart.start_early()
    assert decoder_apart(2) is early is decoder_apart(2)
    assert early.threads == 2
    assert isinstance(early.decode([as_it_is(GOOD)], 100)[0], np.ndarray)
    other = decoder_apart(3)
    assert other is not early
    for each in (early, other):
        each.close()


def test_on_a_cpu_it_is_started_without_torch():
    code = "import sys; from ccd_fast.cli import options; from ccd_fast.views import apart; "
    code += "options.decode_early('cpu', 'auto'); "
    seen = subprocess.run(
        [sys.executable, "-c", code + "print(len(apart._at_work), 'torch' in sys.modules)"], capture_output=True
    )
    assert seen.stdout == b"1 False\n", seen.stderr


def test_a_process_that_nobody_asked_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(apart, "_PROGRAM", "import time; time.sleep(60)  # {path} {arguments}")
    monkeypatch.setattr(apart, "SECONDS_TO_END", 30.0)
    slow, began = Apart(), time.monotonic()
    slow.close()
    assert time.monotonic() - began < 10
