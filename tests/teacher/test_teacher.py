import json
import logging
import math
import shutil
from pathlib import Path

import pytest
import torch
from pretend_card import CARD, pretend_card

from ccd_fast import engines
from ccd_fast.engines import Store
from ccd_fast.errors import UserError
from ccd_fast.teacher import clip as teacher
from ccd_fast.teacher import names as teachers
from ccd_fast.teacher import twins


def test_similarities_are_the_scaled_cosines_that_open_clip_computes(tiny_clip, cache):
    clip = teacher.load_clip(str(tiny_clip))
    embeddings = teacher.class_embeddings(clip, ["cat", "dog"], ["a photo of the {}"])
    engine = engines.open_engine(clip.tower, engines.EngineSettings("torch", batch_size=4, threads=2), Store(cache))
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (clip.tower.mean, clip.tower.std))
    images, texts = (
        (pixels.permute(0, 3, 1, 2) / 255 - mean) / std,
        clip.tokenize(["a photo of the cat", "a photo of the dog"]),
    )
    with torch.inference_mode():
        expected, _ = clip.model.get_logits(images, texts)
    ours = teacher.Teacher(clip, engine, teacher.Vocabulary(embeddings)).similarities(pixels)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    softer = teacher.Teacher(clip, engine, teacher.Vocabulary(embeddings), temperature=2.5).similarities(pixels)
    torch.testing.assert_close(softer, expected / 2.5, rtol=1e-4, atol=1e-4)


def test_an_engine_is_found_again_however_the_teachers_path_is_written(tiny_clip, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tiny_clip)
    key = teacher.load_clip(str(tiny_clip)).tower.identity()
    monkeypatch.chdir(tiny_clip.parent)
    for spelling in (tiny_clip.name, f"./{tiny_clip.name}/", str(tmp_path / "link")):
        assert teacher.load_clip(spelling).tower.identity() == key
    other = Path(shutil.copytree(tiny_clip, tmp_path / tiny_clip.name))
    config = json.loads((other / "open_clip_config.json").read_text())
    config["model_cfg"]["quick_gelu"] = True  # the same weights in another structure
    (other / "open_clip_config.json").write_text(json.dumps(config))
    assert teacher.load_clip(str(other)).tower.identity() != key


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone():
    state = torch.random.get_rng_state()
    first, second = (teacher.load_clip("ViT-S-32-alt/random").tower.weights_hash for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)


def test_templates_are_averaged_and_made_unit_again(tiny_clip):
    clip = teacher.load_clip(str(tiny_clip))
    templates = ["a photo of the {}", "a drawing of a {}"]
    each = torch.stack([teacher.class_embeddings(clip, ["cat", "dog"], [t]) for t in templates]).mean(dim=0)
    expected = each / each.norm(dim=1, keepdim=True)
    torch.testing.assert_close(teacher.class_embeddings(clip, ["cat", "dog"], templates), expected)


def test_texts_are_embedded_on_the_card_in_batches_and_the_model_stays_on_the_host(tiny_clip, monkeypatch):
    clip = teacher.load_clip(str(tiny_clip))
    names, templates = ["cat", "dog | puppy", "boat"], ["a photo of the {}", "a drawing of a {}"]
    expected, seen = teacher.class_embeddings(clip, names, templates), []
    plain = type(clip.model).encode_text

    def watched(self, tokens, *rest):
        seen.append((tokens.device, len(tokens), {p.dtype for p in self.parameters()}, hasattr(self.visual, "conv1")))
        return plain(self, tokens, *rest)

    monkeypatch.setattr(type(clip.model), "encode_text", watched)
    monkeypatch.setattr(teacher, "TEXTS", 5)
    with pretend_card():
        ours = teacher.class_embeddings(clip, names, templates, "cuda")
    assert type(ours) is torch.Tensor
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)
    assert seen == [(CARD, count, {torch.float32}, False) for count in (5, 3)]
    assert {type(p) for p in clip.model.parameters()} == {torch.nn.Parameter}
    assert all(p.device.type == "cpu" for p in clip.model.parameters())


def test_the_names_of_a_class_are_averaged_and_made_unit_again(tiny_clip):
    clip = teacher.load_clip(str(tiny_clip))
    templates = ["a photo of the {}", "a drawing of a {}"]
    each = teacher.class_embeddings(clip, ["cat", "kitten"], templates[:1]).double()
    both = teacher.class_embeddings(clip, ["dog", "cat | kitten"], templates[:1]).double()
    torch.testing.assert_close(both[1], torch.nn.functional.normalize(each.sum(dim=0), dim=0), atol=1e-6, rtol=0)
    singly = [teacher.class_embeddings(clip, [n], [t]) for n in ("cat", "kitten") for t in templates]
    expected = torch.nn.functional.normalize(torch.cat(singly).mean(dim=0), dim=0)
    torch.testing.assert_close(teacher.class_embeddings(clip, ["dog", "cat | kitten"], templates)[1], expected)


def test_classes_that_nearly_coincide_are_found_closest_first():
    # In 4 dimensions with scale 2 the typical odds are exp(distance): twins are closer than ln 2 = 0.693.
    angles = torch.tensor([0.0, 0.69, 3.0, 3.1])
    zeros = torch.zeros(4)
    found = twins.twins(torch.stack([angles.cos(), angles.sin(), zeros, zeros], dim=1), scale=2.0, most=9)[1]
    assert [(t.first, t.second) for t in found] == [(2, 3), (0, 1)]
    assert found[0].odds == pytest.approx(math.exp(2 * math.sin(0.05)), rel=1e-5)
    apart = torch.tensor([0.0, 0.72])  # 2 sin(0.36) = 0.7046
    assert twins.twins(torch.stack([apart.cos(), apart.sin(), zeros[:2], zeros[:2]], dim=1), 2.0, 9) == (0, [])


def test_the_warning_counts_the_pairs_and_names_the_closest(tiny_clip):
    classes = torch.eye(8)[[0, 0, 0, 0, 1, 2]]
    said = twins.twins_warning(classes, 100.0, ["a", "b", "c", "d", "e", "f"])
    assert said.startswith("warning: 6 pairs of the 6 classes nearly coincide")
    assert "a / b (1.00), a / c (1.00)" in said
    assert "and 1 more" in said
    assert twins.twins_warning(torch.eye(8)[[0, 1]], 100.0, ["a", "b"]) == ""
    assert twins.twins_warning(torch.eye(8)[[0, 0]], 100.0, ["a", "b"]).startswith("warning: 1 pair of the 2 classes")


def test_twins_among_many_classes_are_found_in_blocks(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    classes = torch.nn.functional.normalize(torch.randn(300, 16, generator=generator), dim=1)
    classes[290] = classes[7]
    classes[150] = torch.nn.functional.normalize(classes[149] + 0.001, dim=0)
    whole = twins.twins(classes, 4.0, 5)
    monkeypatch.setattr(twins, "TWIN_BLOCK", 32)
    monkeypatch.setattr(twins, "TWIN_PAIRS", 3)
    assert twins.twins(classes, 4.0, 5) == whole
    assert [(pair.first, pair.second) for pair in whole[1][:2]] == [(7, 290), (149, 150)]
    first, second = torch.triu_indices(300, 300, offset=1)
    odds = torch.exp(4.0 * (classes[first].double() - classes[second].double()).norm(dim=1) / 4)
    assert whole[0] == int((odds < twins.TWIN_ODDS).sum()) > 5


def test_synonyms_nearly_coincide_and_the_classes_of_coco_do_not(shared):
    clip = teacher.load_clip(str(shared / "models" / "mini-clip"))
    names = (shared / "data" / "coco592" / "classes.txt").read_text().split("\n")
    names = [name for name in names if name]
    assert twins.twins(teacher.class_embeddings(clip, names, ["a photo of the {}"]), clip.scale, 9) == (0, [])
    names += ["television", "bike", "mobile phone"]
    _, found = twins.twins(teacher.class_embeddings(clip, names, ["a photo of the {}"]), clip.scale, 9)
    pairs = {frozenset((names[t.first], names[t.second])) for t in found}
    assert pairs == {frozenset(p) for p in (("tv", "television"), ("bicycle", "bike"), ("cell phone", "mobile phone"))}


@pytest.mark.parametrize("size", [256, 160])
def test_a_resnet_of_clip_reads_another_size_than_its_own(resnet_clip, size):
    native, other = teacher.load_clip(str(resnet_clip)), teacher.load_clip(str(resnet_clip), size)
    assert other.tower.image_size == size
    positions = other.model.visual.attnpool.positional_embedding
    assert positions.shape == (1 + (size // 32) ** 2, native.model.visual.attnpool.positional_embedding.shape[1])
    with torch.inference_mode():
        embeddings = other.tower.module(torch.randn(2, 3, size, size))
    assert embeddings.shape == (2, 32)
    assert embeddings.isfinite().all()


def test_a_prompt_that_would_be_cut_is_refused(tiny_clip):
    clip = teacher.load_clip(str(tiny_clip))
    fits = " ".join(["cat"] * 14)  # with start and end, the 16 tokens of the context
    teacher.class_embeddings(clip, [fits], ["{}"])
    with pytest.raises(UserError, match="reads 16 tokens only"):
        teacher.class_embeddings(clip, [fits + " cat"], ["{}"])


@pytest.mark.parametrize("missing", ["open_clip_model.safetensors", "open_clip_config.json"])
def test_a_folder_that_lacks_a_file_is_refused(tiny_clip, tmp_path, missing):
    shutil.copytree(tiny_clip, tmp_path / "clip")
    (tmp_path / "clip" / missing).unlink()
    with pytest.raises(UserError, match=f"no {missing}"):
        teacher.load_clip(str(tmp_path / "clip"))


def test_weights_that_do_not_fit_the_config_are_refused_in_one_line(tiny_clip, tmp_path):
    shutil.copytree(tiny_clip, tmp_path / "clip")
    config = json.loads((tiny_clip / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["width"] = 96
    (tmp_path / "clip" / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError) as caught:
        teacher.load_clip(str(tmp_path / "clip"))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_needs_another_package_names_it(tiny_clip, monkeypatch):
    def needs(_):
        raise ModuleNotFoundError("No module named 'transformers'", name="transformers")

    monkeypatch.setattr("open_clip.get_tokenizer", needs)
    with pytest.raises(UserError, match="needs transformers, which is not installed: pip install transformers"):
        teacher.load_clip(str(tiny_clip))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-32/openai", "trained with QuickGELU: use ViT-B-32-quickgelu/openai"),
        ("RN50x64/openai", "use RN50x64-quickgelu/openai"),
        ("ViT-B-32/laion2b", "did you mean 'laion2b_"),
        ("ViT-B-32", "name it ViT-B-32/weights"),
        ("ViT-B32/openai", "did you mean 'ViT-B-32'"),
        ("no/such/folder", "an existing folder"),
    ],
)
def test_names_that_cannot_be_right_are_refused_before_any_download(name, said):
    with pytest.raises(UserError) as caught:
        teacher.load_clip(name)
    assert said in str(caught.value)


def test_quickgelu_weights_under_their_right_name_pass_the_check():
    teachers._refuse_wrong_activation("ViT-B-32-quickgelu", "openai")
    teachers._refuse_wrong_activation("ViT-B-32", "laion2b_s34b_b79k")
    with pytest.raises(UserError, match="trained with GELU: use ViT-B-32/laion2b"):
        teachers._refuse_wrong_activation("ViT-B-32-quickgelu", "laion2b_s34b_b79k")


@pytest.mark.parametrize("name", ["hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "ViT-B-32/laion2b_s34b_b79k"])
def test_weights_that_are_not_at_hand_are_named_with_the_way_to_get_them(name, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    said = []
    with pytest.raises(UserError, match="are not on this machine, and HF_HUB_OFFLINE is set") as caught:
        teacher.load_clip(name, say=said.append)
    assert "`hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K --local-dir FOLDER`" in str(caught.value)
    assert said == []  # nothing is fetched


def test_a_download_is_announced_and_a_hub_out_of_reach_is_one_line(tmp_path, monkeypatch, caplog, capfd):
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    def out_of_reach(*arguments, **options):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s")
        raise LocalEntryNotFoundError("cannot find the file on the Hub and it is not in the local cache")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("open_clip.factory._get_hf_config", out_of_reach)
    said = []
    with pytest.raises(UserError, match="and the Hugging Face hub cannot be reached"):
        teacher.load_clip("hf-hub:org/name", say=said.append)
    assert said == [
        f"teacher hf-hub:org/name: fetching org/name from the Hugging Face hub, once; it is kept in {tmp_path}"
    ]
    assert "Retrying" not in caplog.text + "".join(capfd.readouterr())


def test_a_teacher_in_the_hub_s_cache_needs_no_network(tiny_clip, tmp_path, monkeypatch):
    """As after `hf download org/tiny` on this machine; HF_HUB_OFFLINE is set for all tests."""
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / ("0" * 40)
    shutil.copytree(tiny_clip, snapshot)
    (tmp_path / "models--org--tiny" / "refs").mkdir()
    (tmp_path / "models--org--tiny" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    said = []
    cached = teacher.load_clip("hf-hub:org/tiny", say=said.append)
    of_folder = teacher.load_clip(str(tiny_clip))
    assert said == []
    assert torch.equal(
        teacher.class_embeddings(cached, ["cat"], ["a {}"]), teacher.class_embeddings(of_folder, ["cat"], ["a {}"])
    )
