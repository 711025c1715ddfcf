"""Tar shards read in place: the same bytes as unpacked, and nothing from a hostile one."""

import io
import tarfile

import numpy as np
import pytest

from ccd_fast.errors import UserError
from ccd_fast.views import read_bytes, shards


def entry(name: str, content: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def write(file, *entries, form=tarfile.PAX_FORMAT):
    with tarfile.open(file, "w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return file


def test_members_are_read_as_they_would_be_unpacked(tmp_path):
    rng = np.random.default_rng(0)
    contents = {f"{name}.jpg": rng.bytes(size) for name, size in (("a", 1), ("long/" * 40 + "b", 511), ("ü", 3000))}
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        file = write(tmp_path / f"{form}.tar", *(entry(n, c) for n, c in contents.items()), form=form)
        assert set(shards.members(file)) == set(contents)
        assert {name: bytes(read_bytes(file / name)) for name in contents} == contents
        assert shards.size(file / "a.jpg") == 1


def test_directories_and_a_leading_dot_are_as_tar_writes_them(tmp_path):
    folder = entry("./inner", type=tarfile.DIRTYPE)
    file = write(tmp_path / "s.tar", folder, entry("./inner/a.jpg", b"x"))
    assert list(shards.members(file)) == ["inner/a.jpg"]


def test_what_is_not_there_is_said_as_of_a_file(tmp_path):
    file = write(tmp_path / "s.tar", entry("a.jpg", b"x"), entry("empty.jpg"))
    assert read_bytes(file / "b.jpg") == read_bytes(tmp_path / "gone.tar" / "a.jpg") == "no such file"
    assert read_bytes(file / "empty.jpg") == "empty file"
    assert shards.place(file / "b.jpg") is None
    (tmp_path / "folder.tar").mkdir()
    assert shards.place(tmp_path / "folder.tar" / "a.jpg") is None


def test_a_shard_that_changed_is_listed_anew(tmp_path):
    file = write(tmp_path / "s.tar", entry("a.jpg", b"old"))
    assert bytes(read_bytes(file / "a.jpg")) == b"old"
    file.unlink()
    write(file, entry("first.jpg", b"x" * 2000), entry("a.jpg", b"new"))
    assert bytes(read_bytes(file / "a.jpg")) == b"new"


def test_a_member_that_is_too_large_is_no_photograph(tmp_path, monkeypatch):
    file = write(tmp_path / "s.tar", entry("a.jpg", b"x" * 101))
    monkeypatch.setattr("ccd_fast.views.files.MAX_ENCODED_BYTES", 100)
    assert read_bytes(file / "a.jpg") == "101 bytes are more than a photograph has (100)"
    with pytest.raises(UserError, match="a member of 101 bytes, where 100 are the most"):
        list(shards.read(shards.members(file).values(), 100))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"]
)
def test_what_is_no_plain_file_is_refused(tmp_path, kind):
    link = entry("evil.jpg", type=kind, linkname="/etc/passwd")
    file = write(tmp_path / "s.tar", entry("a.jpg", b"x"), link)
    with pytest.raises(UserError, match=r"s\.tar: 'evil\.jpg' is a link, a device or the like"):
        shards.members(file)
    assert "is a link" in read_bytes(file / "a.jpg")  # a pass goes on; the row is quarantined


def test_a_name_twice_is_refused(tmp_path):
    file = write(tmp_path / "s.tar", entry("a.jpg", b"x"), entry("./a.jpg", b"y"))
    with pytest.raises(UserError, match=r"'a\.jpg' stands in it twice"):
        shards.members(file)


def with_size(claimed: bytes, kind: bytes = tarfile.REGTYPE, content: bytes = b"x" * 100) -> bytes:
    """Give a tar file whose second header claims another size than it has."""
    info, _ = entry("b.jpg", content, type=kind)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = claimed.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    first, _ = entry("a.jpg", b"x")
    padded = content.ljust(-(-len(content) // 512) * 512, b"\0")
    return first.tobuf() + b"x".ljust(512, b"\0") + bytes(block) + padded + bytes(1024)


MINUS_ONE_BLOCK = b"\xff" * 10 + b"\xfc\x00"
"""-1024 in the base-256 of GNU tar: a reader that believes it goes back, for ever."""


@pytest.mark.parametrize(
    ("content", "said"),
    {
        "a size beyond the file": (with_size(b"77777777777"), "ends in the middle of 'b.jpg'"),
        "a size below zero": (with_size(MINUS_ONE_BLOCK), "'b.jpg' claims -1024 bytes"),
        "a long name of gigabytes": (with_size(b"77777777777", b"L"), "a header is larger than any real one"),
        "a long name below zero": (with_size(MINUS_ONE_BLOCK, b"L"), "a header is larger|damaged"),
        "a comment of gigabytes": (with_size(b"77777777777", b"x"), "a header is larger than any real one"),
        "no tar file": (b"<html>not found</html>" * 100, "not a plain tar file"),
        "an empty file": (b"", "not a plain tar file"),
        "rubbish in the middle": (
            entry("a.jpg")[0].tobuf() + b"rubbish" * 200,
            "no header where one should be, at byte 512",
        ),
        "cut in a header": (entry("a.jpg")[0].tobuf() * 2 + b"x" * 100, "no header where one should be|twice"),
        "long names without an end": (
            b"".join(entry("n", b"y", type=b"L")[0].tobuf() + b"y".ljust(512, b"\0") for _ in range(3000)),
            "not a plain tar file, or damaged",
        ),
        "a name that is not UTF-8": (entry("a\udcff.jpg")[0].tobuf(errors="surrogateescape"), "a name is not UTF-8"),
        "joined shards": (entry("a.jpg")[0].tobuf() + bytes(2**20 + 2048), "bytes behind its end"),
    }.values(),
)
def test_a_damaged_or_hostile_shard_is_one_line(tmp_path, content, said):
    (tmp_path / "s.tar").write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        shards.members(tmp_path / "s.tar")
    assert str(tmp_path / "s.tar") in str(caught.value)


def test_a_shard_that_was_cut_anywhere_is_refused_or_whole(tmp_path):
    """Cut at a block's end between two members, nothing tells a shard that was cut from one that ends there."""
    file = write(tmp_path / "s.tar", entry("a.jpg", b"x" * 700), entry("b.jpg", b"y" * 100))
    content = file.read_bytes()
    for length in range(1, 2560, 97):
        (tmp_path / "cut.tar").write_bytes(content[:length])
        with pytest.raises(UserError):
            shards.members(tmp_path / "cut.tar")
    (tmp_path / "cut.tar").write_bytes(content[:1536])
    assert list(shards.members(tmp_path / "cut.tar")) == ["a.jpg"]


def test_sparse_files_are_refused(tmp_path):
    info, content = entry("a.jpg", b"x" * 100)
    info.pax_headers = {"GNU.sparse.map": "0,100", "GNU.sparse.size": "99999999"}
    file = write(tmp_path / "s.tar", (info, content))
    with pytest.raises(UserError, match="not a plain file"):
        shards.members(file)
