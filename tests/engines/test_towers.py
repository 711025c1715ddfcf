"""Towers of every kind: exported, run by ONNX Runtime, built by TensorRT-RTX, in every precision."""

import dataclasses

import open_clip
import pytest
import timm
import torch

from ccd_fast import engines
from ccd_fast.demo import tiny_clip
from ccd_fast.engines import EngineSettings, ImageTower, Store, onnx_export, tensorrt_runtime
from ccd_fast.engines.precision import InFloat32, in_precision
from ccd_fast.errors import UserError
from ccd_fast.teacher import clip as teacher
from ccd_fast.teacher import parity
from tests.engines.random_towers import distinct, embed, pictures, random_model, tower_of, write_coca
from tests.engines.test_runtimes import relative_error

NATIVE_AND_OTHER = {"ViT-B-32": (224, 160), "RN50": (224, 160), "convnext_tiny": (224, 160), "mini-clip": (224, 192)}


SHALLOW, DEEP = 1, pytest.param(None, marks=pytest.mark.deep, id="deep")
"""Layers of each kind in a random tower; all of them in ``make test-deep``."""


def tower(name: str, image_size: int, request: pytest.FixtureRequest, depth: int | None = SHALLOW) -> ImageTower:
    if name == "mini-clip":
        folder = request.getfixturevalue("shared") / "models" / "mini-clip"
        return teacher.load_clip(str(folder), image_size).tower
    return tower_of(random_model(name, image_size, depth=depth), name)


def views(own: ImageTower, name: str) -> torch.Tensor:
    """Pictures that a random tower tells apart; a trained one tells all apart that are worth it."""
    return pictures(5, own.image_size) if name == "mini-clip" else distinct(own, 5)


@pytest.fixture(params=NATIVE_AND_OTHER)
def name(request) -> str:
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NATIVE_AND_OTHER, "ViT-B-16-SigLIP"])
@pytest.mark.parametrize("which", [0, 1], ids=["native size", "another size"])
@pytest.mark.parametrize("depth", [SHALLOW, DEEP])
def test_onnx_runtime_gives_open_clips_embeddings(name, which, depth, request, cache):
    size = NATIVE_AND_OTHER.get(name, (224, 160))[which]
    own = tower(name, size, request, depth)
    pixels = views(own, name)
    reference = embed(own.module, pixels, own.mean, own.std)
    settings = EngineSettings("onnxruntime", batch_size=4, threads=2)
    ours = engines.open_engine(own, settings, Store(cache)).embed(pixels)
    assert relative_error(ours, reference) <= 1e-3
    assert relative_error(ours.roll(1, 0), reference) > 0.1
    wrong = dataclasses.replace(own, mean=own.std, std=own.mean)
    shifted = engines.open_engine(wrong, dataclasses.replace(settings, runtime="torch"), Store(cache)).embed(pixels)
    assert relative_error(shifted, reference) > 1e-2


@pytest.mark.parametrize(("runtime", "image_size"), [("torch", "native"), ("onnxruntime", 96)])
def test_a_tower_that_gives_its_tokens_too_is_embedded(runtime, image_size, tmp_path, cache):
    clip = teacher.load_clip(str(write_coca(tmp_path)), image_size)
    pixels = pictures(5, clip.tower.image_size)
    engine = engines.open_engine(clip.tower, EngineSettings(runtime, batch_size=4, threads=2), Store(cache))
    assert relative_error(engine.embed(pixels), parity.reference_embeddings(clip, pixels)) <= 1e-3


@pytest.mark.slow
@pytest.mark.skipif(tensorrt_runtime.module_name() != "tensorrt_rtx", reason="tensorrt_rtx is not installed")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("depth", [SHALLOW, DEEP])
def test_tensorrt_rtx_builds_a_plan(name, precision, depth, request, cache):
    own = tower(name, NATIVE_AND_OTHER[name][0], request, depth)
    settings = EngineSettings("tensorrt", precision, batch_size=4)
    file, fresh = engines.build(own, settings, Store(cache))
    assert fresh
    weights = sum(p.numel() for p in own.module.parameters()) * (4 if precision == "fp32" else 2)
    assert file.stat().st_size > 0.8 * weights
    assert engines.build(own, settings, Store(cache)) == (file, False)
    identity = Store(cache).manifest(file.parent.name)["identity"]
    assert identity["runtime"]["module"] == "tensorrt_rtx"
    assert identity["precision"] == precision


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mini-clip", "demo"])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_stays_within_its_limits(name, precision, request, cache):
    own = teacher.load_clip(str(tiny_clip.install(cache))).tower if name == "demo" else tower(name, 224, request)
    pixels = pictures(5, own.image_size)  # of trained towers: random ones make much of the smallest difference
    classes = embed(own.module, pictures(5, own.image_size, seed=9), own.mean, own.std)
    settings = EngineSettings("torch", precision, batch_size=6)
    ours = engines.open_engine(own, settings, Store(cache)).embed(pixels)
    assert ours.dtype == torch.float32
    near = parity.compare(ours, embed(own.module, pixels, own.mean, own.std), classes, 10.0)
    assert parity.beyond_limits(near, precision) == ""
    assert near.relative_error > 1e-5, "it must have been run in half precision"


NORMS = {
    "LayerNorm": (torch.nn.LayerNorm(8), (1, 8)),
    "GroupNorm": (torch.nn.GroupNorm(2, 8), (1, 8, 1, 1)),
    "RMSNorm": (torch.nn.RMSNorm(8), (1, 8)),
    "open_clip's LayerNorm": (open_clip.transformer.LayerNorm(8), (1, 8)),
    "timm's LayerNorm2d": (timm.layers.LayerNorm2d(8), (1, 8, 1, 1)),
    "timm's RmsNorm": (timm.layers.RmsNorm(8), (1, 8)),
    "timm's RmsNorm2d": (timm.layers.RmsNorm2d(8), (1, 8, 1, 1)),
    "timm's SimpleNorm": (timm.layers.SimpleNorm(8), (1, 8)),
    "timm's GlobalResponseNorm": (timm.layers.grn.GlobalResponseNorm(8, channels_last=False), (1, 8, 1, 1)),
}


@pytest.mark.parametrize("kind", NORMS)
def test_a_norm_does_not_overflow_in_half_precision(kind):
    module, shape = NORMS[kind]
    norm = torch.nn.Sequential(module)
    features = (torch.tensor([300.0, -300, 280, -280, 10, 0, 5, 1]).half() * 100).reshape(shape)
    half = in_precision(norm, "fp16")
    assert isinstance(half[0], InFloat32)
    assert half[0].module.weight.dtype == torch.float32
    torch.testing.assert_close(half(features).float(), norm(features.float()), rtol=1e-3, atol=2e-3)
    assert half(features).dtype == torch.float16
    assert norm[0].weight.dtype == torch.float32, "the tower itself is left alone"


def test_weights_above_the_limit_of_protobuf_go_into_a_file_of_their_own(cache, tmp_path, monkeypatch, request):
    from torch.onnx._internal.exporter import _onnx_program

    monkeypatch.setattr(_onnx_program, "_LARGE_MODEL_THRESHOLD", 0)
    clip = teacher.load_clip(str(request.getfixturevalue("tiny_clip")))
    store = Store(tmp_path)
    engine = engines.open_engine(clip.tower, EngineSettings("onnxruntime", batch_size=4, threads=1), store)
    files = store.manifest(engine.key)["files"]
    assert set(files) == {onnx_export.FILE, onnx_export.FILE + ".data"}
    assert files[onnx_export.FILE + ".data"]["bytes"] > files[onnx_export.FILE]["bytes"]
    pixels = pictures(4, 64)
    assert relative_error(engine.embed(pixels), parity.reference_embeddings(clip, pixels)) <= 1e-3
    (store.path(engine.key) / (onnx_export.FILE + ".data")).unlink()
    with pytest.raises(UserError, match="missing or cut short"):
        engines.open_engine(clip.tower, EngineSettings("onnxruntime"), store)


def test_a_provider_that_was_not_given_is_an_error(monkeypatch, tiny_clip, cache):
    import onnxruntime

    clip = teacher.load_clip(str(tiny_clip))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match="no CUDA provider"):
        engines.open_engine(clip.tower, EngineSettings("onnxruntime", "fp16", device="cuda"), Store(cache))
    file = onnx_export.build(clip.tower, "fp32", Store(cache))
    with pytest.raises(UserError, match="took CPUExecutionProvider instead of CUDAExecutionProvider"):
        from ccd_fast.engines import onnx_runtime

        onnx_runtime.open_session(file, "cuda", 1)


def test_onnx_runtime_on_the_cpu_refuses_half_precision(tiny_clip, cache):
    clip = teacher.load_clip(str(tiny_clip))
    with pytest.raises(UserError, match="onnxruntime, fp16 on cpu: its CPU provider"):
        engines.open_engine(clip.tower, EngineSettings("onnxruntime", "fp16"), Store(cache))
