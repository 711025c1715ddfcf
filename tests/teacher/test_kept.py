"""What is kept of a teacher: right, of these very files, and only what was asked for."""

import json
import shutil

import pytest
import torch

from ccd_fast.engines.map_towers import map_tower
from ccd_fast.errors import RunError
from ccd_fast.teacher import clip as clips
from ccd_fast.teacher import kept

NAMES, TEMPLATES = ["cat", "dog | puppy"], ["a photo of the {}", "a {}"]


@pytest.fixture
def own(tiny_clip, tmp_path, monkeypatch):
    """A teacher, and a cache of its own in which it is kept."""
    monkeypatch.setenv("CCD_CACHE", str(tmp_path / "cache"))
    folder = shutil.copytree(tiny_clip, tmp_path / "clip")
    clip = kept.load_clip(str(folder))
    return folder, clip, kept.class_embeddings(clip, NAMES, TEMPLATES)


def refuse_to_load(*arguments, **options):
    raise AssertionError("it was loaded")


def test_facts_and_embeddings_are_those_of_the_whole_clip_and_need_none_of_it(own, monkeypatch):
    folder, clip, embeddings = own
    with monkeypatch.context() as patched:
        patched.setattr(clips, "load_clip", refuse_to_load)
        again = kept.load_clip(str(folder))
        assert again.tower.identity() == clip.tower.identity()
        assert (again.scale, again.tower.image_size) == (clip.scale, clip.tower.image_size)
        assert torch.equal(kept.class_embeddings(again, NAMES, TEMPLATES), embeddings)
    pixels = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again.tower.module(pixels), clip.tower.module(pixels))  # what is asked for is loaded


@pytest.mark.parametrize("change", ["names", "templates", "weights", "damaged"])
def test_other_prompts_other_weights_and_a_damaged_file_are_computed_anew(own, monkeypatch, change):
    folder, clip, embeddings = own
    names, templates = NAMES, TEMPLATES
    if change == "names":
        names = ["cat", "puppy | dog"]
    elif change == "templates":
        templates = [*TEMPLATES, "the {}"]
    elif change == "weights":
        file = folder / "open_clip_model.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    else:
        [file] = kept._root().glob("*/classes.safetensors")
        content = bytearray(file.read_bytes())
        content[-2] ^= 4
        file.write_bytes(content)
    asked = []
    monkeypatch.setattr(clips, "class_embeddings", lambda *given: asked.append(given) or embeddings)
    kept.class_embeddings(clip, names, templates)
    assert len(asked) == 1


def test_facts_of_another_clip_are_found_out_before_they_do_harm(own):
    folder, _, _ = own
    [file] = kept._root().glob("*/teacher.json")
    facts = json.loads(file.read_text())
    file.write_text(json.dumps({**facts, "weights_hash": "0" * 64}))
    with pytest.raises(RunError, match="what is kept of it is of other weights; remove "):
        kept.load_clip(str(folder)).tower.module  # noqa: B018
    file.write_text("{")
    assert not isinstance(kept.load_clip(str(folder)), kept.LateClip)


def test_a_kept_teacher_can_be_split_into_a_look_and_boxes(own):
    folder, clip, _ = own
    looks = map_tower(kept.load_clip(str(folder)).tower, 64).looks
    assert looks.identity() == map_tower(clip.tower, 64).looks.identity()
