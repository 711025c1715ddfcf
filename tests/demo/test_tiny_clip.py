"""The tiny CLIP: it can be trained anew, its committed weights install, and it has the two effects it is there for."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from ccd_fast.demo import effects, tiny_clip
from ccd_fast.demo.captions import SYNONYMS, captions, write
from ccd_fast.demo.composing import scene_generator
from ccd_fast.demo.scenes import CLASS_NAMES
from ccd_fast.demo.train_tiny_clip import PROMPT, Settings, Trained, top1_accuracy, train
from ccd_fast.demo.training_pictures import KEPT_SIZE, VIEWS_PER_SCENE, Pictures, training_pictures, unseen_singles
from ccd_fast.engines import EngineSettings, Store, open_engine
from ccd_fast.evaluation.metrics import mean_average_precision
from ccd_fast.teacher.clip import Teacher, class_embeddings, load_clip

SEED = 123  # no picture of it has been trained on


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained for a few seconds, on four classes that are easy to tell apart."""
    drawn = training_pictures(tmp_path_factory.mktemp("pictures"), SEED, singles=320, scenes=0, workers=1)
    easy = np.isin(drawn.classes, [CLASS_NAMES.index(name) for name in ("car", "sun", "snowman", "cactus")])
    settings = Settings(seed=1, epochs=28, batch_size=32, learning_rate=5e-4)
    return train(Pictures(drawn.pixels[easy], drawn.classes[easy]), settings, say=lambda line: None)


@pytest.fixture(scope="module")
def teacher(cache: Path) -> Teacher:
    return effects.open_teacher(tiny_clip.install(cache), cache)


@pytest.fixture(scope="module")
def views() -> effects.Views:
    return effects.scene_views(SEED, "test", 60, workers=1)


def test_pictures_are_drawn_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = training_pictures(tmp_path, SEED, singles=21, scenes=2, workers=1)
    assert first.pixels.shape == (21 + 2 * VIEWS_PER_SCENE, KEPT_SIZE, KEPT_SIZE, 3)
    assert first.classes[:21].tolist() == [*range(20), 0]
    monkeypatch.setattr("ccd_fast.demo.training_pictures._draw_into", None)
    again = training_pictures(tmp_path, SEED, singles=21, scenes=2, workers=1)
    np.testing.assert_array_equal(again.pixels, first.pixels)


def test_no_picture_comes_from_a_stream_of_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    make = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda key: used.append(tuple(key)) or make(key))
    scene_generator(SEED, "train", 0), scene_generator(SEED, "test", 0)
    scenes, used[:] = {key[:2] for key in used}, []
    training_pictures(tmp_path, SEED, singles=2, scenes=1, workers=1)
    assert len(used) == 3
    assert not scenes & {key[:2] for key in used}


def test_a_brief_training_lowers_the_loss(trained: Trained) -> None:
    guessing = float(np.log(32))
    assert trained.losses[0] > guessing
    assert np.mean(trained.losses[-4:]) < guessing - 0.3


def test_what_is_saved_and_installed_is_the_trained_model(
    trained: Trained, tmp_path: Path, views: effects.Views
) -> None:
    tiny_clip.save(trained.model, trained.token_ids, tmp_path / "weights", {"seed": 1})
    clip = load_clip(str(tiny_clip.install(tmp_path, tmp_path / "weights")))
    assert tiny_clip.how_made(tmp_path / "weights") == {"seed": 1}
    prompts = [PROMPT.format(name) for name in CLASS_NAMES]
    expected = trained.embed_texts(clip.tokenize(prompts, context_length=16))
    torch.testing.assert_close(class_embeddings(clip, CLASS_NAMES, [PROMPT]), expected, rtol=0, atol=1e-4)
    pixels = views.whole[:8]
    embedded = torch.nn.functional.normalize(clip.model.visual(tiny_clip.normalised(pixels)), dim=-1)
    torch.testing.assert_close(embedded, trained.embed_pixels(pixels), rtol=0, atol=1e-4)
    assert list(clip.tower.mean) == list(tiny_clip.MEAN)


def test_installing_again_changes_nothing(tmp_path: Path) -> None:
    folder = tiny_clip.install(tmp_path)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert set(before) == {"open_clip_config.json", "open_clip_model.safetensors"}
    assert tiny_clip.install(tmp_path) == folder
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_an_interrupted_installation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(state: object, file: Path) -> None:
        file.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(safetensors.torch, "save_file", fail)
        tiny_clip.install(tmp_path)
    assert list((tmp_path / "demo").iterdir()) == []
    assert tiny_clip.install(tmp_path).is_dir()


def test_losing_the_race_to_install_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    winner = tiny_clip.install(tmp_path)
    inode = winner.stat().st_ino
    is_dir = Path.is_dir
    answers = iter([False])  # at the first look the folder is not there; when it comes to rename, it is
    monkeypatch.setattr(Path, "is_dir", lambda path: next(answers, True) if path == winner else is_dir(path))
    assert tiny_clip.install(tmp_path) == winner
    assert next(answers, None) is None
    assert winner.stat().st_ino == inode
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [winner.name]


def test_committed_files_are_small_and_say_how_they_were_made() -> None:
    files = list(tiny_clip.FOLDER.iterdir())
    assert sum(file.stat().st_size for file in files) <= 8 * 2**20
    assert {file.suffix for file in files} == {".json", ".safetensors"}
    assert {"seed", "torch", "world_version", "single_accuracy"} <= set(tiny_clip.how_made())
    config = json.loads((tiny_clip.FOLDER / "open_clip_config.json").read_text())
    assert config == {"model_cfg": tiny_clip.MODEL, "preprocess_cfg": tiny_clip.PREPROCESS}


def test_every_token_of_the_prompts_has_been_learned() -> None:
    rows = tiny_clip.complete_state()["token_embedding.weight"]
    written = captions()
    assert rows[written.tokens].abs().amax(dim=-1).min() > 0
    tokens = torch.tensor(sorted({int(t) for name in CLASS_NAMES for t in _tokens(PROMPT.format(name))}))
    assert rows[tokens].abs().amax(dim=-1).min() > 0
    assert (rows[_tokens("xylophone")[0]] == 0).all()


def _tokens(text: str) -> list[int]:
    import open_clip

    tokens: list[int] = open_clip.tokenizer.SimpleTokenizer().encode(text)
    return tokens


def test_captions() -> None:
    written = captions()
    np.testing.assert_allclose(written.chances.sum(axis=1), 1)
    assert write("a photo of a {}", "apple") == "a photo of an apple"
    assert write("the {}", "apple") == "the apple"
    boat, cat = CLASS_NAMES.index("boat"), CLASS_NAMES.index("cat")
    own = [written.nouns.index(name) for name in SYNONYMS["boat"]]
    assert written.chances[boat, own].sum() > 0.9
    assert written.chances[cat, cat] > 0.9
    drawn = written.draw(np.random.default_rng(0), np.full(400, cat))
    assert (drawn == _tokens("cat")[0]).any(dim=1).float().mean() > 0.9


def test_it_knows_single_objects(cache: Path) -> None:
    clip = load_clip(str(tiny_clip.install(cache)))
    model = Trained(clip.model, torch.arange(tiny_clip.VOCABULARY), [])
    assert top1_accuracy(model, *unseen_singles(SEED, 100, workers=1)) > 0.85


def test_it_ranks_the_classes_of_fresh_scenes(teacher: Teacher, views: effects.Views) -> None:
    value = mean_average_precision(effects.scores(teacher, views.whole), views.truth)
    mixed_up = mean_average_precision(effects.scores(teacher, views.whole.roll(1, dims=0)), views.truth)
    assert value > 0.5
    assert value > mixed_up + 0.15


def test_small_objects_score_higher_in_their_own_box(teacher: Teacher, views: effects.Views) -> None:
    small, *_, large = effects.view_dependence(teacher, views, (0, 0.03, 0.1, 1))
    assert small.objects > 15
    assert small.crop > small.whole + 0.1
    assert large.whole > small.whole + 0.2


def test_the_engine_gives_the_same_embeddings(teacher: Teacher, cache: Path, views: effects.Views) -> None:
    clip = load_clip(str(tiny_clip.install(cache)))
    reference = open_engine(clip.tower, EngineSettings("torch", batch_size=16, threads=2), Store(cache))
    engine = open_engine(clip.tower, EngineSettings("onnxruntime", batch_size=16, threads=2), Store(cache))
    torch.testing.assert_close(engine.embed(views.whole), reference.embed(views.whole), rtol=0, atol=1e-4)
