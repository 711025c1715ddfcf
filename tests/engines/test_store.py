"""The store: an engine is what its key says, whole, the user's own, and built once."""

import dataclasses
import errno
import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from ccd_fast.engines import EngineSettings, ImageTower, Store, build, onnx_export, tensorrt_runtime
from ccd_fast.engines import cache as cache_module
from ccd_fast.engines.store import MANIFEST, key_of
from ccd_fast.errors import RunError, UserError

IDENTITY = {"weights": "abc", "runtime": {"module": "tensorrt", "version": "10.12"}, "batch_size": 8}
ONNX = EngineSettings("onnxruntime")


def tower(**changes) -> ImageTower:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plain = ImageTower("tiny", module, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")
    return dataclasses.replace(plain, **changes)


def write(folder: Path) -> None:
    (folder / "engine").write_text("built")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"image_size": 32},
        {"mean": (0.4, 0.5, 0.5)},
        {"std": (0.4, 0.5, 0.5)},
        {"interpolation": "bilinear"},
    ],
)
def test_whatever_the_engine_depends_on_changes_its_key(change):
    assert onnx_export.key(tower(**change)) != onnx_export.key(tower())


def test_a_changed_weight_changes_the_key():
    changed = tower()
    changed.module[0].bias.data[2] += 1e-6
    assert onnx_export.key(changed) != onnx_export.key(tower())


def test_another_precision_changes_the_key():
    assert len({onnx_export.key(tower(), p) for p in ("fp32", "fp16", "bf16")}) == 3


def test_another_exporter_changes_the_key(monkeypatch):
    before = onnx_export.key(tower())
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert onnx_export.key(tower()) != before


def test_gpu_version_and_batch_size_change_the_key_of_a_plan(monkeypatch):
    class Module:
        __version__ = "10.12"

    monkeypatch.setattr(tensorrt_runtime, "module_name", lambda: "tensorrt")
    monkeypatch.setattr(tensorrt_runtime, "_module", lambda name: Module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card A")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))

    def key(batch_size=8):
        return key_of(tensorrt_runtime.identity(tower(), EngineSettings("tensorrt", "fp16", batch_size, "cuda")))

    keys = {key(), key(16)}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card B")
    keys.add(key())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (12, 0))
    keys.add(key())
    Module.__version__ = "11.0"
    keys.add(key())
    assert len(keys) == 5


def test_an_engine_is_built_once(tmp_path):
    store = Store(tmp_path)
    file, fresh = build(tower(), ONNX, store)
    assert fresh
    assert file.name == onnx_export.FILE
    assert store.manifest(file.parent.name)["identity"]["image_size"] == 16
    assert build(tower(), ONNX, store) == (file, False)
    assert build(tower(), ONNX, store, force=True) == (file, True)
    assert store.keys() == [file.parent.name]


def test_a_build_that_fails_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path)

    def fail(folder):
        (folder / "half").write_text("written")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.get(IDENTITY, fail)
    assert not store.has(key_of(IDENTITY))
    assert [path.name for path in store.folder.iterdir()] == [".locks"]
    assert store.get(IDENTITY, write).is_dir()


ALTERED = [
    ("weights", "abd", r"weights abd, not abc"),
    ("runtime", {"module": "tensorrt", "version": "10.13"}, r"runtime\.version 10\.13, not 10\.12"),
    ("batch_size", 16, "batch_size 16, not 8"),
    ("target", {"gpu": "Card B"}, r"target\.gpu Card B, not nothing"),
]


@pytest.mark.parametrize(("field", "value", "message"), ALTERED, ids=[field for field, _, _ in ALTERED])
def test_an_engine_that_was_built_for_something_else_is_never_loaded(tmp_path, field, value, message):
    store = Store(tmp_path)
    folder = store.get(IDENTITY, write)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["identity"][field] = value
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message + rf": remove it with `ccd-fast build-engines --remove {folder.name}`"):
        store.get(IDENTITY, write)


def test_an_engine_that_was_cut_short_is_refused_and_named(tmp_path):
    store = Store(tmp_path)
    folder = store.get(IDENTITY, write)
    assert store.damaged() == []
    (folder / "engine").write_text("bui")
    with pytest.raises(UserError, match="engine is missing or cut short"):
        store.get(IDENTITY, write)
    assert store.damaged() == [folder.name]
    (folder / "engine").unlink()
    with pytest.raises(UserError, match="engine is missing or cut short"):
        store.get(IDENTITY, write)
    assert "missing or cut short" in store.problem(folder.name)


def test_an_engine_whose_bytes_have_changed_is_refused(tmp_path):
    store = Store(tmp_path)
    folder = store.get(IDENTITY, write)
    (folder / "engine").write_text("bui1t")
    with pytest.raises(UserError, match="engine has changed since it was built: remove it with"):
        store.get(IDENTITY, write)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_manifest_is_refused_and_named(tmp_path, content):
    store = Store(tmp_path)
    other = store.get({"weights": "other"}, write).name
    folder = store.get(IDENTITY, write)
    assert store.damaged() == []
    (folder / MANIFEST).write_text(content)
    with pytest.raises(UserError, match="damaged"):
        store.get(IDENTITY, write)
    assert store.damaged() == [folder.name]
    assert store.keys() == sorted([folder.name, other])


def test_what_a_killed_removal_left_is_built_anew(tmp_path):
    store = Store(tmp_path)
    folder = store.get(IDENTITY, write)
    (folder / MANIFEST).unlink()
    assert not store.has(folder.name)
    assert (store.get(IDENTITY, write) / "engine").read_text() == "built"


def test_facts_can_be_added_and_are_kept(tmp_path):
    store = Store(tmp_path)
    key = store.get(IDENTITY, write).name
    store.note(key, parity={"cosine_min": 1.0})
    assert store.manifest(key)["parity"] == {"cosine_min": 1.0}
    assert store.get(IDENTITY, lambda folder: pytest.fail("built again")).name == key


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners on this platform")
def test_a_store_that_others_can_write_to_is_not_trusted(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.get(IDENTITY, write)
    store.folder.chmod(0o777)
    with pytest.raises(UserError, match="everyone can write to it"):
        store.get(IDENTITY, write)
    store.folder.chmod(0o755)
    store.path(key_of(IDENTITY)).chmod(0o777)
    with pytest.raises(UserError, match=f"{key_of(IDENTITY)}: everyone can write to it"):
        store.get(IDENTITY, write)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(UserError, match="belongs to another user"):
        store.get(IDENTITY, write)


def _slow_build(cache: Path, log: Path) -> None:
    def slow(folder: Path) -> None:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        write(folder)

    Store(cache).get(IDENTITY, slow)


def test_two_processes_that_build_at_once_give_one_engine(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_slow_build, args=(tmp_path, tmp_path / "log")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert Store(tmp_path).keys() == [key_of(IDENTITY)]


def test_keys_do_not_depend_on_the_order_of_entries():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})


@pytest.fixture
def nothing_said(monkeypatch):
    """A process that has not said yet that a cache cannot be written to."""
    monkeypatch.setattr(cache_module, "_told", [])


def test_a_cache_that_cannot_be_written_to_is_worked_without_and_that_is_said_once(tmp_path, capsys, nothing_said):
    (tmp_path / "cache").write_text("a file, where a folder would have to be made")
    for identity in (IDENTITY, {**IDENTITY, "batch_size": 9}):
        store = Store(tmp_path / "cache" / "mine")
        assert (store.get(identity, write) / "engine").read_text() == "built"
        assert Store(tmp_path / "cache" / "mine").has(key_of(identity))  # as long as the process lives
    said = capsys.readouterr().err
    assert said.count("the cache cannot be written to") == 1
    assert "set CCD_CACHE to a folder of yours" in said


def test_what_cannot_be_noted_of_an_engine_is_done_without(tmp_path, capsys, monkeypatch, nothing_said):
    store = Store(tmp_path)
    store.get(IDENTITY, write)

    def refuses(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_text", refuses)
    store.note(key_of(IDENTITY), parity={"cosine": 1})
    assert "parity" not in store.manifest(key_of(IDENTITY))
    assert "Read-only file system" in capsys.readouterr().err


def test_a_full_disk_is_one_line_with_the_folder_the_need_and_what_to_set(tmp_path):
    def fills(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(RunError, match=r"the disk is full: an engine needs about 5 MiB, and \d+ are free; .*CCD_CACHE"):
        Store(tmp_path).get(IDENTITY, fills, lambda: 5 * 2**20)
    assert [path.name for path in (tmp_path / "engines").iterdir()] == [".locks"]


def test_who_waits_for_an_engine_says_for_whom(tmp_path, capsys):
    lock = tmp_path / "key"
    with cache_module.held(lock, "engine key"):
        waiting = threading.Thread(target=_wait, args=(lock,))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(5)
    assert f"engine key: process {os.getpid()} on" in capsys.readouterr().err


def _wait(lock: Path) -> None:
    with cache_module.held(lock, "engine key"):
        pass
