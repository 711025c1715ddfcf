"""What is known of a teacher whose engine is kept: facts of its tower, and embeddings of classes.

With them, an engine scores photographs without CLIP itself, whose loading takes longer than a few photographs do. All
is under the digest of the teacher's files, which are read each time: another file is another teacher.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from ccd_fast.engines import ImageTower, default_folder
from ccd_fast.engines.cache import tell, writable
from ccd_fast.engines.store import key_of
from ccd_fast.errors import RunError
from ccd_fast.machine import hub
from ccd_fast.prompts import texts
from ccd_fast.teacher import clip as clips
from ccd_fast.teacher.clip import Clip
from ccd_fast.teacher.names import CONFIG, WEIGHTS, hub_repository, resolve

FACTS = "teacher.json"
PACKAGES = ("torch", "open_clip_torch", "timm", "transformers")
"""That have a hand in what a teacher is made of."""


class LateTower(ImageTower):
    """A tower whose facts are known, and whose module is loaded when it is first asked for."""

    def __init__(self, facts: Mapping[str, Any], weights_hash: str, load: Callable[[], ImageTower]) -> None:
        """Take the facts by the names of :class:`ImageTower`'s fields, all but the module."""
        self.__dict__.update(facts, weights_hash=weights_hash, _load=load)

    @cached_property
    def module(self) -> nn.Module:
        """Load the module.

        Raises:
            RunError: it is not the one that the facts are of.
        """
        tower: ImageTower = self.__dict__["_load"]()
        if tower.identity() != self.identity():
            raise RunError(f"teacher {self.name}: what is kept of it is of other weights; remove {_root()}")
        return tower.module


class LateClip(Clip):
    """A CLIP of which what an engine needs is known, and the rest is loaded when it is first asked for."""

    def __init__(self, name: str, size: int | str, kept: Mapping[str, Any]) -> None:
        """Take what :func:`_describe` gave."""
        facts = {**kept["tower"], "mean": tuple(kept["tower"]["mean"]), "std": tuple(kept["tower"]["std"])}
        tower = LateTower(facts, kept["weights_hash"], lambda: self.whole.tower)
        self.__dict__.update(name=name, tower=tower, scale=kept["scale"], _size=size)

    @cached_property
    def whole(self) -> Clip:
        """Load all of it."""
        return clips.load_clip(self.name, self.__dict__["_size"])

    @cached_property
    def model(self) -> nn.Module:
        """Load the model."""
        return self.whole.model

    @cached_property
    def tokenize(self) -> Any:
        """Load the tokenizer."""
        return self.whole.tokenize


def load_clip(name: str, image_size: int | str = "native", say: Callable[[str], None] | None = None) -> Clip:
    """Give a CLIP, as :func:`ccd_fast.teacher.clip.load_clip` does; one that is kept is not loaded before it must be.

    Raises:
        UserError: as there.
    """
    digest = digest_of(name)
    if digest is None:
        return clips.load_clip(name, image_size, say)
    file = _folder(digest, {"image_size": image_size, "name": clips.spelled_once(name)}) / FACTS
    kept = _read(file)
    if kept is not None:
        return LateClip(name, image_size, kept)
    clip = clips.load_clip(name, image_size, say)
    _write(file, json.dumps(_describe(clip), indent=1).encode())
    return clip


def class_embeddings(
    clip: Clip, prompt_names: Sequence[str], templates: Sequence[str], device: str | torch.device = "cpu"
) -> torch.Tensor:
    """Embed class names, as :func:`ccd_fast.teacher.clip.class_embeddings` does, or give what was kept of that.

    Raises:
        UserError: as there.
    """
    digest = digest_of(clip.name)
    if digest is None:
        return clips.class_embeddings(clip, prompt_names, templates, device)
    prompts = [texts(prompt_name, list(templates)) for prompt_name in prompt_names]
    of = {"prompts": prompts, "device": torch.device(device).type, "name": clips.spelled_once(clip.name)}
    file = _folder(digest, of) / "classes.safetensors"
    kept = _read_classes(file, len(prompts))
    if kept is not None:
        return kept
    made = clips.class_embeddings(clip, prompt_names, templates, device)
    _write(file, safetensors.torch.save({"classes": made}, {"sha256": _sum(made)}))
    return made


def digest_of(name: str) -> str | None:
    """Hash the files of a teacher on this machine; None where they are not, or are drawn, or not the hub's.

    Raises:
        UserError: the name is unknown.
    """
    identifier, weights = resolve(name)
    if identifier.startswith("local-dir:"):
        folder = Path(identifier.removeprefix("local-dir:"))
        files = [folder / CONFIG, folder / WEIGHTS]
    else:
        repository = hub_repository(identifier, weights)
        files = _snapshot(hub.folder_of(repository)) if repository else []
    if not any(file.suffix in hub.WEIGHTS for file in files):
        return None
    states = [(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return _digest(identifier if weights else "", weights, tuple(states))


@lru_cache
def _digest(identifier: str, weights: str | None, files: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash files, once in a process as long as they do not change."""
    digest = hashlib.sha256(json.dumps([identifier, weights]).encode())
    for file, _, _ in files:
        digest.update(f"\n{file.name}\n".encode())
        with file.open("rb") as handle:
            while block := handle.read(2**22):
                digest.update(block)
    return digest.hexdigest()


def _snapshot(folder: Path) -> list[Path]:
    """List the files of the newest snapshot of a repository: those of weights, and small ones that describe them."""
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return []
    files = sorted((folder / "snapshots" / commit).glob("*"))
    return [file for file in files if file.is_file() and file.suffix in (*hub.WEIGHTS, ".json", ".txt")]


def _describe(clip: Clip) -> dict[str, Any]:
    """Say what an engine needs of a CLIP."""
    own = {field.name for field in fields(ImageTower)} - {"module"}
    tower = {name: getattr(clip.tower, name) for name in sorted(own)}
    return {"tower": tower, "weights_hash": clip.tower.weights_hash, "scale": clip.scale}


def _root() -> Path:
    return default_folder() / "teachers"


def _folder(digest: str, of: Mapping[str, Any]) -> Path:
    """Name the folder of what depends on a teacher's files, on versions, and on something more."""
    versions = {package: _version(package) for package in PACKAGES}
    return _root() / key_of({"files": digest, "versions": versions, **of})


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _read(file: Path) -> dict[str, Any] | None:
    """Read the facts of a teacher; None where they are not kept, or are not whole."""
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        tower = {*kept["tower"], "module"}
        whole = tower == {field.name for field in fields(ImageTower)} and kept["weights_hash"] and kept["scale"] > 0
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if whole else None


def _read_classes(file: Path, classes: int) -> torch.Tensor | None:
    """Read embeddings, (C, D); None where they are not kept, or are not what was written."""
    try:
        with safetensors.safe_open(file, "pt") as content:
            found: torch.Tensor = content.get_tensor("classes")
            written = (content.metadata() or {}).get("sha256")
    except (OSError, safetensors.SafetensorError):
        return None
    return found if len(found) == classes and _sum(found) == written else None


def _sum(embeddings: torch.Tensor) -> str:
    return hashlib.sha256(embeddings.contiguous().numpy().tobytes()).hexdigest()


def _write(file: Path, content: bytes) -> None:
    """Keep a file; without a cache that can be written to it is made anew each time."""
    folder = writable(_root())
    if folder != _root():
        return
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        tell(folder, error)
