"""Folders by their address: on a disk, and where fsspec leads."""

from pathlib import Path

import pytest

from ccd_fast.cluster.storage import Place, address
from ccd_fast.errors import RunError, UserError
from ccd_fast.runs.writing import alone

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'ccd_fast[ray]'")


@pytest.fixture(params=["disk", "file", "memory"])
def place(request, tmp_path):
    kinds = {"disk": str(tmp_path / "out"), "file": f"file://{tmp_path}/out", "memory": f"memory://{tmp_path.name}/out"}
    return Place(kinds[request.param])


def test_what_is_written_is_read_listed_fetched_and_removed(place, tmp_path):
    assert place.names() == []
    place.write("labels/b/000.tar.parquet", b"one")
    place.write("labels/a.parquet", b"two")
    place.write("labels/a.parquet", b"three")
    assert place.names() == ["labels/a.parquet", "labels/b/000.tar.parquet"]
    assert place.names("labels") == ["a.parquet", "b/000.tar.parquet"]
    assert place.names("nothing") == []
    assert place.read("labels/a.parquet") == b"three"
    place.fetch("labels/a.parquet", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == b"three"
    place.remove("labels/b")
    place.remove("labels/b")
    assert place.exists("labels/a.parquet") and not place.exists("labels/b/000.tar.parquet")
    with pytest.raises(FileNotFoundError):
        place.read("labels/b/000.tar.parquet")


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside_it(tmp_path, monkeypatch):
    place = Place(str(tmp_path))
    place.write("a.parquet", b"before")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match=r"a\.parquet: cannot be written: No space left on device"):
        place.write("a.parquet", b"after")
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]
    assert place.read("a.parquet") == b"before"


def test_what_another_writer_has_left_half_done_is_not_listed_and_swept_once_it_is_gone(tmp_path):
    left, living = tmp_path / ".a.parquet.0123abcd.tmp", tmp_path / ".a.parquet.89abcdef.tmp"
    left.write_bytes(b"half")
    place = Place(str(tmp_path))
    assert place.names() == []
    with alone(living):
        place.sweep()
        assert list(tmp_path.iterdir()) == [living]
    place.sweep()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("s3:/bucket/a", "s3://bucket/a"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("photos", "photos"),
        ("/a/b:/c", "/a/b:/c"),
    ],
)
def test_an_address_that_became_a_path_gets_its_slash_back(given, meant):
    assert address(Path(given)) == meant


def test_an_address_that_nobody_knows_is_refused():
    with pytest.raises(UserError, match="not an address that fsspec knows"):
        Place("nosuch://a").exists("b")
