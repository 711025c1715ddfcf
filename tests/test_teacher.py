import json
import shutil

import pytest
import torch

from ccd_fast import engines, teacher
from ccd_fast.engines import Store
from ccd_fast.errors import UserError


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
    ours = teacher.Teacher(clip, engine, embeddings).similarities(pixels)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_templates_are_averaged_and_made_unit_again(tiny_clip):
    clip = teacher.load_clip(str(tiny_clip))
    templates = ["a photo of the {}", "a drawing of a {}"]
    each = torch.stack([teacher.class_embeddings(clip, ["cat", "dog"], [t]) for t in templates]).mean(dim=0)
    expected = each / each.norm(dim=1, keepdim=True)
    torch.testing.assert_close(teacher.class_embeddings(clip, ["cat", "dog"], templates), expected)


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
    teacher._refuse_wrong_activation("ViT-B-32-quickgelu", "openai")
    teacher._refuse_wrong_activation("ViT-B-32", "laion2b_s34b_b79k")
    with pytest.raises(UserError, match="trained with GELU: use ViT-B-32/laion2b"):
        teacher._refuse_wrong_activation("ViT-B-32-quickgelu", "laion2b_s34b_b79k")
