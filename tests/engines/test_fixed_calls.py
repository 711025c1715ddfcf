"""Calls with fixed buffers: whose stream reads what, what a captured graph keeps, and what is compiled how often."""

import gc
import weakref
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from pretend_card import CARD, pretend_card
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode

from ccd_fast import engines
from ccd_fast.engines import EngineSettings, ImageTower, Store, streams, tensorrt_runtime, torch_runtime
from ccd_fast.engines.streams import FixedCall, replaying
from ccd_fast.errors import RunError


def tower(side=4, width=3):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, width))
    return ImageTower("small", module, side, (0.5,) * 3, (0.5,) * 3, "bicubic")


def pictures(number, side=4):
    return torch.randint(0, 256, (number, side, side, 3), dtype=torch.uint8)


class Card:
    """Stands in for a GPU, on the host's memory: ``said`` is what was done, and by which stream."""

    def __init__(self):
        self.said = []
        self.current = self.callers = self.stream("callers")

    def stream(self, name):
        wait = lambda other: self.said.append(f"{name} waits for {other.name}")  # noqa: E731
        return SimpleNamespace(name=name, cuda_stream=7, wait_stream=wait)

    @contextmanager
    def on(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before


@pytest.fixture
def card(monkeypatch):
    card = Card()
    monkeypatch.setattr(streams, "_own_stream", lambda device: card.stream("own"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: card.current)
    monkeypatch.setattr(torch.cuda, "stream", card.on)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: card.said.append("replay")))
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream, capture_error_mode: card.on(stream))
    return card


def test_short_batches_are_followed_by_black_pictures():
    call = FixedCall(4, 2, 1, "cpu")
    call.launch = lambda: call.embeddings.copy_(call.pixels.float().sum(dim=(1, 2, 3))[:, None])
    full = pictures(4, 2)
    assert call(full).shape == (4, 1)
    assert call(full[:3]).squeeze(1).tolist() == full[:3].sum(dim=(1, 2, 3)).tolist()
    assert torch.equal(call.pixels, torch.cat([full[:3], torch.zeros_like(full[:1])]))
    kept = call(full)
    call(pictures(4, 2))
    assert kept.squeeze(1).tolist() == full.sum(dim=(1, 2, 3)).tolist()  # what was given is not a buffer


def test_the_batch_is_read_and_the_embeddings_belong_on_the_callers_stream(card):
    call, batch = FixedCall(2, 2, 1, "cpu"), pictures(2, 2)
    call.launch = lambda: card.said.append(f"{card.current.name} launches")

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            reads = "the batch" if any(arg is batch for arg in args) else func._schema.name.removeprefix("aten::")
            card.said.append(f"{card.current.name}: {reads}")
            return func(*args, **(kwargs or {}))

    with Watch():
        call(batch)
    told = [line for line in card.said if line.split(": ")[-1] not in ("slice", "zero_")]
    assert told == [
        *("callers waits for own", "callers: the batch", "callers: empty_like"),
        *("own waits for callers", "own launches", "own: copy_", "callers waits for own"),
    ]


def test_the_caller_waits_for_what_a_failed_launch_has_queued(card):
    call = FixedCall(2, 2, 1, "cpu")

    def fail():
        raise RunError("no")

    call.launch = fail
    with pytest.raises(RunError, match="no"):
        call(pictures(2, 2))
    assert card.said[-1] == "callers waits for own"


class Context:
    """An execution context that does nothing, and says what it was bound to."""

    def __init__(self):
        self.bound = {}

    def set_input_shape(self, name, shape):
        pass

    def set_tensor_address(self, name, address):
        self.bound[name] = address

    def execute_async_v3(self, stream):
        return stream == 7


@pytest.mark.parametrize("cuda_graph", [True, False])
def test_a_plan_s_context_lives_as_long_as_what_replays_it(cuda_graph, card):
    contexts = []

    def make():
        contexts.append(weakref.ref(context := Context()))
        return context

    engine = object.__new__(tensorrt_runtime.TensorRtEngine)
    engine.key, engine.image_size, engine.batch_size, engine._width = "key", 4, 2, 3
    engine._engine = SimpleNamespace(create_execution_context=make)
    settings = EngineSettings("tensorrt", "fp16", 2, "cpu")
    call = replaying(lambda graph: engine._open_call(settings, SimpleNamespace(last=""), graph), cuda_graph, "it")
    gc.collect()
    assert contexts[0]() is not None, "the graph would read and write memory that was given back"
    assert contexts[0]().bound == {"pixels": call.pixels.data_ptr(), "embeddings": call.embeddings.data_ptr()}
    card.said.clear()
    call(pictures(2))
    assert ("replay" in card.said) == cuda_graph == call.replays
    del call
    assert contexts[0]() is None, "a call that nobody has any more keeps its memory"


@pytest.fixture
def counter(monkeypatch):
    counter, plain = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **how: plain(module, backend=counter, **how))
    return counter


def opened(runtime, batch_size=4):
    return engines.open_engine(tower(), EngineSettings(runtime, batch_size=batch_size), Store())


def test_a_tower_is_compiled_once_whatever_the_number_and_the_kind_of_the_pictures(counter):
    engine, eager = opened("torch-compiled"), opened("torch")
    with torch.inference_mode():
        of_a_pass = pictures(6)
    for pixels in (pictures(8), pictures(3), of_a_pass, pictures(4).flip(2), pictures(0), pictures(9)[::2]):
        torch.testing.assert_close(engine.embed(pixels), eager.embed(pixels), atol=0, rtol=0)
    assert counter.frame_count == 1


def test_a_captured_tower_is_replayed_and_keeps_its_weights(counter, card):
    held = [opened("torch-compiled").compiled]
    call = replaying(lambda graph: held[0]._open_call(4, graph), True, "it")
    weights = weakref.ref(held.pop()._eager.module.tower[1].weight)
    gc.collect()
    assert weights() is not None
    call(pictures(4))
    assert card.said.count("replay") == 2  # of the warm-up, and this one
    assert counter.frame_count == 1


def test_a_compiled_tower_that_runs_out_of_memory_goes_on_with_smaller_batches(counter, monkeypatch, capsys):
    class Limited(FixedCall):
        def __call__(self, batch):
            if len(self.pixels) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super().__call__(batch)

    monkeypatch.setattr(torch_runtime, "FixedCall", Limited)
    engine, pixels = opened("torch-compiled", 5), pictures(7)
    torch.testing.assert_close(engine.embed(pixels), opened("torch").embed(pixels))
    assert counter.frame_count == 1
    assert capsys.readouterr().err == (
        "ccd-fast: out of memory: the teacher on torch-compiled takes 2 pictures at a time from here on\n"
    )


@pytest.mark.parametrize("cuda_graph", [True, False])
def test_everything_of_a_compiled_tower_is_on_its_card(cuda_graph, monkeypatch, capsys):
    replayed = [lambda: None]
    monkeypatch.setattr(torch, "compile", lambda module, **how: module)
    pixels, settings = pictures(6), EngineSettings("torch-compiled", "fp16", 4, "cuda", cuda_graph=cuda_graph)
    expected = opened("torch").embed(pixels)
    with pretend_card():
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: replayed[0]()))
        monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream, capture_error_mode: nullcontext())
        engine = engines.open_engine(tower(), settings, Store())
        replayed[0] = engine.compiled.call._captured
        ours = engine.embed(pixels.to("cuda"))
        assert ours.device == CARD
    assert engine.compiled.call.replays == cuda_graph
    torch.testing.assert_close(ours.host, expected, atol=1e-2, rtol=0)
    assert not capsys.readouterr().err
