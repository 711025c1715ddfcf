"""Each runtime on a GPU against eager open_clip in fp32 on the host: values, streams, CUDA graphs."""

import gc
from dataclasses import replace

import pytest
import torch

from ccd_fast import engines
from ccd_fast.demo import tiny_clip as demo_clip
from ccd_fast.engines import EngineSettings, Store, onnx_runtime, runtimes
from ccd_fast.errors import RunError, UserError
from ccd_fast.machine.device_streams import on_stream_for
from ccd_fast.teacher import clip as teacher
from ccd_fast.teacher import parity
from tests.engines import random_towers

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU"),
    pytest.mark.usefixtures("cache"),
]

RUNTIMES = list(engines.RUNTIMES)
REPLAYING = ["tensorrt", "onnxruntime", "torch-compiled"]
CARD = torch.device("cuda", 0)
LARGEST_ERROR = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 8e-2}
"""Of the embeddings, over the spread of the reference: that of the mean of all would be 1."""
SLEEP = 2_000_000_000
"""Cycles that a stream is kept busy: about a second."""


def opened(tower, runtime, precision="fp16", batch_size=16, cuda_graph=True):
    """Open an engine, or skip where this card or these packages do not have it."""
    settings = EngineSettings(runtime, precision, batch_size, "cuda", cuda_graph=cuda_graph)
    if why := engines.RUNTIMES[runtime].problem("cuda", precision):
        pytest.skip(f"{runtime}: {why}")
    try:
        return engines.open_engine(tower, settings, Store())
    except (RunError, UserError) as refused:  # TensorRT-RTX takes no data-centre card, and has no bf16 convolution
        pytest.skip(f"{runtime}, {precision}: {refused}")


@pytest.fixture(scope="module", params=["ViT", "ResNet"])
def clip(request, tiny_clip, cache):
    """A small ViT, and the demo world's ResNet with attention pool."""
    return teacher.load_clip(str(tiny_clip if request.param == "ViT" else demo_clip.install()))


def fixed_call(engine):
    """What an engine with fixed buffers runs."""
    return engine.compiled.call if engine.runtime == "torch-compiled" else engine._call


def pictures(clip, number=40):
    return random_towers.pictures(number, clip.tower.image_size)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_embeddings_are_open_clip_s(clip, runtime, precision):
    engine, pixels = opened(clip.tower, runtime, precision), pictures(clip)
    reference = parity.reference_embeddings(clip, pixels)
    for number in (1, 16, 40):
        ours = engine.embed(pixels[:number].cuda())
        assert ours.device == CARD
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.norm(dim=1).cpu(), torch.ones(number), atol=1e-3, rtol=0)
    spread = (reference - reference.mean(dim=0)).norm()
    assert float((ours.cpu() - reference).norm() / spread) <= LARGEST_ERROR[precision]
    assert float((ours.cpu().flip(0) - reference).norm() / spread) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["ViT-B-32", "RN50", "convnext_base"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_towers_of_every_kind_agree(runtime, architecture):
    model = random_towers.random_model(architecture)
    tower = random_towers.tower_of(model, architecture)
    pixels = random_towers.distinct(tower, 6)
    reference = random_towers.embed(tower.module, pixels, tower.mean, tower.std)
    ours = opened(tower, runtime, "fp16", 8).embed(pixels.cuda()).cpu()
    assert float((ours - reference).norm() / (reference - reference.mean(dim=0)).norm()) <= 3e-2


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_row_does_not_change_with_its_neighbours_or_its_place(clip, runtime):
    engine, pixels = opened(clip.tower, runtime), pictures(clip).cuda()
    together = engine.embed(pixels)
    assert torch.equal(engine.embed(pixels), together)
    assert torch.equal(engine.embed(pixels[:5]), together[:5])
    assert torch.equal(engine.embed(pixels[20:21]), together[20:21])
    assert torch.equal(engine.embed(pixels.flip(0)).flip(0), together)


@pytest.mark.parametrize("runtime", REPLAYING)
def test_a_replayed_cuda_graph_gives_what_the_launches_give(clip, runtime):
    graph, plain = (opened(clip.tower, runtime, cuda_graph=wanted) for wanted in (True, False))
    replays = fixed_call(graph).replays
    assert replays, "no CUDA graph was captured: see the line on stderr"
    for seed in range(3):  # other pictures at each replay
        pixels = random_towers.pictures(16, clip.tower.image_size, seed).cuda()
        torch.testing.assert_close(graph.embed(pixels), plain.embed(pixels), atol=1e-3, rtol=0)


@pytest.mark.parametrize("runtime", REPLAYING)
def test_a_graph_reads_no_memory_that_was_given_back(clip, runtime):
    engine, pixels = opened(clip.tower, runtime), pictures(clip, 16).cuda()
    expected = engine.embed(pixels)
    gc.collect()
    torch.cuda.empty_cache()
    written_over = []
    for turn in range(200):  # whoever gets the memory writes into it
        written_over.append(torch.full((2 ** (turn % 8), 2**18), float("nan"), device="cuda"))
        del written_over[:-8]
        assert torch.equal(engine.embed(pixels), expected), f"replay {turn}"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_engine_works_in_the_order_of_the_callers_stream(clip, runtime):
    engine, pixels = opened(clip.tower, runtime), pictures(clip, 16).cuda()
    expected = engine.embed(pixels)
    late = torch.zeros_like(pixels)
    torch.cuda.synchronize()
    with on_stream_for("pass", CARD):
        torch.cuda._sleep(SLEEP)
        late.copy_(pixels)  # after the engine was asked, by the host's clock
        result = engine.embed(late).clone()
    assert torch.equal(result, expected)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_host_does_not_wait_for_an_engine(clip, runtime):
    rows = onnx_runtime.LAUNCHES_HIDDEN_FROM  # from which on no release of ONNX Runtime may wait
    engine, pixels = opened(clip.tower, runtime, batch_size=rows), pictures(clip, rows).cuda()
    engine.embed(pixels)
    torch.cuda.synchronize()
    with on_stream_for("pass", CARD):
        torch.cuda._sleep(SLEEP)
        engine.embed(pixels)
        waits = torch.cuda.current_stream().query()
    torch.cuda.synchronize()
    assert not waits


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_engine_leaves_the_default_stream_alone(clip, runtime):
    engine, pixels = opened(clip.tower, runtime), pictures(clip, 16).cuda()
    expected = engine.embed(pixels)
    torch.cuda.synchronize()
    with on_stream_for("pass", CARD):
        with torch.cuda.stream(torch.cuda.default_stream()):
            torch.cuda._sleep(SLEEP)
        result = engine.embed(pixels).cpu()  # waits for the engine's stream only
        assert not torch.cuda.default_stream().query(), "something waited for the default stream"
    torch.cuda.synchronize()
    assert torch.equal(result, expected.cpu())


def test_the_tower_stays_on_the_host(clip):
    for runtime in RUNTIMES:
        for precision in ("fp32", "fp16"):
            if not engines.RUNTIMES[runtime].problem("cuda", precision) and runtime.startswith("torch"):
                opened(clip.tower, runtime, precision)
    assert {p.device.type for p in clip.model.parameters()} == {"cpu"}


def test_auto_takes_what_works_here_and_keeps_its_parity(clip):
    from ccd_fast.teacher.checked_engines import open_checked

    wanted = engines.settings("auto", "auto", 16, "cuda")
    classes = torch.nn.functional.normalize(
        torch.randn(5, parity.reference_embeddings(clip, pictures(clip, 1)).shape[1])
    )
    for runtime in [r for r in runtimes.AUTO["cuda"] if not engines.RUNTIMES[r].problem("cuda", "fp16")]:
        opened(clip.tower, runtime)  # skips with the reason where this card is refused
    _, found = open_checked(
        clip, replace(wanted), Store(), classes, lambda count: pictures(clip, count).cuda(), anew=True
    )
    assert found.cosine_min > 0.99
