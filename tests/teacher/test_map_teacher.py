"""The teacher that looks once: its two halves are compared with PyTorch before anything relies on them."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from ccd_fast.engines import EngineSettings, Store, onnx_export
from ccd_fast.errors import RunError
from ccd_fast.teacher import clip as teacher
from ccd_fast.teacher.checked_engines import kept_parity
from ccd_fast.teacher.maps import CHECKED, CHECKED_BOXES, MapTeacher
from ccd_fast.teacher.vocabulary import Vocabulary
from tests.engines.random_towers import pictures


@pytest.fixture
def judge(tiny_clip, tmp_path):
    clip = teacher.load_clip(str(tiny_clip))
    classes = normalize(torch.randn((3, 32), generator=torch.manual_seed(0)), dim=1)
    settings = EngineSettings("torch", batch_size=4, threads=1)
    return MapTeacher(clip, clip.tower.image_size, settings, Store(tmp_path), Vocabulary(classes))


def views(count):
    return pictures(count, 64)


def test_both_halves_are_compared_once_and_wrong_ones_are_removed(judge, tmp_path, monkeypatch):
    store, facts = Store(tmp_path), onnx_export.identity(judge.tower.looks)
    keys = [store.get({**facts, **more}, lambda folder: None).name for more in ({}, {"gives": "boxes"})]
    judge._settings = replace(judge._settings, runtime="onnxruntime")  # as if they had been exported
    judge._boxes.key = keys[1]
    first = judge.parity(views, store)
    assert first.images == CHECKED * len(CHECKED_BOXES)
    assert 0.9999 < first.cosine_min < 1, "maps are kept in half precision"
    assert judge.parity(lambda count: pytest.fail("asked again"), store) == first
    assert kept_parity(store, keys[0]) == {"onnxruntime cpu": first}
    store.note(keys[0], parity={})
    embed = judge._boxes.embed
    monkeypatch.setattr(judge._boxes, "embed", lambda maps, boxes: embed(maps.flip(0), boxes))
    with pytest.raises(RunError, match=r"^maps of .*, fp32 by onnxruntime: the smallest cosine is .*removed from the"):
        judge.parity(views, store)
    assert store.keys() == []


def test_the_reference_itself_is_not_compared(judge, tmp_path):
    assert judge.parity(lambda count: pytest.fail("asked"), Store(tmp_path)) is None
