"""Which runtime a card gets, and how: asked before anything is built, and said where it is not the best one."""

from dataclasses import replace
from types import SimpleNamespace

import onnx
import onnxruntime
import pytest
import torch

from ccd_fast import engines
from ccd_fast.engines import EngineSettings, Store, onnx_runtime, runtimes, tensorrt_runtime
from ccd_fast.engines.onnx_runtime import OnnxRuntimeEngine, graph_pays
from ccd_fast.engines.store import StoreFullError, StoreRefusedError
from ccd_fast.errors import RunError, UserError

TOWER = None  # never looked at
NO_CARD = "this machine has no card"


@pytest.fixture
def card(monkeypatch):
    """A card of a compute capability, with the TensorRT that is named."""

    def put_in(capability, module="tensorrt_rtx"):
        major, minor = map(int, capability.split("."))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (major, minor))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Some Card")
        monkeypatch.setattr(tensorrt_runtime, "module_name", lambda: module)

    return put_in


@pytest.mark.parametrize("capability", ["7.5", "8.6", "8.9", "12.0", "12.1"])
def test_tensorrt_rtx_serves_rtx_cards(capability, card):
    card(capability)
    assert not tensorrt_runtime.problem("cuda", "fp16")
    assert tensorrt_runtime._target("cuda:0") == {"gpu": "Some Card", "capability": capability}


@pytest.mark.parametrize("capability", ["8.0", "9.0", "10.0"])
def test_tensorrt_rtx_is_not_asked_to_build_for_a_data_centre_card(capability, card):
    card(capability)
    why = tensorrt_runtime.problem("cuda", "fp16")
    assert f"and Some Card has {capability}: pip install 'ccd_fast[tensorrt]'" in why
    with pytest.raises(UserError, match=r"runtime tensorrt, fp16 on cuda: tensorrt_rtx serves cards"):
        engines.resolve(EngineSettings("tensorrt", "fp16", device="cuda"))
    assert tensorrt_runtime._target("cuda") == {"capabilities": ["SM86", "SM89", "SM120"]}  # for cards elsewhere
    card(capability, "tensorrt")
    assert not tensorrt_runtime.problem("cuda", "fp16")


def fails_with(error):
    def fail(*_):
        raise error

    return fail


def only(monkeypatch, opens):
    """Let these runtimes be all that work, each opened so."""
    for name, runtime in engines.RUNTIMES.items():
        works = name in opens
        fake = replace(runtime, problem=lambda d, p, works=works: "" if works else NO_CARD, open=opens.get(name))
        monkeypatch.setitem(engines.RUNTIMES, name, fake)


def opened(name):
    return lambda tower, settings, store: SimpleNamespace(runtime=name, settings=settings)


def test_auto_passes_over_whatever_fails_and_says_so(monkeypatch, capsys):
    opens = {
        "tensorrt": fails_with(RunError("not on this card")),
        "torch-compiled": fails_with(TypeError("no such argument\nsecond line")),
        "onnxruntime": fails_with(MemoryError()),
        "torch": opened("torch"),
    }
    only(monkeypatch, opens)
    engine = engines.open_engine(TOWER, EngineSettings("auto", "fp16", device="cuda"), Store())
    assert (engine.runtime, engine.settings.runtime) == ("torch", "torch")
    assert capsys.readouterr().err.splitlines() == [
        "ccd-fast: tensorrt does not run here, so torch-compiled is taken: not on this card",
        "ccd-fast: torch-compiled does not run here, so onnxruntime is taken: TypeError: no such argument",
        "ccd-fast: onnxruntime does not run here, so torch is taken: MemoryError: no message",
    ]
    with pytest.raises(TypeError, match="no such argument"):
        engines.open_engine(TOWER, EngineSettings("torch-compiled", "fp16", device="cuda"), Store())


@pytest.mark.parametrize("refused", [StoreFullError("the disk is full"), StoreRefusedError("an engine has changed")])
def test_auto_passes_over_no_store(monkeypatch, capsys, refused):
    only(monkeypatch, {"onnxruntime": fails_with(refused), "torch": opened("torch")})
    with pytest.raises(type(refused)):
        engines.open_engine(TOWER, EngineSettings("auto", "fp32"), Store())
    assert not capsys.readouterr().err


def test_auto_compiles_before_it_exports_on_a_card(monkeypatch, capsys):
    only(monkeypatch, {"onnxruntime": fails_with(AssertionError), "torch-compiled": opened("torch-compiled")})
    assert engines.resolve(EngineSettings("auto", "fp16", device="cuda")).runtime == "torch-compiled"
    assert (
        engines.open_engine(TOWER, EngineSettings("auto", "fp16", device="cuda"), Store()).runtime == "torch-compiled"
    )
    assert not capsys.readouterr().err


def test_auto_says_why_a_card_gets_the_slow_way(monkeypatch, capsys):
    only(monkeypatch, {"torch": opened("torch")})
    assert engines.open_engine(TOWER, EngineSettings("auto", "fp16", device="cuda:1"), Store()).runtime == "torch"
    reasons = "; ".join(f"{name}: {NO_CARD}" for name in runtimes.AUTO["cuda"][:-1])
    assert capsys.readouterr().err == f"ccd-fast: the teacher runs on cuda:1 the slow way, by torch: {reasons}\n"
    assert engines.open_engine(TOWER, EngineSettings("auto"), Store()).runtime == "torch"
    assert not capsys.readouterr().err  # on a CPU it is no slower way


@pytest.mark.parametrize(
    ("version", "batch_size", "pays"),
    [
        *(("1.21.0", 31, True), ("1.21.0", 32, False), ("1.27.2", 64, False), ("1.9.0", 64, False)),
        *(("1.28.0", 64, True), ("1.31.1", 256, True), ("2.0", 64, True), ("1.28.0.dev20260701+cu13", 64, True)),
    ],
)
def test_onnxruntime_replays_a_graph_where_that_keeps_nobody_waiting(version, batch_size, pays, monkeypatch, capsys):
    assert graph_pays(version, batch_size) == pays
    output = SimpleNamespace(
        type=SimpleNamespace(
            tensor_type=SimpleNamespace(shape=SimpleNamespace(dim=[None, SimpleNamespace(dim_value=8)]))
        )
    )
    monkeypatch.setattr(onnx, "load", lambda *_, **__: SimpleNamespace(graph=SimpleNamespace(output=[output])))
    monkeypatch.setattr(onnxruntime, "__version__", version)
    asked = []

    def open_call(self, file, width, settings, graph):
        asked.append((width, graph))
        return SimpleNamespace(replays=False)

    monkeypatch.setattr(OnnxRuntimeEngine, "_open_call", open_call)
    for wanted in (True, False):
        settings = EngineSettings("onnxruntime", "fp16", batch_size, "cuda", cuda_graph=wanted)
        object.__new__(OnnxRuntimeEngine)._bound("tower.onnx", settings)
    assert asked == [(8, pays), (8, False)]
    said = (
        f"ccd-fast: onnxruntime, fp16 runs without a CUDA graph: {version} would wait for each replay, 1.28 does not\n"
    )
    assert capsys.readouterr().err == ("" if pays else said)


def test_onnxruntime_gets_the_cuda_libraries_of_torch_s_own_release(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__file__", str(tmp_path / "torch" / "__init__.py"))
    for name in ("cu13", "cublas", "cudnn", "cusparselt"):  # cusparselt begins with "cu" and sorts last
        (tmp_path / "nvidia" / name / "lib").mkdir(parents=True)
    for version, folders in (("13.2", ["cu13"]), ("12.8", []), (None, [])):
        monkeypatch.setattr(torch.version, "cuda", version)
        assert onnx_runtime._beside_torch() == [str(tmp_path / "nvidia" / name / "lib") for name in folders]
