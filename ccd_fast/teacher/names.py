"""Names of teachers, settled without loading anything large: what open_clip knows is read from its own files."""

import importlib
import importlib.util
import json
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ccd_fast.errors import UserError, nearest
from ccd_fast.machine import hub

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
RANDOM = "random"
"""Weights tag of a model as it is before training: good for measuring speed, and for nothing else."""
FROM_A_FOLDER = "give --teacher FOLDER"
"""What to do with weights that were fetched elsewhere."""
LARGE = ("safetensors.torch", "huggingface_hub")
"""That open_clip's table of weights asks for, and does without: they load PyTorch, and all of the hub's client."""


def resolve(name: str) -> tuple[str, str | None]:
    """Turn the user's name into open_clip's model name and weights tag, checked as far as needs no download.

    Raises:
        UserError: open_clip has no such model or weights, or they do not belong together.
    """
    if name.startswith("hf-hub:"):
        return name, None
    if Path(name).is_dir():
        return f"local-dir:{_checked_folder(Path(name))}", None
    architecture, _, tag = name.partition("/")
    known = sorted(file.stem for file in (_folder() / "model_configs").glob("*.json"))
    if architecture not in known:
        form = "name it architecture/weights as open_clip does, hf-hub:org/name, or an existing folder"
        raise UserError(f"teacher {name!r}: unknown: {form}" + nearest(architecture, known))
    if tag == RANDOM:
        return architecture, RANDOM
    tags = _pretrained().list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        choices = f"the weights of {architecture} are {', '.join(tags) or 'none'}"
        raise UserError(f"teacher {name!r}: name it {architecture}/weights: {choices}" + nearest(tag, tags))
    _refuse_wrong_activation(architecture, tag)
    return architecture, tag


def hub_repository(identifier: str, weights: str | None) -> str:
    """Name the repository of the Hugging Face hub that a model of :func:`resolve` comes from, where one is known."""
    if identifier.startswith("hf-hub:"):
        return identifier.removeprefix("hf-hub:")
    if weights in (None, RANDOM):
        return ""
    return "/".join(str(_pretrained().get_pretrained_cfg(identifier, weights).get("hf_hub", "")).split("/")[:2])


def refuse_out_of_reach(name: str) -> None:
    """Refuse a teacher that is unknown, or whose weights are neither on this machine nor on a hub that can be reached.

    Raises:
        UserError: the line names what is missing, and the way to get it.
    """
    repository = hub_repository(*resolve(name))
    if repository and not hub.has(repository) and not hub.answers():
        raise UserError(hub.absent(f"teacher {name}: its weights", repository, FROM_A_FOLDER))


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
    trained = bool(_pretrained().get_pretrained_cfg(architecture, tag).get("quick_gelu", False))
    runs = bool(_config(_folder() / "model_configs" / f"{architecture}.json").get("quick_gelu", False))
    if trained != runs:
        plain = architecture.removesuffix("-quickgelu")
        right = f"{plain}-quickgelu" if trained else plain
        used = "QuickGELU" if trained else "GELU"
        raise UserError(f"teacher {architecture}/{tag}: these weights were trained with {used}: use {right}/{tag}")


def _folder() -> Path:
    """Give the folder of open_clip.

    Raises:
        UserError: it is not installed.
    """
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise UserError("open_clip, which reads teachers, is not installed: pip install open_clip_torch")
    return Path(spec.origin).parent


@lru_cache
def _pretrained() -> Any:
    """Give open_clip's table of weights, without the rest of open_clip, which loads PyTorch and torchvision."""
    if "open_clip" in sys.modules:
        return importlib.import_module("open_clip.pretrained")
    alone = ModuleType("_open_clip_alone")
    alone.__path__ = [str(_folder())]
    left_out = dict.fromkeys(name for name in LARGE if name not in sys.modules)
    sys.modules |= {alone.__name__: alone, **left_out}  # type: ignore[dict-item]  # None: it cannot be imported
    try:
        return importlib.import_module(f"{alone.__name__}.pretrained")
    finally:
        for name in left_out:
            del sys.modules[name]


def _config(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
