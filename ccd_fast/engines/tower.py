"""What goes into an engine, and what comes out."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import nn
from torch.nn.functional import normalize

from ccd_fast.engines.attention_pool import with_first_query_only
from ccd_fast.engines.precision import DTYPES, Precision, in_precision


@dataclass(frozen=True)
class ImageTower:
    """The image tower of a CLIP, with the preprocessing that it was trained with.

    Attributes:
        name: the teacher's name.
        module: normalised pixels (M, 3, S, S) float32 to embeddings (M, D).
        image_size: S, side of the square input in pixels.
        mean: of each channel, for pixels in 0 … 1.
        std: of each channel, likewise.
        interpolation: filter of the resize to S.
        gives: ``"embeddings"``, which an engine makes unit, or a ``"map"``, which it leaves as it is.
    """

    name: str
    module: nn.Module
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]
    gives: Literal["embeddings", "map"] = "embeddings"

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over the names, types, shapes and bytes of all weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def identity(self) -> dict[str, object]:
        """Give everything of the tower that an engine depends on."""
        return {
            "teacher": self.name,
            "weights": self.weights_hash,
            "image_size": self.image_size,
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            **({"gives": "map"} if self.gives == "map" else {}),
        }


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is to run.

    Attributes:
        runtime: a name of :data:`ccd_fast.engines.RUNTIMES`, or ``"auto"``.
        precision: of its arithmetic; pixels, embeddings and normalisation layers are not affected.
        batch_size: views in one call; the last call of an uneven number is padded to it.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        threads: threads of a runtime on the CPU.
        cuda_graph: replay each call as a captured CUDA graph, where the runtime can.
    """

    runtime: str = "auto"
    precision: Precision = "fp32"
    batch_size: int = 16
    device: str = "cpu"
    threads: int = 1
    cuda_graph: bool = True


class EmbedPixels(nn.Module):
    """The contract of an engine as a module: uint8 pixels in, unit embeddings out, or a map as it is."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, tower: ImageTower, precision: Precision = "fp32") -> None:
        """Wrap a tower; of an attention pool only the first query is computed."""
        super().__init__()
        self.tower = in_precision(with_first_query_only(tower.module), precision)
        self.dtype = DTYPES[precision]
        self.unit = tower.gives == "embeddings"
        self.register_buffer("mean", 255 * torch.tensor(tower.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(tower.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map (M, S, S, 3) uint8 to (M, D) float32, of length 1 unless it is a map."""
        normalised = (pixels.float().permute(0, 3, 1, 2) - self.mean) / self.std  # TensorRT permutes no uint8
        embeddings = self.tower(normalised.to(self.dtype))
        if isinstance(embeddings, tuple):  # a CoCa's tower gives its tokens too
            embeddings = embeddings[0]
        return normalize(embeddings.float(), dim=-1) if self.unit else embeddings.float()


class ImageEngine(Protocol):
    """Turns pixels into embeddings."""

    runtime: str
    key: str
    image_size: int
    batch_size: int

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed any number of views.

        A row's embedding does not depend on its neighbours: every call of the runtime has ``batch_size`` rows.

        Args:
            pixels: (M, S, S, 3) uint8 on the engine's device, S being ``image_size``.

        Returns:
            (M, D) float32 on the same device, rows of length 1.
        """
        ...
