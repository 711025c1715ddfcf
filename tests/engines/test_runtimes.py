"""Every runtime gives open_clip's own embeddings."""

import dataclasses

import numpy as np
import pytest
import torch
from pictures import picture
from PIL import Image
from torch.nn.functional import normalize

from ccd_fast import engines
from ccd_fast.engines import Store
from ccd_fast.errors import RunError, UserError
from ccd_fast.teacher import clip as teacher
from ccd_fast.views import open_backend


def relative_error(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """The error beside the spread of the references: an engine that gives their mean has an error of 1."""
    return float((ours - reference).norm() / (reference - reference.mean(dim=0)).norm())


def by_open_clip(clip: teacher.Clip, pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (clip.tower.mean, clip.tower.std))
    with torch.inference_mode():
        return normalize(clip.model.encode_image((pixels.permute(0, 3, 1, 2) / 255 - mean) / std), dim=-1)


@pytest.fixture(scope="module")
def tiny(tiny_clip):
    return teacher.load_clip(str(tiny_clip))


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(5)
    pictures = [picture(rng, 64, 64).resize((64, 64), Image.Resampling.BICUBIC) for _ in range(70)]
    return torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))


CPU_RUNTIMES = [name for name, runtime in engines.RUNTIMES.items() if not runtime.problem("cpu", "fp32")]


@pytest.mark.parametrize("runtime", CPU_RUNTIMES)
@pytest.mark.parametrize("number", [1, 7, 64])
def test_embeddings_are_open_clip_s_for_any_number_of_views(runtime, number, tiny, pixels, cache):
    engine = engines.open_engine(tiny.tower, engines.EngineSettings(runtime, batch_size=16, threads=2), Store(cache))
    ours, reference = engine.embed(pixels[:number]), by_open_clip(tiny, pixels)
    assert ours.shape == (number, 32)
    torch.testing.assert_close(ours.norm(dim=1), torch.ones(number))
    spread = (reference - reference.mean(dim=0)).norm() / np.sqrt(len(reference))
    assert float((ours - reference[:number]).norm() / np.sqrt(number) / spread) <= 1e-3


@pytest.mark.parametrize("runtime", CPU_RUNTIMES)
def test_a_row_does_not_change_with_its_neighbours(runtime, tiny, pixels, cache):
    engine = engines.open_engine(tiny.tower, engines.EngineSettings(runtime, batch_size=16, threads=2), Store(cache))
    together = engine.embed(pixels)
    assert torch.equal(engine.embed(pixels[:5]), together[:5])
    assert torch.equal(engine.embed(pixels[20:21]), together[20:21])
    assert torch.equal(engine.embed(pixels.flip(0)).flip(0), together)


def test_the_error_sees_swapped_samples_and_wrong_normalisation(tiny, pixels, cache):
    reference = by_open_clip(tiny, pixels)
    good = engines.open_engine(
        tiny.tower, engines.EngineSettings("torch", batch_size=16, threads=2), Store(cache)
    ).embed(pixels)
    assert relative_error(good, reference) <= 1e-3
    assert relative_error(good.flip(0), reference) > 0.1
    for wrong in ({"mean": (0.5, 0.5, 0.5)}, {"std": (0.5, 0.5, 0.5)}):
        tower = dataclasses.replace(tiny.tower, **wrong)
        bad = engines.open_engine(tower, engines.EngineSettings("torch", batch_size=16, threads=2), Store(cache)).embed(
            pixels
        )
        assert relative_error(bad, reference) > 1e-2


def test_no_views_give_no_embeddings(tiny, cache):
    engine = engines.open_engine(tiny.tower, engines.EngineSettings("torch", batch_size=16, threads=2), Store(cache))
    assert engine.embed(torch.empty((0, 64, 64, 3), dtype=torch.uint8)).shape == (0, 32)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 7, 64])
def test_on_photographs_with_a_trained_clip(number, shared, cache):
    clip = teacher.load_clip(str(shared / "models" / "mini-clip"))
    files = sorted((shared / "data" / "coco18" / "images").iterdir())[:64]
    backend = open_backend("auto", 2)
    views = backend.whole(backend.decode(files, np.arange(64)), clip.tower.image_size, clip.tower.interpolation)
    engine = engines.open_engine(
        clip.tower, engines.EngineSettings("onnxruntime", batch_size=16, threads=2), Store(cache)
    )
    ours, reference = engine.embed(views[:number]), by_open_clip(clip, views)
    together = engine.embed(views)
    assert torch.equal(ours, together[:number])
    assert relative_error(together, reference) <= 1e-3
    assert relative_error(together.flip(0), reference) > 0.1
    swapped = dataclasses.replace(clip.tower, mean=clip.tower.std, std=clip.tower.mean)
    wrong = engines.open_engine(swapped, engines.EngineSettings("torch", batch_size=16, threads=2), Store(cache)).embed(
        views
    )
    assert relative_error(wrong, reference) > 1e-2


def test_an_unknown_runtime_is_refused(tiny, cache):
    with pytest.raises(UserError, match="did you mean 'onnxruntime'"):
        engines.open_engine(tiny.tower, engines.EngineSettings("onnx-runtime", batch_size=16, threads=2), Store(cache))


def test_auto_passes_over_what_fails_here_and_says_so(tiny, pixels, cache, monkeypatch, capsys):
    def refuse(*_):
        raise RunError("not on this card")

    broken = dataclasses.replace(engines.RUNTIMES["onnxruntime"], open=refuse)
    monkeypatch.setitem(engines.RUNTIMES, "onnxruntime", broken)
    engine = engines.open_engine(tiny.tower, engines.EngineSettings("auto", batch_size=4), Store(cache))
    assert engine.runtime == "torch"
    assert capsys.readouterr().err == "ccd-fast: onnxruntime does not run here, so torch is taken: not on this card\n"
    with pytest.raises(RunError, match="not on this card"):
        engines.open_engine(tiny.tower, engines.EngineSettings("onnxruntime", batch_size=4), Store(cache))


def test_a_batch_fills_the_device_that_the_engine_is_for_unless_a_number_is_named():
    assert engines.batch_size("auto", "auto", "cpu", 224) == 16
    assert engines.batch_size("auto", "auto", "cuda:1", 224) == 256
    assert engines.batch_size("auto", "torch", "cuda", 640) == 64
    assert engines.batch_size("auto", "tensorrt", "cpu", 224) == 256  # a plan for a GPU elsewhere
    assert engines.batch_size(7, "auto", "cuda", 224) == 7
