"""The teacher: a frozen CLIP that scores views over the class names (section 1)."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn
from torch.nn.functional import normalize

from ccd_fast.engines import ImageEngine, ImageTower
from ccd_fast.engines.attention_pool import has_attention_pool, resize_attention_pool
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.errors import UserError, nearest

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
RANDOM = "random"
"""Weights tag of a model as it is before training: good for measuring speed, and for nothing else."""


@dataclass(frozen=True)
class Clip:
    """A CLIP as open_clip loads it.

    Attributes:
        name: as the user named it.
        model: the whole model, in float32, for evaluation.
        tokenize: texts to tokens (T, context).
        tower: its image tower, for an engine.
        scale: exp(logit_scale).
    """

    name: str
    model: nn.Module
    tokenize: Any
    tower: ImageTower
    scale: float


class Teacher:
    """Scores views: an engine for the pixels, and one embedding a class."""

    def __init__(self, clip: Clip, engine: ImageEngine, classes: torch.Tensor) -> None:
        """Join an engine of a CLIP's image tower with class embeddings, (C, D) float32 of length 1."""
        self.engine = engine
        self.classes = classes
        self.scale = clip.scale
        self.image_size = engine.image_size
        self.batch_size = engine.batch_size
        self.interpolation = clip.tower.interpolation

    def similarities(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute s_c = scale <e, t_c> for views, (M, S, S, 3) uint8: (M, C) float32.

        Their softmax over the classes are the scores p. A row does not depend on its neighbours: a matrix product
        may add up in another order where it has another number of rows, so it too sees one number only.
        """
        embeddings = self.engine.embed(pixels)
        return in_fixed_batches(embeddings, self.batch_size, lambda batch: self.scale * (batch @ self.classes.T))


def load_clip(name: str, image_size: int | str = "native") -> Clip:
    """Load a CLIP by open_clip's name for it.

    Args:
        name: ``architecture/weights`` (``ViT-B-32/laion2b_s34b_b79k``), ``hf-hub:org/name``, or a folder with
            ``open_clip_config.json`` and ``open_clip_model.safetensors``; ``architecture/random`` for benchmarks.
        image_size: side of the square input in pixels, or ``"native"``.

    Raises:
        UserError: the name is unknown, the weights cannot be had, or they were trained with another activation.
    """
    identifier, weights = _resolve(name)
    size = None if image_size == "native" else int(image_size)
    try:
        with _quiet():
            model = _create(identifier, None if weights == RANDOM else weights, size, weights != RANDOM)
            tokenize = open_clip.get_tokenizer(identifier)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines()
        raise UserError(f"teacher {name}: cannot be loaded: {lines[0] if lines else type(error).__name__}") from error
    model.eval().requires_grad_(False)
    preprocess = open_clip.get_model_preprocess_cfg(model)
    height, width = (size, size) if size is not None else _pair(preprocess["size"])
    if height != width:
        raise UserError(f"teacher {name}: its input is {height} x {width} pixels; only squares are supported")
    tower = ImageTower(
        name=name,
        module=model.visual,
        image_size=height,
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        interpolation=preprocess["interpolation"],
    )
    return Clip(name, model, tokenize, tower, float(model.logit_scale.exp()))


def _create(identifier: str, weights: str | None, size: int | None, pretrained: bool) -> Any:
    """Let open_clip create a model; of another image size than its own, with its positions resampled.

    open_clip resamples the positions of ViTs; those of an attention pool it would refuse to load.
    """
    architecture = open_clip.get_model_config(identifier) or {}
    pooled = isinstance(architecture.get("vision_cfg", {}).get("layers"), list)
    if identifier.startswith(("local-dir:", "hf-hub:")) and size is not None:
        pooled = has_attention_pool(
            open_clip.create_model(identifier, pretrained=weights, require_pretrained=True).visual
        )
    forced = None if pooled else size
    model = open_clip.create_model(
        identifier, pretrained=weights, force_image_size=forced, require_pretrained=pretrained
    )
    if pooled and size is not None:
        resize_attention_pool(model.visual, size)
    return model


def class_embeddings(clip: Clip, prompt_names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """Embed class names: the mean over templates of unit text embeddings, made unit again (section 1).

    Args:
        clip: the teacher's CLIP.
        prompt_names: C names.
        templates: prompts with one ``{}`` each.

    Returns:
        t, (C, D) float32, rows of length 1.

    Raises:
        UserError: a prompt is longer than the text tower reads.
    """
    prompts = [template.format(name) for name in prompt_names for template in templates]
    context = int(getattr(clip.tokenize, "context_length", 77))
    tokens = clip.tokenize(prompts, context_length=context)
    _refuse_truncated(clip, prompts, context)
    with torch.inference_mode():
        embedded = [normalize(clip.model.encode_text(chunk).float(), dim=-1) for chunk in tokens.split(256)]  # type: ignore[operator]
    by_class = torch.cat(embedded).view(len(prompt_names), len(templates), -1)
    return normalize(by_class.mean(dim=1), dim=-1).clone()


def _refuse_truncated(clip: Clip, prompts: Sequence[str], context: int) -> None:
    """Tokenise with room to spare: whatever stands beyond the context, other than padding, would be lost."""
    long = clip.tokenize(list(prompts), context_length=8 * context)
    lost = (long[:, context:] != long[:, -1:]).any(dim=1)
    if lost.any():
        prompt = prompts[int(lost.nonzero()[0])]
        raise UserError(f"teacher {clip.name}: reads {context} tokens only, too few for the prompt {prompt!r}")


def _resolve(name: str) -> tuple[str, str | None]:
    """Turn the user's name into open_clip's model name and weights tag, checked as far as needs no download."""
    if name.startswith("hf-hub:"):
        return name, None
    if Path(name).is_dir():
        return f"local-dir:{_checked_folder(Path(name))}", None
    architecture, _, tag = name.partition("/")
    known = open_clip.list_models()
    if architecture not in known:
        form = "name it architecture/weights as open_clip does, hf-hub:org/name, or an existing folder"
        raise UserError(f"teacher {name!r}: unknown: {form}" + nearest(architecture, known))
    if tag == RANDOM:
        return architecture, RANDOM
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        choices = f"the weights of {architecture} are {', '.join(tags) or 'none'}"
        raise UserError(f"teacher {name!r}: name it {architecture}/weights: {choices}" + nearest(tag, tags))
    _refuse_wrong_activation(architecture, tag)
    return architecture, tag


def _checked_folder(folder: Path) -> Path:
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise UserError(f"teacher {folder}: no {file} in this folder")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"teacher {folder}: {CONFIG} is not valid JSON: {error}") from error
    if not isinstance(config, dict) or "model_cfg" not in config:
        raise UserError(f"teacher {folder}: {CONFIG} has no model_cfg")
    return folder


def _refuse_wrong_activation(architecture: str, tag: str) -> None:
    """Weights trained with QuickGELU give wrong embeddings under GELU, and the other way round."""
    trained = bool(open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False))
    runs = bool((open_clip.get_model_config(architecture) or {}).get("quick_gelu", False))
    if trained != runs:
        plain = architecture.removesuffix("-quickgelu")
        right = f"{plain}-quickgelu" if trained else plain
        used = "QuickGELU" if trained else "GELU"
        raise UserError(f"teacher {architecture}/{tag}: these weights were trained with {used}: use {right}/{tag}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's log lines and warnings from the user; what matters is checked and raised."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
