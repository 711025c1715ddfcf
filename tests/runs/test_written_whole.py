"""What commands write is whole or not there, and nothing that somebody else wrote is lost."""

import errno
import os
import threading

import pytest
import torch

from ccd_fast.errors import RunError, UserError
from ccd_fast.runs.folder import RunFolder, cannot_be_written
from ccd_fast.runs.free import refuse_no_study
from ccd_fast.runs.writing import refuse_existing, refuse_foreign_folder, write_whole


def test_a_full_disk_leaves_what_was_there_and_nothing_half_written(tmp_path, monkeypatch):
    file = tmp_path / "labels.csv"
    write_whole(file, b"before")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"labels\.csv: cannot be written: No space left on device \(2 MiB are needed\)"):
        write_whole(file, b"x" * 2**21)
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_two_that_write_the_same_file_do_not_meet(tmp_path, monkeypatch):
    file, second = tmp_path / "labels.csv", threading.Thread(target=write_whole, args=(tmp_path / "labels.csv", b"b"))
    seen = []

    def as_it_is_flushed(_handle):
        if not seen:
            seen.append("first")
            second.start()
            second.join(0.3)  # it waits: what the first has written is still there
            seen.append((tmp_path / ".labels.csv.tmp").read_bytes())

    monkeypatch.setattr(os, "fsync", as_it_is_flushed)
    write_whole(file, b"a" * 100)
    second.join()
    assert seen[1] == b"a" * 100
    assert file.read_bytes() == b"b" and list(tmp_path.iterdir()) == [file]


def test_files_beside_the_one_that_was_asked_for_are_not_overwritten_either(tmp_path):
    (tmp_path / "tasks.xml").write_text("somebody's")
    files = [tmp_path / "tasks.json", tmp_path / "tasks.xml"]
    with pytest.raises(UserError, match=r"--out .*tasks\.xml: already exists; replace it with --overwrite"):
        refuse_existing("--out", files, overwrite=False)
    refuse_existing("--out", files, overwrite=True)
    with pytest.raises(UserError, match="no such folder"):
        refuse_existing("--out", [tmp_path / "gone" / "a.csv"], overwrite=False)
    with pytest.raises(UserError, match="a folder, where a file is to be written"):
        refuse_existing("--out", [tmp_path], overwrite=True)


def test_a_run_on_a_full_disk_says_the_file_the_need_and_the_mend(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = RunFolder(tmp_path / "run")
    folder.create(overwrite=False)
    monkeypatch.setattr(os, "fsync", full)
    said = r"state\.pt: cannot be written: No space left on device \(2 MiB are needed, .* are free\): make room"
    with pytest.raises(RunError, match=said):
        folder.save_state({"labels": {"table": torch.zeros(2**19)}})
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_what_a_library_says_of_a_disk_without_room_is_said_in_words(tmp_path):
    said = r"state\.pt: cannot be written: the disk is full \(.* MiB are needed, .* are free\): make room"
    odd = RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 1466880 vs 1466776")
    with pytest.raises(RunError, match=said):
        raise cannot_be_written(tmp_path / "state.pt", odd, 2**60)
    with pytest.raises(RunError, match=r"cannot be written: \[enforce fail .* 1466776; what was there before is kept"):
        raise cannot_be_written(tmp_path / "state.pt", odd, 1)


def test_a_folder_that_holds_something_else_is_not_written_into(tmp_path):
    refuse_foreign_folder("--overlays", tmp_path, overwrite=False)
    refuse_foreign_folder("--overlays", tmp_path / "new", overwrite=False)
    refuse_no_study(tmp_path)
    (tmp_path / "compare.md").write_text("somebody's")
    with pytest.raises(UserError, match=r"--overlays .*: already holds something; .*--overwrite"):
        refuse_foreign_folder("--overlays", tmp_path, overwrite=False)
    refuse_foreign_folder("--overlays", tmp_path, overwrite=True)
    with pytest.raises(UserError, match="a file, where a folder is to be made"):
        refuse_foreign_folder("--overlays", tmp_path / "compare.md", overwrite=True)
    with pytest.raises(UserError, match="already exists, and holds no tables of ccd-fast"):
        refuse_no_study(tmp_path)
    (tmp_path / "runs").mkdir()  # as an interrupted study leaves it
    refuse_no_study(tmp_path)
