"""The number format of a tower's arithmetic: fp32, fp16 or bf16, put into the graph itself.

TensorRT 11 builds what the graph says and nothing else, so the format is chosen here, once, for every runtime.
"""

from copy import deepcopy
from typing import Any, Literal, get_args

import torch
from torch import nn

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class InFloat32(nn.Module):
    """Runs a module in float32 between parts in half precision: a sum of squares overflows float16 above 65504."""

    def __init__(self, module: nn.Module) -> None:
        """Wrap a module whose parameters are float32."""
        super().__init__()
        self.module = module

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Give the module's output in the dtype of the input."""
        return self.module(features.float()).to(features.dtype)  # type: ignore[no-any-return]


def in_precision(visual: nn.Module, precision: Precision) -> Any:
    """Copy a tower into a precision; normalisation layers stay in float32.

    Softmax needs no such care: it subtracts the maximum first, and open_clip scales queries and keys before their
    product. The L2 norm of the embeddings is taken in float32 by :class:`ccd_fast.engines.tower.EmbedPixels`.

    Args:
        visual: a tower in float32; left as it is, and given back itself for ``"fp32"``.
        precision: of convolutions and matrix products.
    """
    if precision == "fp32":
        return visual
    norms = _norms()
    copy = deepcopy(visual).to(DTYPES[precision])
    for name, module in list(copy.named_modules()):
        if isinstance(module, norms):
            parent, _, own = name.rpartition(".")
            original = visual.get_submodule(name)
            setattr(copy.get_submodule(parent), own, InFloat32(deepcopy(original)))
    return copy


def _norms() -> tuple[type[nn.Module], ...]:
    """Name the layers that add up squares, timm's own too. A BatchNorm, whose statistics are known, is a product."""
    from timm.layers import RmsNorm, RmsNorm2d, SimpleNorm, SimpleNorm2d
    from timm.layers.grn import GlobalResponseNorm

    of_timm = (RmsNorm, RmsNorm2d, SimpleNorm, SimpleNorm2d, GlobalResponseNorm)
    return nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, *of_timm
