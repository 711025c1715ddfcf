"""The attention pool of CLIP's ResNets: only its first query counts, and it can be had for another image size."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate, scaled_dot_product_attention


def resized_positions(positions: torch.Tensor, grid: int) -> torch.Tensor:
    """Resample an attention pool's positional embedding to another grid, as open_clip does it for its ViTs.

    Args:
        positions: (1 + g * g, D), the first row for the mean of the positions.
        grid: side of the new grid.

    Returns:
        (1 + grid * grid, D); bicubic, antialiased, align_corners = False.
    """
    first, old = positions[:1], positions[1:]
    side = round(len(old) ** 0.5)
    maps = old.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    new = interpolate(maps, size=(grid, grid), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([first, new.permute(0, 2, 3, 1).reshape(grid * grid, -1).to(first.dtype)])


def resize_attention_pool(visual: Any, image_size: int) -> None:
    """Make a ModifiedResNet of open_clip read another image size, in place; another tower is left alone.

    Args:
        visual: the image tower.
        image_size: side of the square input in pixels.
    """
    if not has_attention_pool(visual):
        return
    grid = image_size
    for _ in range(5):  # one strided convolution, which rounds up, and four pools, which round down
        grid = (grid + 1) // 2 if grid == image_size else grid // 2
    positions = visual.attnpool.positional_embedding
    visual.attnpool.positional_embedding = nn.Parameter(resized_positions(positions.data, grid), requires_grad=False)
    visual.image_size = image_size


def has_attention_pool(visual: Any) -> bool:
    """Tell whether a tower is a ModifiedResNet of open_clip."""
    return hasattr(visual, "attnpool") and hasattr(visual.attnpool, "positional_embedding")


class FirstQueryPool(nn.Module):
    """An attention pool that computes its first output only: the others were thrown away."""

    def __init__(self, pool: Any) -> None:
        """Take over the weights of an ``AttentionPool2d`` of open_clip."""
        super().__init__()
        self.positional_embedding = pool.positional_embedding
        self.q_proj, self.k_proj, self.v_proj, self.c_proj = pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj
        self.num_heads: int = pool.num_heads

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool (M, D, h, w) features to (M, E) embeddings."""
        tokens = features.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        tokens = tokens + self.positional_embedding.to(tokens.dtype)
        query, key, value = (
            projection(rows).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for projection, rows in ((self.q_proj, tokens[:, :1]), (self.k_proj, tokens), (self.v_proj, tokens))
        )
        pooled = scaled_dot_product_attention(query, key, value)
        return self.c_proj(pooled.transpose(1, 2).flatten(1))  # type: ignore[no-any-return]


def with_first_query_only(visual: Any) -> Any:
    """Give a tower whose attention pool, if it has one, computes its first output only; weights are shared."""
    if not has_attention_pool(visual):
        return visual
    lean = _shallow(visual)
    lean.attnpool = FirstQueryPool(visual.attnpool)
    return lean


def _shallow(module: Any) -> Any:
    """Copy a module but not its parameters and buffers."""
    shared = {id(tensor): tensor for tensor in [*module.parameters(), *module.buffers()]}
    return deepcopy(module, shared)
