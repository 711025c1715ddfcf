"""CLIPs of any open_clip architecture with random weights that tell pictures apart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import safetensors.torch
import torch
from pictures import picture
from PIL import Image
from torch import nn
from torch.nn.functional import normalize

from ccd_fast.engines import ImageTower
from ccd_fast.engines.attention_pool import has_attention_pool, resize_attention_pool

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)


def pictures(number: int, size: int, seed: int = 5) -> torch.Tensor:
    """Square pictures, (number, size, size, 3) uint8."""
    rng = np.random.default_rng(seed)
    drawn = [picture(rng, size, size).resize((size, size), Image.Resampling.BICUBIC) for _ in range(number)]
    return torch.from_numpy(np.stack([np.asarray(p) for p in drawn]))


def cut(visual: nn.Module, depth: int) -> None:
    """Leave so many layers of each kind: every module that a tower has is still there, at its own width."""
    for name, module in visual.named_modules():
        own = name.rsplit(".", 1)[-1]
        if own in ("resblocks", "blocks", "layer1", "layer2", "layer3", "layer4"):
            del module[depth:]


def random_model(architecture: str, image_size: int | None = None, seed: int = 0, depth: int | None = None) -> Any:
    """A model of open_clip whose statistics and layer scales are random too, as training would leave them.

    With a ``depth`` it has so many layers of each kind: exporting takes its time by the layer.
    """
    torch.manual_seed(seed)
    pooled = isinstance(open_clip.get_model_config(architecture)["vision_cfg"].get("layers"), list)
    model = open_clip.create_model(architecture, force_image_size=None if pooled else image_size)
    if depth is not None:
        cut(model.visual, depth)
    for name, module in model.visual.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
            module.momentum = 1.0
        for own, parameter in module.named_parameters(recurse=False):
            if own in ("gamma", "ls") or name.endswith(("ls1", "ls2")):
                parameter.data.uniform_(0.3, 1)
    if pooled and image_size is not None:
        resize_attention_pool(model.visual, image_size)
    model.requires_grad_(False)
    size = image_size or to_pair(model.visual.image_size)[0]
    if any(isinstance(module, nn.BatchNorm2d) for module in model.visual.modules()):
        model.visual.train()(normalised(pictures(16, size, seed=6), MEAN, STD))  # statistics as training leaves them
    return model.eval()


def write_coca(folder: Path) -> Path:
    """A CoCa with random weights, as open_clip reads it from a folder: its image tower gives tokens too."""
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    vision |= {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    above = {**text, "attn_pooler_heads": 4}
    text |= {"embed_cls": True, "output_tokens": True}
    torch.manual_seed(0)
    model = open_clip.coca_model.CoCa(embed_dim=32, multimodal_cfg=above, text_cfg=text, vision_cfg=vision)
    model.visual.conv1.weight.data *= 3  # otherwise the position embeddings drown the picture
    parts = {"vision_cfg": vision, "text_cfg": text, "multimodal_cfg": above}
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic"}
    config = {"model_cfg": {"embed_dim": 32, **parts, "custom_text": True}, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, folder / "open_clip_model.safetensors")
    return folder


def tower_of(model: Any, name: str) -> ImageTower:
    """Its image tower, what all pictures have in common taken out of its last bias, as training would."""
    size = to_pair(model.visual.image_size)[0]
    norms = [module for module in model.visual.modules() if isinstance(module, nn.LayerNorm)]
    for module in model.visual.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.out_proj.weight.data *= 8  # otherwise a class token sees little of the picture
    if norms:
        _centre(norms[-1], lambda: embed(model.visual, pictures(12, size, seed=6)))
    if has_attention_pool(model.visual):
        with torch.no_grad():
            common = model.visual(normalised(pictures(12, size, seed=6), MEAN, STD)).mean(dim=0)
        model.visual.attnpool.c_proj.bias.data -= common
    return ImageTower(name, model.visual, size, MEAN, STD, "bicubic")


def distinct(tower: ImageTower, number: int) -> torch.Tensor:
    """Pictures that the tower tells apart: every two have a cosine below 0.9."""
    pool = pictures(6 * number, tower.image_size)
    cosine = (embeddings := embed(tower.module, pool, tower.mean, tower.std)) @ embeddings.T
    chosen: list[int] = []
    for row in range(len(pool)):
        if len(chosen) < number and all(cosine[row, other] < 0.9 for other in chosen):
            chosen.append(row)
    assert len(chosen) == number, f"{tower.name}: {number - len(chosen)} of {number} pictures look like another"
    return pool[chosen]


def _centre(norm: nn.LayerNorm, run: Callable[[], object]) -> None:
    """Take the mean of the last features over pictures out of a norm's bias, as training would."""
    seen: list[torch.Tensor] = []
    handle = norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    run()
    handle.remove()
    features = seen[0].flatten(2).mean(2) if seen[0].ndim == 4 else seen[0].reshape(-1, len(norm.bias))
    norm.bias.data -= features.mean(dim=0)


def alike(embeddings: torch.Tensor) -> float:
    """The largest cosine of two different rows."""
    cosine = embeddings @ embeddings.T
    return float(cosine.fill_diagonal_(-1).max())


def embed(visual: nn.Module, pixels: torch.Tensor, mean: Any = MEAN, std: Any = STD) -> torch.Tensor:
    """By open_clip's own tower, in fp32 and eager mode."""
    with torch.inference_mode():
        return normalize(visual(normalised(pixels, mean, std)), dim=-1)


def normalised(pixels: torch.Tensor, mean: Any, std: Any) -> torch.Tensor:
    """Uint8 pixels as a tower of open_clip reads them."""
    m, s = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    return (pixels.permute(0, 3, 1, 2) / 255 - m) / s


def to_pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
