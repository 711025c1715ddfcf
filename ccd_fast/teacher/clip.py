"""The teacher: a frozen CLIP that scores views over the class names (section 1)."""

import contextlib
import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn.functional import normalize

from ccd_fast.engines import ImageEngine, ImageTower
from ccd_fast.engines.attention_pool import has_attention_pool, resize_attention_pool
from ccd_fast.engines.batching import in_fixed_batches
from ccd_fast.errors import UserError
from ccd_fast.machine import hub
from ccd_fast.prompts import texts
from ccd_fast.teacher.names import CONFIG, FROM_A_FOLDER, RANDOM, hub_repository, resolve
from ccd_fast.teacher.vocabulary import Vocabulary

TEXTS = 256
"""That the text tower reads in a call."""


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
    """Scores views: an engine for the pixels, and the embeddings of texts."""

    def __init__(self, clip: Clip, engine: ImageEngine, vocabulary: Vocabulary, temperature: float = 1.0) -> None:
        """Join an engine of a CLIP's image tower with texts.

        Args:
            clip: the teacher's CLIP.
            engine: of its image tower.
            vocabulary: the texts, on the device.
            temperature: that similarities are divided by.
        """
        self.engine = engine
        self.vocabulary = vocabulary
        self.classes, self.anchors = vocabulary.classes, vocabulary.anchors
        self.scale = clip.scale
        self.temperature = temperature
        self.image_size = engine.image_size
        self.batch_size = engine.batch_size
        self.interpolation = clip.tower.interpolation

    def similarities(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compare views, (M, S, S, 3) uint8, with the texts: (M, C + A) float32, anchors last.

        The scale is CLIP's own over the temperature; see :meth:`Vocabulary.similarities`. Their softmax are the scores
        p, see :meth:`scores`. A row does not depend on its neighbours: a matrix product may add up in another order
        where it has another number of rows, so it too sees one number only.
        """
        embeddings = self.engine.embed(pixels)
        scale = self.scale / self.temperature
        return in_fixed_batches(embeddings, self.batch_size, lambda batch: self.vocabulary.similarities(batch, scale))

    def scores(self, similarities: torch.Tensor) -> torch.Tensor:
        """Give p, (M, C) float32, of similarities, (M, C + A): the softmax of each row, without the anchors' share."""
        return similarities.softmax(dim=1)[:, : len(self.classes)]


def load_clip(name: str, image_size: int | str = "native", say: Callable[[str], None] | None = None) -> Clip:
    """Load a CLIP by open_clip's name for it.

    Args:
        name: ``architecture/weights`` (``ViT-B-32/laion2b_s34b_b79k``), ``hf-hub:org/name``, or a folder with
            ``open_clip_config.json`` and ``open_clip_model.safetensors``; ``architecture/random`` for benchmarks.
        image_size: side of the square input in pixels, or ``"native"``.
        say: shows a line, where the weights must be fetched first.

    Raises:
        UserError: the name is unknown, the weights cannot be had, or they were trained with another activation.
    """
    import open_clip  # which loads timm, torchvision and PyTorch's compiler: what is kept is had without

    identifier, weights = resolve(name)
    repository = hub_repository(identifier, weights)
    fetched = hub.announce(f"teacher {name}", repository, say)
    if fetched and not hub.answers():
        raise UserError(hub.absent(f"teacher {name}: its weights", repository, FROM_A_FOLDER))
    try:
        with _quiet(shows_progress=fetched), hub.quiet():
            model = _create(identifier, weights, None if image_size == "native" else int(image_size))
            tokenize = open_clip.get_tokenizer(identifier)
    except ModuleNotFoundError as error:
        raise UserError(
            f"teacher {name}: needs {error.name}, which is not installed: pip install {error.name}"
        ) from error
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        if repository and "Hub" in reason:
            raise UserError(hub.absent(f"teacher {name}: its weights", repository, FROM_A_FOLDER)) from error
        raise UserError(f"teacher {name}: cannot be loaded: {reason}") from error
    model.eval().requires_grad_(False)
    preprocess = open_clip.get_model_preprocess_cfg(model)
    height, width = _pair(model.visual.image_size)
    if height != width:
        raise UserError(f"teacher {name}: its input is {height} x {width} pixels; only squares are supported")
    tower = ImageTower(
        name=spelled_once(name),
        module=model.visual,
        image_size=height,
        mean=tuple(preprocess["mean"]),
        std=tuple(preprocess["std"]),
        interpolation=preprocess["interpolation"],
    )
    return Clip(name, model, tokenize, tower, float(model.logit_scale.exp()))


def _create(identifier: str, weights: str | None, size: int | None) -> Any:
    """Let open_clip create a model; for another image size than its own, with its positions resampled."""
    known = {"pretrained": None if weights == RANDOM else weights, "require_pretrained": weights != RANDOM}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # "random" are always the same weights, so that their engine is found again
        return _created(identifier, known, size)


def _created(identifier: str, known: dict[str, Any], size: int | None) -> Any:
    import open_clip

    model = open_clip.create_model(identifier, **known)
    if size is None or size == _pair(model.visual.image_size)[0]:
        return model
    if not has_attention_pool(model.visual):
        return open_clip.create_model(identifier, force_image_size=size, **known)
    resize_attention_pool(model.visual, size)  # open_clip resamples the positions of a ViT only
    return model


def class_embeddings(
    clip: Clip, prompt_names: Sequence[str], templates: Sequence[str], device: str | torch.device = "cpu"
) -> torch.Tensor:
    """Embed class names: the mean over names and templates of unit text embeddings, made unit again (section 1).

    Args:
        clip: the teacher's CLIP.
        prompt_names: C names; several names of one class are joined by a bar.
        templates: prompts with one ``{}`` each.
        device: where the texts are embedded, in float32; many templates of many classes take minutes on a CPU.

    Returns:
        t, (C, D) float32, rows of length 1, on the CPU.

    Raises:
        UserError: a prompt is longer than the text tower reads.
    """
    by_class = [texts(prompt_name, list(templates)) for prompt_name in prompt_names]
    prompts = [prompt for prompts_of_class in by_class for prompt in prompts_of_class]
    context = int(getattr(clip.tokenize, "context_length", 77))
    tokens = clip.tokenize(prompts, context_length=context)
    _refuse_truncated(clip, prompts, context)
    encode = _text_tower(clip, torch.device(device)).encode_text
    with torch.inference_mode():
        embedded = [normalize(encode(chunk.to(device)).float(), dim=-1).cpu() for chunk in tokens.split(TEXTS)]
    means = [each.mean(dim=0) for each in torch.split(torch.cat(embedded), [len(p) for p in by_class])]
    return normalize(torch.stack(means), dim=-1).clone()


def _text_tower(clip: Clip, device: torch.device) -> Any:
    """Give what encodes texts on a device: on the CPU the model itself, elsewhere a copy of it without image tower."""
    if device.type == "cpu":
        return clip.model
    return deepcopy(clip.model, {id(clip.model.visual): nn.Identity()}).to(device)


def _refuse_truncated(clip: Clip, prompts: Sequence[str], context: int) -> None:
    """Tokenise with room to spare: whatever stands beyond the context, other than padding, would be lost."""
    long = clip.tokenize(list(prompts), context_length=8 * context)
    lost = (long[:, context:] != long[:, -1:]).any(dim=1)
    if lost.any():
        prompt = prompts[int(lost.nonzero()[0])]
        raise UserError(f"teacher {clip.name}: reads {context} tokens only, too few for the prompt {prompt!r}")


def spelled_once(name: str) -> str:
    """Give the same name for a folder however its path is written, or wherever it was moved; others as they are."""
    if not Path(name).is_dir():
        return name
    config = hashlib.sha256((Path(name) / CONFIG).read_bytes()).hexdigest()
    return f"{Path(name).resolve().name} (config {config[:8]})"


@contextlib.contextmanager
def _quiet(shows_progress: bool) -> Iterator[None]:
    """Keep open_clip's log lines and warnings from the user; what matters is checked and raised.

    Args:
        shows_progress: leave standard error to the bar of a download.
    """
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        elsewhere = contextlib.nullcontext() if shows_progress else contextlib.redirect_stderr(io.StringIO())
        with warnings.catch_warnings(), elsewhere:
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
