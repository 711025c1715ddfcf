"""What goes to a card's machine and comes back, and what the parts of ``on_a_card.sh`` make of what they measure."""

import os
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from card import photographs, pieces, sensors, setting  # noqa: E402
from card.ledger import Ledger, LeftOut  # noqa: E402


def setting_of(tmp_path) -> setting.Setting:
    return setting.Setting("cpu", True, tmp_path, Ledger(tmp_path / "figures.jsonl"))


# What is brought, and what comes back


def wheel(folder: Path, name: str, needs: tuple[str, ...] = (), filling: int = 0) -> Path:
    file = folder / f"{name}-1.0-py3-none-any.whl"
    about = "".join([f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", *(f"Requires-Dist: {n}\n" for n in needs)])
    with zipfile.ZipFile(file, "w") as content:
        content.writestr(f"{name}/__init__.py", "here = True\n")
        content.writestr(f"{name}/filling", os.urandom(filling))
        content.writestr(f"{name}-1.0.dist-info/METADATA", about)
        content.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return file


def test_wheels_are_cut_joined_and_installed_without_a_network(tmp_path, monkeypatch):
    whole = [wheel(tmp_path, "tomli_w"), wheel(tmp_path, "brought_large", filling=3 << 20)]
    folders = pieces.cut(whole, tmp_path / ".wheels", folder_mib=2, piece_mib=1)
    assert [folder.name for folder in folders] == ["1", "2"]
    assert all(sum(file.stat().st_size for file in folder.glob("*.part*")) <= 2 << 20 for folder in folders)
    assert pieces.brought(tmp_path / ".wheels") == {"tomli_w"}
    assert pieces.described(tmp_path / ".wheels") == "2 in .wheels, 3 MiB, without DALI"
    given = setting_of(tmp_path)
    given.root = tmp_path
    monkeypatch.setattr(pieces, "BROUGHT", {"brought_large": "brought_large", "no_such_module": "nothing"})
    monkeypatch.setattr(sys, "path", list(sys.path))
    pieces.measure(given)
    import brought_large

    assert brought_large.here
    assert [(line["event"], line["what"]) for line in given.ledger.lines()] == [
        ("figure", "brought_large can be found"),
        ("left out", "no_such_module"),
    ]


def test_a_piece_that_is_missing_or_damaged_is_named(tmp_path):
    cut = tmp_path / "cut"
    pieces.cut([wheel(tmp_path, "large", filling=3 << 20)], cut, folder_mib=1, piece_mib=1)
    last = max(cut.rglob("*.part*"), key=lambda piece: piece.name)
    content = last.read_bytes()
    last.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(ValueError, match=r"large-1\.0-py3-none-any\.whl is not what was cut"):
        pieces.join(cut, tmp_path)
    (cut / "2" / "large-1.0-py3-none-any.whl.part001").unlink()
    with pytest.raises(FileNotFoundError, match=r"pieces of large.* are missing"):
        pieces.join(cut, tmp_path)


def test_what_a_wheel_wants_is_brought_in_the_version_that_it_names(tmp_path):
    needs = ("pydantic-core==2.50.4", "annotated-types", "nvidia-nvimgcodec-cu13[all] <0.10,>=0.9", "six; extra == 'x'")
    assert pieces.followers(wheel(tmp_path, "x", needs)) == [
        "pydantic-core==2.50.4",
        "nvidia-nvimgcodec-cu13<0.10,>=0.9",
    ]


def test_few_photographs_have_many_names(tmp_path):
    source, brought = tmp_path / "source", tmp_path / "brought"
    source.mkdir()
    for number in range(10):
        (source / f"{number}.JPG").write_bytes(bytes([number]) * 1000)
    (source / "notes.txt").touch()
    photographs.bring(source, brought, most_mib=4500 / 2**20)
    assert [file.read_bytes()[0] for file in photographs.found(brought)] == [0, 4, 8, 1]  # from all over the folder
    names, what = photographs.linked(brought, tmp_path / "links", 11)
    assert what == "4 photographs"
    assert [name.read_bytes()[0] for name in names] == [0, 4, 8, 1, 0, 4, 8, 1, 0, 4, 8]
    with pytest.raises(FileNotFoundError, match="no photographs"):
        photographs.bring(tmp_path / "links" / "none", brought)


def test_what_is_too_large_to_come_back_is_shortened_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(setting, "LARGEST_FILE", 100)
    (tmp_path / "log.txt").write_bytes(b"a" * 100 + b"end")
    (tmp_path / "trace.json.gz").write_bytes(b"a" * 101)
    assert len(setting.keep_within(tmp_path)) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["log.txt"]
    assert (tmp_path / "log.txt").read_bytes() == b"a" * 47 + b"end"
    for number in range(8):
        (tmp_path / f"{number}").touch()
    assert "9 files, more than 8" in setting.keep_within(tmp_path)[0]


def test_what_nvidia_smi_prints_is_read():
    text = "# gpu     sm    mem    jpg    ofa\n# Idx      %      %      %      %\n    0     90     40     10      -\n"
    assert sensors.columns(text + "    0     70     50     30      -\n") == {"sm": 80, "mem": 45, "jpg": 20}
    assert sensors.columns("NVIDIA-SMI has failed") == {}


# Parts


def event(category, name, begin, lasts, stream=7):
    return {"cat": category, "name": name, "ts": begin, "dur": lasts, "tid": stream, "args": {"stream": stream}}


def test_a_profile_says_when_the_card_was_idle_and_what_the_host_did_then():
    from card import trace

    events = [
        event("user_annotation", trace.MARK, 1000, 1000),
        event("gpu_user_annotation", trace.MARK, 1000, 1000),  # the mark again, on the card's own line
        event("kernel", "before", 500, 100),
        event("kernel", "gemm", 1050, 350),
        event("kernel", "gemm", 1300, 200, stream=13),  # beside the first for 100
        event("gpu_memcpy", "copy", 1900, 300),  # ends behind the pass
        event("cpu_op", "aten::nonzero", 1500, 400),
        event("cuda_runtime", "cudaStreamSynchronize", 1600, 200),  # the innermost at the middle of the gap
    ]
    found = trace.read_trace(events)
    assert found["seconds"] == pytest.approx(1e-3)
    assert found["busy"] == pytest.approx(0.55)
    assert found["busy_by_stream"] == {"7": pytest.approx(0.45), "13": pytest.approx(0.2)}
    assert found["kernels"][0] == {"name": "gemm", "seconds": pytest.approx(5.5e-4), "calls": 2}
    assert found["gaps"] == {"count": 1, "share": pytest.approx(0.4)}  # that of 50 microseconds does not count
    assert found["host_in_gaps"] == {"cudaStreamSynchronize": pytest.approx(0.4)}
    assert trace.read_trace(events[:1])["busy"] is None
    with pytest.raises(ValueError, match="0 marks"):
        trace.read_trace(events[1:])


def test_without_dali_a_pass_says_that_it_decodes_nothing_or_by_pillow(tmp_path, monkeypatch):
    from card import ways

    monkeypatch.setattr(ways, "installed_backends", lambda: ["pillow"])
    views = [way.views for way in ways.ways(setting_of(tmp_path))]
    assert views == ["drawn"] * (len(views) - 1) + ["pillow"]
    assert "no decoding" in ways.SAYS["drawn"]
    assert "nothing of a card" in ways.SAYS["pillow"]


def test_drawn_views_are_cut_from_the_picture_of_their_row(monkeypatch):
    from card import drawn_views

    monkeypatch.setattr(drawn_views, "PICTURES", 2)
    backend = drawn_views.DrawnViews("cpu")
    drawn = backend.decode([], np.array([4, 7]))
    width, height = drawn_views.WIDTH, drawn_views.HEIGHT
    whole = backend.whole(drawn, 64, "bilinear")
    boxes = np.array([[0, 0, width, height // 2], [0, height // 2, width, height]])
    halves = backend.crop(drawn, np.array([1, 1]), boxes, 64, "bicubic")
    assert whole.shape == (2, 64, 64, 3)
    assert whole.dtype == torch.uint8
    assert not torch.equal(whole[0], whole[1])
    together = halves.float().unflatten(1, (32, 2)).mean(dim=2).flatten(0, 1)
    assert (together - whole[1].float()).abs().mean() < 1


def test_a_switch_is_set_and_set_back_or_says_that_it_is_not_there(monkeypatch):
    from card import switches

    from ccd_fast.student import Reading

    usual = Reading(SimpleNamespace(device=torch.device("cpu")))
    before = usual.batch_size
    with switches.load_batch(7):
        assert usual.batch_size == 7
    assert usual.batch_size == before != 7
    with pytest.raises(LeftOut, match="a card's"), switches.priorities(True, "cpu"):
        pass
    monkeypatch.setattr(switches.device_streams, "stream_for", lambda work, device: SimpleNamespace(priority=-1))
    with pytest.raises(LeftOut, match="does not heed"), switches.priorities(False, "cuda"):
        pass
    with pytest.raises(LeftOut, match="without being told"), switches.priorities(True, "cuda"):
        pass
    heeds = {None: -1, "0": 0, "1": -1}
    stream = lambda work, device: SimpleNamespace(priority=heeds[os.environ.get(switches.PRIORITY)])  # noqa: E731
    monkeypatch.setattr(switches.device_streams, "stream_for", stream)
    with switches.priorities(False, "cuda"):
        assert os.environ[switches.PRIORITY] == "0"
    assert switches.PRIORITY not in os.environ
    monkeypatch.delattr(Reading, "batch_size")
    with pytest.raises(LeftOut, match="has no Reading"), switches.load_batch(7):
        pass


def test_the_drift_of_a_table():
    from card import demo_drift

    theirs = np.array([[0.0, 0.5], [0.2, 0.1]], dtype=np.float32)
    ours = np.array([[0.0, 0.5], [0.1, 0.2]], dtype=np.float32)
    found = demo_drift.drift(ours, theirs)
    assert found == {"mean": pytest.approx(0.05), "most": pytest.approx(0.1), "far": 0.5, "other_class": 0.5}
    assert demo_drift.drift(theirs, theirs) == {"mean": 0, "most": 0, "far": 0, "other_class": 0}


def test_the_files_with_a_test_for_a_gpu_are_run_the_most_telling_first():
    from card import gpu_tests

    names = [file.stem for file in gpu_tests.files()]
    assert names[0] == "test_views_gpu"
    assert names[-1] == "test_runtimes_gpu"
    assert {"test_pass_gpu", "test_nccl", "test_kernels_gpu", "test_device_streams"} <= set(names)
