"""Towers that look once: pixels to a map of their last features, and any box of the map to its embedding.

What can be pooled is taken as late as the tower allows. After a mean over positions all that follows is linear or not:
where it is, the map is kept projected. A tower is refused in one line where no box can be embedded from its map.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import nn
from torch.nn.functional import linear, normalize
from torchvision.ops import roi_align

from ccd_fast.engines.attention_pool import FirstQueryPool, has_attention_pool, resized_positions
from ccd_fast.engines.tower import ImageTower
from ccd_fast.errors import UserError

AGREES = 1e-4
"""Of the largest number: how near two ways of one calculation come in float32."""


@dataclass(frozen=True)
class MapTower:
    """A tower in two halves.

    Attributes:
        looks: the first half as an image tower of its own: normalised pixels to the map as one row,
            (M, width * grid * grid + more), channels first; ``more`` numbers, a class token, belong to no cell.
        boxes: the second half, :class:`BoxEmbeddings`.
    """

    looks: ImageTower
    boxes: "BoxEmbeddings"

    @property
    def numbers(self) -> int:
        """Give the numbers in a photograph's map."""
        return self.boxes.width * self.boxes.grid**2 + self.boxes.more


class BoxEmbeddings(nn.Module):
    """The second half of a tower: maps and boxes in, unit embeddings out.

    Features are averaged by RoI-align (He et al., Mask R-CNN, 2017) over a grid of bins in the box, ``aligned``, with
    so many samples a bin that of a box which is the whole view each lies in the middle of a cell.

    Attributes:
        width: D, numbers in a cell of the map.
        grid: G, cells along a side of the map.
        bins: n, bins along a side of a box: what the tower's own head reads.
        more: numbers of the map that belong to no cell.
        head: (M, D, n, n) pooled features, and (M, more) of the map of each, to (M, E).
    """

    def __init__(self, width: int, grid: int, bins: int, head: nn.Module, more: int = 0) -> None:
        """Take what is behind the map."""
        super().__init__()
        self.width, self.grid, self.bins, self.more = width, grid, bins, more
        self.samples = -(-grid // bins)
        self.head = head

    def forward(self, maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Embed boxes.

        Args:
            maps: (B, numbers) float32.
            boxes: (M, 5) float32: position of the map in the batch, then x0, y0, x1, y1 as shares of the view.

        Returns:
            (M, E) float32 of length 1.
        """
        cells = maps[:, : self.width * self.grid**2].reshape(-1, self.width, self.grid, self.grid)
        owner, corners = boxes[:, :1], boxes[:, 1:]
        regions = torch.cat([owner, corners * self.grid], dim=1)
        pooled = roi_align(cells, regions, (self.bins, self.bins), 1.0, self.samples, True)
        more = maps[:, self.width * self.grid**2 :][owner[:, 0].long()]
        return normalize(self.head(pooled, more), dim=-1)


def map_tower(tower: ImageTower, view_size: int) -> MapTower:
    """Split a tower into the look and the boxes.

    Args:
        tower: of a CLIP, at the size that it was trained for.
        view_size: side of the square view that the map is of, in pixels. Convolutions read any; a ViT's positions are
            resampled to it, as open_clip does it.

    Raises:
        UserError: the tower has no map that a box could be embedded from; or its patches do not cover the view.
    """
    visual: Any = tower.module
    if has_attention_pool(visual):
        cells, boxes = _of_attention_pool(visual, view_size)
    elif isinstance(visual, open_clip.transformer.VisionTransformer):
        cells, boxes = _of_vit(tower.name, visual, view_size)
    elif isinstance(visual, open_clip.timm_model.TimmModel):
        cells, boxes = _of_timm(tower.name, visual, view_size)
    else:
        raise _no_map(tower.name, f"a {type(visual).__name__} is not known")
    for half in (cells, boxes):
        half.eval().requires_grad_(False)
    looks = ImageTower(tower.name, cells, view_size, tower.mean, tower.std, tower.interpolation, "map")
    return MapTower(looks, boxes)


def is_projected(tower: ImageTower) -> bool:
    """Tell whether all that follows the mean over positions is linear, so that a tower's map can be kept projected."""
    try:
        head = map_tower(tower, tower.image_size).boxes.head
    except UserError:
        return False
    return isinstance(head, Behind) and head.tail is None


def _no_map(name: str, why: str) -> UserError:
    return UserError(f"teacher {name}: has no map of a view ({why}): use relabel.teacher = 'crops'")


class Cells(nn.Module):
    """The first half of a CNN: features of the last layer, projected where the projection commutes with pooling."""

    def __init__(self, features: nn.Module, projection: nn.Linear | None = None) -> None:
        """Take a module that maps (M, 3, S, S) to (M, C, G, G), and a projection of C numbers."""
        super().__init__()
        self.features = features
        self.projection = projection

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map (M, 3, S, S) to (M, D * G * G)."""
        cells: torch.Tensor = self.features(pixels)
        if self.projection is not None:
            cells = self.projection(cells.movedim(1, 3)).movedim(3, 1)
        return cells.flatten(1)


class Behind(nn.Module):
    """What follows a mean over positions: a module on it, or nothing where the map is projected already."""

    def __init__(self, tail: nn.Module | None = None) -> None:
        """Take a module that maps (M, D, 1, 1) to (M, E)."""
        super().__init__()
        self.tail = tail

    def forward(self, pooled: torch.Tensor, more: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - there is none
        """Map (M, D, 1, 1) to (M, E)."""
        return pooled.flatten(1) if self.tail is None else self.tail(pooled)


class _Trunk(nn.Module):
    """The features of a network of timm."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.trunk = visual.trunk

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.trunk.forward_features(pixels)  # type: ignore[no-any-return]


class _TimmTail(nn.Module):
    """What a network of timm, and open_clip behind it, make of features: pooling, norms, projections."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.trunk, self.head = visual.trunk, visual.head

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk.forward_head(cells))  # type: ignore[no-any-return]


def _of_timm(name: str, visual: Any, view_size: int) -> tuple[nn.Module, BoxEmbeddings]:
    """Split a CNN of timm whose head begins with a mean over positions."""
    trunk, tail = _Trunk(visual), _TimmTail(visual)
    with torch.inference_mode():
        cells = trunk(torch.zeros(1, 3, view_size, view_size))
    width = cells.shape[1]
    if cells.ndim != 4 or width != visual.trunk.num_features or hasattr(visual.head, "pool"):
        raise _no_map(name, "its features are no grid that is averaged")
    some = torch.randn((2, width, 3, 3), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        of_all, of_mean = tail(some), tail(some.mean(dim=(2, 3), keepdim=True))
    if not _agree(of_all, of_mean):
        raise _no_map(name, "its head does not begin with a mean")
    projection = _as_linear(tail, width)
    return _averaged(trunk, tail, projection, width, cells.shape[-1])


def _averaged(
    features: nn.Module, tail: nn.Module, projection: nn.Linear | None, width: int, grid: int
) -> tuple[nn.Module, BoxEmbeddings]:
    """Put together a tower that takes a mean over positions; the map is projected where that makes it no larger."""
    if projection is not None and projection.out_features <= width:
        return Cells(features, projection), BoxEmbeddings(projection.out_features, grid, 1, Behind())
    return Cells(features), BoxEmbeddings(width, grid, 1, Behind(tail))


def _as_linear(tail: Callable[[torch.Tensor], torch.Tensor], width: int) -> nn.Linear | None:
    """Give what follows the mean as one linear map, or nothing where it is not linear."""
    with torch.inference_mode():
        bias = tail(torch.zeros(1, width, 1, 1))[0]
        weight = (tail(torch.eye(width).view(width, width, 1, 1)) - bias).T
        some = torch.randn((4, width), generator=torch.Generator().manual_seed(1))
        if not _agree(tail(some.view(4, width, 1, 1)), linear(some, weight, bias)):
            return None
    found = nn.Linear(width, len(bias))
    found.weight.data, found.bias.data = weight.clone(), bias.clone()
    return found


def _agree(ours: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((ours - other).abs().max() <= AGREES * other.abs().max())


class _Convolutions(nn.Module):
    """What a ModifiedResNet of open_clip does before its attention pool."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        parts = ("conv1", "bn1", "act1", "conv2", "bn2", "act2", "conv3", "bn3", "act3", "avgpool")
        layers = ("layer1", "layer2", "layer3", "layer4")
        self.steps = nn.Sequential(*(getattr(visual, name) for name in (*parts, *layers)))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.steps(pixels)  # type: ignore[no-any-return]


class _AttentionHead(nn.Module):
    """The attention pool on the bins of a box, as many as the pool has positions for."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool = FirstQueryPool(pool)

    def forward(self, pooled: torch.Tensor, more: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - there is none
        return self.pool(pooled)  # type: ignore[no-any-return]


def _of_attention_pool(visual: Any, view_size: int) -> tuple[nn.Module, BoxEmbeddings]:
    """Split a ModifiedResNet: a box is pooled to the grid that the attention pool was trained on."""
    features = _Convolutions(visual)
    with torch.inference_mode():
        cells = features(torch.zeros(1, 3, view_size, view_size))
    bins = round((len(visual.attnpool.positional_embedding) - 1) ** 0.5)
    return Cells(features), BoxEmbeddings(cells.shape[1], cells.shape[-1], bins, _AttentionHead(visual.attnpool))


class _Tokens(nn.Module):
    """A ViT of open_clip up to some block: class token and patches, with positions for another grid."""

    def __init__(self, visual: Any, grid: int, blocks: int) -> None:
        super().__init__()
        self.conv1, self.ln_pre = visual.conv1, visual.ln_pre
        self.class_embedding = visual.class_embedding
        positions = resized_positions(visual.positional_embedding.data, grid)
        own = len(positions) == len(visual.positional_embedding)
        self.positions = nn.Parameter(visual.positional_embedding.data if own else positions)
        self.blocks = nn.Sequential(*visual.transformer.resblocks[:blocks])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map (M, 3, S, S) to (M, 1 + G * G, D)."""
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.to(patches.dtype).view(1, 1, -1).expand(patches.shape[0], -1, -1)
        tokens = torch.cat([first, patches], dim=1) + self.positions.to(patches.dtype)
        return self.blocks(self.ln_pre(tokens))  # type: ignore[no-any-return]


class _TokensBeforeLast(nn.Module):
    """The map of a ViT with a class token: patches, channels first, and behind them the class token."""

    def __init__(self, tokens: _Tokens) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens(pixels)
        return torch.cat([tokens[:, 1:].transpose(1, 2).flatten(1), tokens[:, 0]], dim=1)


class _LastBlock(nn.Module):
    """The last block of a ViT for its class token alone, which attends to itself and to the bins of a box."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.block, self.ln_post = visual.transformer.resblocks[-1], visual.ln_post
        self.proj = visual.proj

    def forward(self, pooled: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
        """Map (M, D, n, n) and class tokens (M, D) to (M, E)."""
        block = self.block
        first = more.unsqueeze(1)
        seen = block.ln_1(torch.cat([first, pooled.flatten(2).transpose(1, 2)], dim=1))
        first = first + block.ls_1(block.attn(seen[:, :1], seen, seen, need_weights=False)[0])
        first = self.ln_post((first + block.ls_2(block.mlp(block.ln_2(first))))[:, 0])
        return first if self.proj is None else first @ self.proj  # type: ignore[no-any-return]


class _Patches(nn.Module):
    """The patches of a ViT as a grid, behind its last norm where that comes before the mean."""

    def __init__(self, tokens: _Tokens, grid: int, norm: nn.Module) -> None:
        super().__init__()
        self.tokens, self.grid, self.norm = tokens, grid, norm

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.norm(self.tokens(pixels))[:, 1:]
        return patches.transpose(1, 2).unflatten(2, (self.grid, self.grid))  # type: ignore[no-any-return]


class _MeanTail(nn.Module):
    """What a ViT makes of the mean of its patches."""

    def __init__(self, norm: nn.Module, proj: nn.Parameter | None) -> None:
        super().__init__()
        self.norm, self.proj = norm, proj

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        mean = self.norm(pooled.flatten(1))
        return mean if self.proj is None else mean @ self.proj  # type: ignore[no-any-return]


def _of_vit(name: str, visual: Any, view_size: int) -> tuple[nn.Module, BoxEmbeddings]:
    """Split a ViT: before the last block where a class token is its answer, behind it where that is a mean."""
    patch, blocks = visual.patch_size[0], visual.transformer.resblocks
    if visual.attn_pool is not None or visual.pool_type not in ("tok", "avg"):
        raise _no_map(name, "it pools by learned queries")
    if view_size % patch:
        raise UserError(
            f"teacher {name}: its patches of {patch} pixels do not cover a view of {view_size}: "
            f"set relabel.maps_size to a multiple of {patch}"
        )
    grid, width = view_size // patch, visual.transformer.width
    if visual.pool_type == "avg":
        after = visual.final_ln_after_pool
        before, behind = (nn.Identity(), visual.ln_post) if after else (visual.ln_post, nn.Identity())
        tail = _MeanTail(behind, visual.proj)
        features = _Patches(_Tokens(visual, grid, len(blocks)), grid, before)
        return _averaged(features, tail, _as_linear(tail, width), width, grid)
    if not isinstance(blocks[-1], open_clip.transformer.ResidualAttentionBlock):
        raise _no_map(name, "its blocks are of another kind")
    looks = _TokensBeforeLast(_Tokens(visual, grid, len(blocks) - 1))
    return looks, BoxEmbeddings(width, grid, visual.grid_size[0], _LastBlock(visual), more=width)
