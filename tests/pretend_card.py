"""A GPU that is none: tensors on it are tensors of the host that say ``cuda:0``, and refuse to meet those of the host.

So the code that runs with ``--device cuda`` runs here, too, and a tensor that is on the wrong device is found without a
card. What this does not see: kernels, speed, and the order of work on streams (tests/test_device_streams.py).
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from ccd_fast.kernels import cupy_kernels, numpy_twins

CARD = torch.device("cuda", 0)
MOVES = ("aten::_to_copy", "aten::copy_")
INDEXED = ("aten::index", "aten::_index", "aten::_unsafe_index")
"""Operators whose indices may be on the host."""


class OnCard(torch.Tensor):
    """A tensor on the card. To autograd, whose threads ask for a real card, it is one on ``meta``."""

    host: torch.Tensor

    @staticmethod
    def __new__(cls, host: torch.Tensor) -> "OnCard":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            host.shape,
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device=torch.device("meta"),
            requires_grad=host.requires_grad,
        )

    def __init__(self, host: torch.Tensor) -> None:
        self.host = host

    @property
    def device(self) -> torch.device:
        return CARD

    @property
    def is_cuda(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"OnCard{tuple(self.shape)}"

    def tolist(self) -> Any:
        return self.host.tolist()

    def __deepcopy__(self, memo: dict) -> "OnCard":
        if id(self) not in memo:
            copy = OnCard(self.host.detach().clone())
            memo[id(self)] = torch.nn.Parameter(copy, self.requires_grad) if hasattr(self, "_is_param") else copy
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Pretend(TorchDispatchMode):
    """Takes what is made on the card, or moved there, in one thread."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operator on the host's tensors behind the card's, if a real card would run it."""
    name = func._schema.name
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    on_card = [tensor for tensor in tensors if isinstance(tensor, OnCard)]
    on_host = [tensor for tensor in tensors if not isinstance(tensor, OnCard) and tensor.dim()]
    to_card = bool(on_card)
    if name in MOVES:
        to_card = isinstance(args[0], OnCard)
    elif name.startswith(INDEXED):
        meet = [value for value in (args[0], *args[2:]) if isinstance(value, torch.Tensor) and value.dim()]
        if len({isinstance(value, OnCard) for value in meet}) > 1:
            raise RuntimeError(f"{name}: on the card and on the host: {[tuple(value.shape) for value in meet]}")
        indices = [value for value in tree_flatten(args[1])[0] if isinstance(value, OnCard)]
        if indices and not isinstance(args[0], OnCard):
            raise RuntimeError(f"{name}: a tensor of the host is indexed by one on the card")
    elif on_card and on_host:
        raise RuntimeError(f"{name}: {on_card} on the card, {[tuple(t.shape) for t in on_host]} on the host")
    if kwargs.get("device") is not None:
        to_card = torch.device(kwargs["device"]).type != "cpu"  # "meta" is where autograd takes the card's to be
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if kwargs.get("pin_memory"):  # on a card it is memory of the host, as any other
        kwargs = {**kwargs, "pin_memory": False}
    plain = tree_map(lambda value: value.host if isinstance(value, OnCard) else value, (args, kwargs))
    with _disable_current_modes():
        made = func(*plain[0], **plain[1])
    given = {id(p): a for p, a in zip(tree_flatten(plain)[0], tree_flatten((args, kwargs))[0], strict=True)}

    def back(value: Any) -> Any:
        if id(value) in given and isinstance(value, torch.Tensor):  # changed in place: the same one again
            return given[id(value)]
        return OnCard(value) if isinstance(value, torch.Tensor) and to_card else value

    return tree_map(back, made)


class Streams:
    """Streams and events that do nothing; a stream that is entered takes its thread onto the card."""

    def __init__(self) -> None:
        self.of_thread = threading.local()
        self.default = SimpleNamespace(wait_stream=lambda _: None, wait_event=lambda _: None, cuda_stream=0)

    def current(self, _: Any = None) -> Any:
        return getattr(self.of_thread, "stream", self.default)

    @contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        before = self.current()
        self.of_thread.stream = stream
        with Pretend():
            yield
        self.of_thread.stream = before

    def new(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(**vars(self.default))


class Event:
    """An event whose time has always come."""

    def __init__(self, **_: Any) -> None:
        pass

    def record(self, _: Any = None) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, _: "Event") -> float:
        return 1.0


def _by_twin(name: str) -> Any:
    """Give a CUDA kernel's stand-in: its NumPy twin on the host's tensors."""

    def call(*arguments: Any) -> Any:
        twin = vars(numpy_twins)[name]
        with _disable_current_modes():
            given = [a.host if isinstance(a, OnCard) else a for a in arguments]
            assert all(isinstance(a, OnCard) for a in arguments if isinstance(a, torch.Tensor))
            made = twin(*given)
        return tree_map(lambda value: OnCard(value) if isinstance(value, torch.Tensor) else value, made)

    return call


def _without_gradients(mode: Any) -> None:
    """Stand in for inference mode, in which a tensor like ours has no views."""
    mode._inference_mode_context = torch.no_grad()
    mode._inference_mode_context.__enter__()


@contextmanager
def pretend_card() -> Iterator[None]:
    """Let torch believe that there is one card, in this thread and in those that enter a stream."""
    streams = Streams()
    torch._C._ensureCUDADeviceGuardSet()
    facts = SimpleNamespace(name="no card", total_memory=2**34, major=9, minor=0, multi_processor_count=8)
    patches = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "get_device_name": lambda _=None: facts.name,
        "get_device_capability": lambda _=None: (facts.major, facts.minor),
        "get_device_properties": lambda _=None: facts,
        "is_bf16_supported": lambda including_emulation=True: True,
        "synchronize": lambda _=None: None,
        "empty_cache": lambda: None,
        "Stream": streams.new,
        "Event": Event,
        "stream": streams.on,
        "current_stream": streams.current,
    }
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in patches.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(cupy_kernels, "available", lambda: True)
        for kernel in ("score", "update", "cam_boxes", "crop_resize"):
            patch.setattr(cupy_kernels, kernel, _by_twin(kernel))
        host = torch.Generator
        patch.setattr(torch, "Generator", lambda device=None: host())
        patch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
        patch.setattr(torch.inference_mode, "__enter__", _without_gradients)
        overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        stack.enter_context(Pretend())
        yield
