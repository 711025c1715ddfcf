"""Reading encoded files, and keeping them."""

import os
import threading

import numpy as np
import pytest

from ccd_fast.views import EncodedCache, files, open_backend, read_bytes
from tests.views import samples


def test_a_file_is_read_whole(tmp_path):
    content = bytes(range(256)) * 100
    (tmp_path / "a").write_bytes(content)
    assert read_bytes(tmp_path / "a").tobytes() == content


def test_reasons_are_short_and_specific(tmp_path, monkeypatch):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "large.jpg").write_bytes(b"12345")
    assert read_bytes(tmp_path / "missing.jpg") == "no such file"
    assert read_bytes(tmp_path / "empty.jpg") == "empty file"
    assert read_bytes(tmp_path / "folder.jpg") == "is a folder"
    assert read_bytes(tmp_path / "null\0.jpg").startswith("cannot be read: embedded null")
    assert read_bytes(tmp_path / ("long" * 100)) == "cannot be read: File name too long"
    monkeypatch.setattr(files, "MAX_ENCODED_BYTES", 4)
    assert read_bytes(tmp_path / "large.jpg") == "5 bytes are more than a photograph has (4)"


def test_a_file_that_must_not_be_read_is_said_to_be_so(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jpg").write_bytes(b"1")
    monkeypatch.setattr(files, "_open", refuse)
    assert read_bytes(tmp_path / "a.jpg") == "permission denied"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.timeout(10)
def test_a_pipe_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert read_bytes(tmp_path / "pipe.jpg") == "is not a file"


def test_the_cache_reads_each_file_once_while_they_fit(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(b"x" * 100)
    cache = EncodedCache(budget=250)
    for _ in range(3):
        for path in paths:
            assert len(cache.read(path)) == 100
    assert (cache.used, cache.hits, cache.misses) == (200, 4, 5)  # a and b stay, c never fits


def test_the_cache_keeps_no_failure(tmp_path):
    cache = EncodedCache(budget=100)
    assert cache.read(tmp_path / "a") == "no such file"
    (tmp_path / "a").write_bytes(b"now")
    assert cache.read(tmp_path / "a").tobytes() == b"now"


def test_the_cache_never_passes_its_budget_with_several_threads(tmp_path):
    paths = [tmp_path / str(index) for index in range(40)]
    for path in paths:
        path.write_bytes(b"x" * 10)
    cache = EncodedCache(budget=105)
    threads = [threading.Thread(target=lambda: [cache.read(path) for path in paths]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.used == 100
    assert cache.hits + cache.misses == 160


def test_a_backend_reads_through_the_cache(tmp_path):
    (tmp_path / "a.jpg").write_bytes(samples.LIKE_THE_SCENE["jpeg"])
    cache = EncodedCache(budget=10**6)
    backend = open_backend("auto", 2, read=cache.read)
    first = backend.whole(backend.decode([tmp_path / "a.jpg"], np.arange(1)), 32, "bilinear")
    (tmp_path / "a.jpg").unlink()
    assert (backend.whole(backend.decode([tmp_path / "a.jpg"], np.arange(1)), 32, "bilinear") == first).all()
    assert (cache.hits, cache.misses) == (1, 1)
