"""The demo world's own CLIP: its shape, its weights as they are committed, and how they become an open_clip folder.

The token embedding of CLIP's tokenizer has 49408 rows, of which the captions of this world use a few dozen. Only these
are kept; :func:`install` puts them back in their places among zeros.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from ccd_fast.demo.captions import CONTEXT_LENGTH
from ccd_fast.engines import default_folder
from ccd_fast.engines.cache import writable
from ccd_fast.machine import folder_in_the_making
from ccd_fast.teacher import CONFIG, WEIGHTS

IMAGE_SIZE = 64
MEAN = (0.62, 0.60, 0.58)
STD = (0.26, 0.25, 0.26)
VOCABULARY = 49408
COMPACT_WEIGHTS = "tiny_clip.safetensors"
FOLDER = Path(__file__).parent / "weights"

MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": VOCABULARY,
        "width": 64,
        "heads": 2,
        "layers": 2,
    },
}
PREPROCESS: dict[str, Any] = {
    "mean": list(MEAN),
    "std": list(STD),
    "interpolation": "bicubic",
    "resize_mode": "squash",
}

_EMBEDDING = "token_embedding.weight"
_IDS = "token_ids"


def build(vocabulary: int) -> nn.Module:
    """Build the model with random weights, as open_clip builds it from the committed config.

    Args:
        vocabulary: rows of the token embedding.
    """
    import open_clip

    text = {**MODEL["text_cfg"], "vocab_size": vocabulary}
    model: nn.Module = open_clip.model.CLIP(MODEL["embed_dim"], MODEL["vision_cfg"], text)
    return model


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Turn (M, S, S, 3) uint8 pixels into what the image tower reads, (M, 3, S, S) float32."""
    mean, std = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels.permute(0, 3, 1, 2).float() - mean) / std


def round_to_half(model: nn.Module) -> None:
    """Round all weights to float16 in place: what is saved is then exactly what was measured."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half())


def save(model: nn.Module, token_ids: torch.Tensor, folder: Path, facts: Mapping[str, object]) -> None:
    """Write the compact weights and the config.

    Args:
        model: with one row of the token embedding for each of ``token_ids``.
        token_ids: (U,) int64, ascending, the tokenizer's number of each row.
        folder: made if need be; older files there are replaced.
        facts: how the weights were made, kept in the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.state_dict().items()
    }
    state[_IDS] = token_ids.to(torch.int32)
    # One entry: the order of several is not fixed, and with it the bytes of the file.
    metadata = {"made": json.dumps(facts, sort_keys=True)}
    safetensors.torch.save_file(state, folder / COMPACT_WEIGHTS, metadata)
    (folder / COMPACT_WEIGHTS).chmod(0o644)  # safetensors keeps it from everyone else
    config = json.dumps({"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}, indent=2)
    (folder / CONFIG).write_text(config + "\n", encoding="utf-8")


def content_hash(folder: Path = FOLDER) -> str:
    """Hash the committed files, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in (CONFIG, COMPACT_WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]


def how_made(folder: Path = FOLDER) -> dict[str, Any]:
    """Read how the weights were made: seed, versions, figures."""
    with safetensors.safe_open(folder / COMPACT_WEIGHTS, "pt") as file:
        facts: dict[str, Any] = json.loads(file.metadata()["made"])
    return facts


def complete_state(folder: Path = FOLDER) -> dict[str, torch.Tensor]:
    """Give all weights as open_clip expects them: float32, the token embedding with every row.

    Rows of tokens that the training never saw are zero.
    """
    state = safetensors.torch.load_file(folder / COMPACT_WEIGHTS)
    ids = state.pop(_IDS).long()
    rows = state[_EMBEDDING].float()
    complete = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    complete[_EMBEDDING] = torch.zeros(VOCABULARY, rows.shape[1]).index_copy_(0, ids, rows)
    return complete


def install(cache: Path | None = None, folder: Path = FOLDER) -> Path:
    """Put the tiny CLIP into a cache, as a folder that ``--teacher`` and open_clip's ``local-dir:`` take.

    Args:
        cache: the cache folder; by default ``$CCD_CACHE`` or ``ccd_fast`` in the user's cache folder.
        folder: where the compact weights are.

    Returns:
        The folder, ``demo/tiny-clip-<hash of the contents>`` in the cache: whole, and left alone if it was there.
    """
    demo = (cache or default_folder()) / "demo"
    target = demo / f"tiny-clip-{content_hash(folder)}"
    if target.is_dir():
        return target
    demo = writable(demo)
    target = demo / target.name
    if target.is_dir():
        return target
    with folder_in_the_making(demo, ".installing-") as temporary:
        fresh = temporary / target.name
        fresh.mkdir()
        (fresh / CONFIG).write_bytes((folder / CONFIG).read_bytes())
        safetensors.torch.save_file(complete_state(folder), fresh / WEIGHTS)
        try:
            fresh.rename(target)
        except OSError:  # another process was first: the same hash means the same weights
            if not target.is_dir():
                raise
    return target
