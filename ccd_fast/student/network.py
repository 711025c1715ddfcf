"""The student: a CNN of timm, a 1x1 convolution to one map a class, and the piecewise boost (section 3)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import nn

from ccd_fast.errors import UserError, nearest
from ccd_fast.machine import hub


class PixelClassifier(Protocol):
    """What maps pixels to logits and CAM: a :class:`Student`, or an engine with its weights.

    Attributes:
        classes: C.
    """

    @property
    def classes(self) -> int:
        """Give C."""
        ...

    def eval(self) -> object:
        """Go into evaluation mode."""
        ...

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (B, S, S, 3) uint8 to logits (B, C) and CAM (B, C, h, w), float32; see :meth:`Student.forward`."""
        ...


class Student(nn.Module):
    """Classifies square uint8 pictures and says where it looked.

    Attributes:
        backbone: the CNN without pooling and classifier.
        head: 1x1 convolution from the backbone's features to C maps.
        alpha: boost of the positive part of the maps.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: Any, classes: int, alpha: float, mean: Sequence[float], std: Sequence[float]) -> None:
        """Put a new head on a backbone; ``mean`` and ``std`` are its normalisation, for pixels in 0 … 1."""
        super().__init__()
        self.backbone = backbone
        features: int = backbone.num_features
        self.head = nn.Conv2d(features, classes, kernel_size=1)
        self.alpha = alpha
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1))
        self.to(memory_format=torch.channels_last)  # 1.8 times as fast on the CPU

    @property
    def classes(self) -> int:
        """Give C."""
        return self.head.out_channels

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits and class activation maps.

        Args:
            pixels: (B, S, S, 3) uint8.

        Returns:
            Logits z, (B, C) float32, and the boosted maps M, (B, C, h, w) float32; z is the mean of M over positions.
            Under autocast too.
        """
        cam = piecewise_boost(self.head(self.features(pixels)).float(), self.alpha)
        return cam.mean(dim=(2, 3)), cam

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute the backbone's features, (B, F, h, w), of (B, S, S, 3) uint8."""
        normalised = (pixels.float().permute(0, 3, 1, 2) - self.mean) / self.std  # TensorRT transposes no uint8
        features: torch.Tensor = self.backbone.forward_features(normalised)
        return features


def piecewise_boost(maps: torch.Tensor, alpha: float) -> torch.Tensor:
    """Multiply the positive part of the maps by alpha: M becomes alpha M where M > 0 (section 3)."""
    return torch.where(maps > 0, alpha * maps, maps)


def build(
    backbone: str, classes: int, alpha: float, weights: str, seed: int = 0, say: Callable[[str], None] | None = None
) -> Student:
    """Build a student.

    Args:
        backbone: any CNN of timm.
        classes: C.
        alpha: boost of the positive part of the maps.
        weights: ``"imagenet"`` for timm's own (downloaded), ``"none"``, or a file in timm's names.
        seed: of the weights that are drawn.
        say: shows a line, where the weights must be fetched first.

    Raises:
        UserError: the backbone is unknown or no CNN, or the weights cannot be had or do not fit.
    """
    import timm  # which loads torchvision and PyTorch's compiler: whoever has a student already does without

    name = backbone.split(".")[0]
    if name not in timm.list_models():
        raise UserError(f"student {backbone!r}: timm has no such model" + nearest(name, timm.list_models()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _backbone(backbone, weights, say)
        if not _gives_maps(network):
            raise UserError(f"student {backbone!r}: not a CNN: its features are not maps, channels first")
        config = timm.data.resolve_model_data_config(network)
        return Student(network, classes, alpha, config["mean"], config["std"])


def _backbone(name: str, weights: str, say: Callable[[str], None] | None) -> Any:
    import timm

    arguments: dict[str, Any] = {"num_classes": 0, "global_pool": ""}
    if weights in ("imagenet", "none"):
        known = timm.models.get_pretrained_cfg(name) if weights == "imagenet" else None
        repository = str(known.hf_hub_id or "") if known is not None else ""
        then = "give --student-weights FOLDER/model.safetensors, or say none"
        if hub.announce(f"student {name!r}", repository, say) and not hub.answers():
            raise UserError(hub.absent(f"student {name!r}: its ImageNet weights", repository, then))
        try:
            with hub.quiet():
                return timm.create_model(name, pretrained=weights == "imagenet", **arguments)
        except (OSError, RuntimeError) as error:
            if not repository:
                raise UserError(
                    f"student {name!r}: its ImageNet weights cannot be had: {_first_line(error)}"
                ) from error
            raise UserError(hub.absent(f"student {name!r}: its ImageNet weights", repository, then)) from error
    if not Path(weights).is_file():
        raise UserError(f"--student-weights {weights}: no such file (or say imagenet, or none)")
    try:
        network = timm.create_model(name, checkpoint_path="", **arguments)
        state = timm.models.load_state_dict(weights, weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, OSError, ValueError, KeyError) as error:
        raise UserError(f"--student-weights {weights}: cannot be read: {_first_line(error)}") from error
    problem = _load(network, state)
    if problem:
        raise UserError(f"--student-weights {weights}: does not fit {name}: {problem}")
    return network


def _gives_maps(network: Any) -> bool:
    """Tell whether the features of a picture of any size are (1, F, h, w)."""
    try:
        with torch.inference_mode():
            features = network.eval().forward_features(torch.zeros(1, 3, 96, 64))
    except (AssertionError, RuntimeError):  # a transformer insists on its own size
        return False
    return bool(features.ndim == 4 and features.shape[1] == network.num_features)


def _load(network: nn.Module, state: dict[str, torch.Tensor]) -> str:
    """Load a state with a classifier to spare; say what does not fit."""
    own = network.state_dict()
    missing = [key for key in own if key not in state]
    if missing:
        return f"{len(missing)} tensors are missing, the first {missing[0]}"
    wrong = [key for key in own if state[key].shape != own[key].shape]
    if wrong:
        return f"{wrong[0]} is {tuple(state[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
    network.load_state_dict({key: state[key] for key in own})
    return ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
