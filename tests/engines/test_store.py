import dataclasses

import pytest
import torch
from torch import nn

from ccd_fast.engines import ImageTower, Store, build, onnx_export
from ccd_fast.engines.store import key_of


def tower(**changes) -> ImageTower:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plain = ImageTower("tiny", module, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")
    return dataclasses.replace(plain, **changes)


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


def test_another_exporter_changes_the_key(monkeypatch):
    before = onnx_export.key(tower())
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert onnx_export.key(tower()) != before


def test_an_engine_is_built_once(tmp_path):
    store = Store(tmp_path)
    folder, fresh = build(tower(), store)
    assert fresh
    assert (folder / onnx_export.FILE).is_file()
    assert store.manifest(folder.name)["image_size"] == 16
    assert build(tower(), store) == (folder, False)
    assert build(tower(), store, force=True) == (folder, True)
    assert store.keys() == [folder.name]


def test_a_build_that_fails_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path)

    def fail(folder):
        (folder / "half").write_text("written")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.add("key", {}, fail)
    assert not store.has("key")
    assert list(store.folder.iterdir()) == []


def test_who_comes_second_uses_what_the_first_built(tmp_path):
    store = Store(tmp_path)

    def write(folder):
        Store(tmp_path).add("key", {"by": "first"}, lambda inner: (inner / "file").write_text("first"))
        (folder / "file").write_text("second")

    store.add("key", {"by": "second"}, write)
    assert store.manifest("key") == {"by": "first"}


def test_keys_do_not_depend_on_the_order_of_entries():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
