"""Where weights are; nothing is downloaded (the tests run with the hub offline)."""

import huggingface_hub
import open_clip
import pytest

from ccd_fast.errors import UserError
from ccd_fast.studies import weights


@pytest.fixture
def hub(monkeypatch):
    """A cache of the hub with some files in it."""
    cached = {}
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda repository, file: cached.get((repository, file))
    )
    return cached


def test_the_paper_s_teacher_is_looked_for_where_open_clip_would(hub):
    found = weights.of_teacher("RN50x64-quickgelu/openai")
    assert found.file is None
    assert "not on this machine, would be downloaded from huggingface.co/timm/resnet50x64_clip.openai" in found.says()
    hub["timm/resnet50x64_clip.openai", "open_clip_model.safetensors"] = "/cache/blob"
    assert "at hand, /cache/blob" in weights.of_teacher("RN50x64-quickgelu/openai").says()


def test_a_file_that_the_hub_is_known_not_to_have_is_not_at_hand(hub):
    hub["timm/resnet50x64_clip.openai", "open_clip_model.safetensors"] = object()  # as the hub's cache marks it
    assert weights.of_teacher("RN50x64-quickgelu/openai").file is None
    hub["timm/resnet50x64_clip.openai", "open_clip_pytorch_model.bin"] = "/cache/other"
    assert weights.of_teacher("RN50x64-quickgelu/openai").file.name == "other"


def test_a_teacher_without_a_hub_is_looked_for_in_open_clip_s_own_cache(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(
        open_clip, "get_pretrained_cfg", lambda *_: {"url": "https://x.org/1/RN50.pt", "quick_gelu": True}
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.of_teacher("RN50-quickgelu/openai").source == "https://x.org/1/RN50.pt"
    assert weights.of_teacher("RN50-quickgelu/openai").file is None
    (tmp_path / ".cache/clip").mkdir(parents=True)
    (tmp_path / ".cache/clip/RN50.pt").write_bytes(b"")
    assert weights.of_teacher("RN50-quickgelu/openai").file == tmp_path / ".cache/clip/RN50.pt"


def test_a_folder_and_drawn_weights_need_no_download(tiny_clip):
    assert weights.of_teacher(str(tiny_clip)).file == tiny_clip / "open_clip_model.safetensors"
    assert weights.of_teacher("RN50/random").says() == "RN50/random (drawn)"
    assert weights.of_teacher("hf-hub:org/name").source == "huggingface.co/org/name"
    with pytest.raises(UserError, match="RN50x64-quickgelu"):
        weights.of_teacher("RN50x64/openai")


def test_the_student_s_weights_are_timm_s_a_file_or_none(hub, tmp_path):
    assert (
        "would be downloaded from huggingface.co/timm/resnet101" in weights.of_student("resnet101", "imagenet").says()
    )
    hub["timm/resnet101.a1h_in1k", "model.safetensors"] = "/cache/r101"
    assert str(weights.of_student("resnet101", "imagenet").file) == "/cache/r101"
    assert weights.of_student("resnet101", "none").says() == "resnet101, from scratch"
    (tmp_path / "w.safetensors").write_bytes(b"")
    assert weights.of_student("resnet101", str(tmp_path / "w.safetensors")).file == tmp_path / "w.safetensors"
    with pytest.raises(UserError, match="no such file"):
        weights.of_student("resnet101", str(tmp_path / "gone"))
    with pytest.raises(UserError, match="timm has no ImageNet weights"):
        weights.of_student("no_such_net", "imagenet")
