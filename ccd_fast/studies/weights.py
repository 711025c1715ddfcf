"""Where the weights of a teacher and of a student are, or would come from; nothing is downloaded and nothing loaded."""

import os
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
import open_clip
import timm
import torch
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from ccd_fast.errors import UserError
from ccd_fast.teacher import names as teachers


@dataclass(frozen=True)
class Weights:
    """Weights by name.

    Attributes:
        name: as the recipe names them.
        file: where they are; None if not on this machine.
        source: where they would come from; empty for a file of one's own and for weights that are drawn.
    """

    name: str
    file: Path | None
    source: str

    def says(self) -> str:
        """Say in a few words whether they are at hand."""
        if self.file is not None:
            return f"{self.name}: at hand, {self.file}"
        return f"{self.name}: not on this machine, would be downloaded from {self.source}" if self.source else self.name


def of_teacher(name: str) -> Weights:
    """Find the weights of a CLIP by open_clip's name for it; see :func:`ccd_fast.teacher.clip.load_clip`.

    Raises:
        UserError: the name is unknown.
    """
    identifier, tag = teachers.resolve(name)
    if identifier.startswith("local-dir:"):
        return Weights(name, Path(name) / teachers.WEIGHTS, "")
    if tag == teachers.RANDOM:
        return Weights(f"{name} (drawn)", None, "")
    if tag is None:
        return _from_hub(name, identifier.removeprefix("hf-hub:"), (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME))
    known = open_clip.get_pretrained_cfg(identifier, tag)
    if known.get("hf_hub"):  # it goes before the address, as in open_clip
        repository, file = os.path.split(known["hf_hub"])
        stem = Path(file).with_suffix(".safetensors").name if file else HF_SAFE_WEIGHTS_NAME
        return _from_hub(name, repository, (stem, file or HF_WEIGHTS_NAME))
    kept = Path.home() / ".cache" / "clip" / Path(known["url"]).name
    return Weights(name, kept if kept.is_file() else None, known["url"])


def of_student(backbone: str, weights: str) -> Weights:
    """Find the weights that a student starts from; see :func:`ccd_fast.student.network.build`.

    Raises:
        UserError: a file that is named is not there, or timm has no weights for the backbone.
    """
    if weights == "none":
        return Weights(f"{backbone}, from scratch", None, "")
    if weights != "imagenet":
        if not Path(weights).is_file():
            raise UserError(f"--student-weights {weights}: no such file (or say imagenet, or none)")
        return Weights(backbone, Path(weights), "")
    known = timm.models.get_pretrained_cfg(backbone) if timm.models.is_model(backbone) else None
    if known is None or not known.has_weights:
        raise UserError(f"student {backbone!r}: timm has no ImageNet weights for it")
    name = f"{backbone}, timm's ImageNet weights"
    if known.hf_hub_id:  # it goes before the address, as in timm
        files = (known.hf_hub_filename,) if known.hf_hub_filename else ("model.safetensors", "pytorch_model.bin")
        return _from_hub(name, known.hf_hub_id, files)
    kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(known.url).name
    return Weights(name, kept if kept.is_file() else None, known.url)


def _from_hub(name: str, repository: str, files: tuple[str, ...]) -> Weights:
    """Look for the first of some files in the cache of the Hugging Face Hub."""
    for file in files:
        found = huggingface_hub.try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return Weights(name, Path(found), f"huggingface.co/{repository}")
    return Weights(name, None, f"huggingface.co/{repository}")
