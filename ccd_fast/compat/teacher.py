"""The teacher in compat mode: one normalised float view at a time, of any shape, through eager PyTorch."""

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch.func import functional_call
from torch.nn.functional import normalize

from ccd_fast.compat import quirks
from ccd_fast.errors import UserError
from ccd_fast.teacher import Clip

POSITIONS = "attnpool.positional_embedding"


class PublishedTeacher:
    """Scores views with a CLIP whose image tower is a ResNet with attention pool."""

    def __init__(self, clip: Clip, classes: torch.Tensor) -> None:
        """Join a CLIP, as it was trained, with class embeddings, (C, D) float32 of length 1.

        Raises:
            UserError: its image tower is another: only a convolutional one reads crops that are not square, and
                the published code resamples the positions of an attention pool.
        """
        if not isinstance(clip.model.visual, ModifiedResNet):
            raise UserError(
                f"compat = 'official': the teacher {clip.name} has a {type(clip.model.visual).__name__}; supported are "
                "open_clip's ResNets with attention pool: RN50, RN101, RN50x4, RN50x16, RN50x64"
            )
        self.visual: ModifiedResNet = clip.model.visual
        self.classes = classes
        self.scale = clip.scale

    @torch.inference_mode()
    def embed(self, view: torch.Tensor) -> torch.Tensor:
        """Embed a view, (1, 3, H, W) float32, H and W at least 31: (1, D) float32 of length 1."""
        own = self.visual.attnpool.positional_embedding
        replaced = {POSITIONS: quirks.positions(own, *view.shape[2:])}
        return normalize(functional_call(self.visual, replaced, (view,)).float(), dim=-1)

    @torch.inference_mode()
    def scores(self, view: torch.Tensor) -> torch.Tensor:
        """Score a view, (1, 3, H, W) float32, H and W at least 31: p, (1, C) float32."""
        similarities = self.scale * (self.embed(view) @ self.classes.T)
        return quirks.softmax(similarities, half=similarities.is_cuda)
