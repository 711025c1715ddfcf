"""How near an engine is to open_clip's own fp32 model, and what the difference does to labels."""

from dataclasses import dataclass

import torch
from torch.nn.functional import cosine_similarity, normalize

from ccd_fast.teacher.clip import Clip


@dataclass(frozen=True)
class Parity:
    """An engine against open_clip in fp32, eager, on the same pixels.

    Attributes:
        images: n.
        classes: C, the classes of the scores.
        cosine_min: smallest cosine of an image's two embeddings.
        cosine_mean: mean of them.
        relative_error: ‖e − e_ref‖ / ‖e_ref − mean e_ref‖; an engine that gives the mean always has an error of 1.
        top1_changed: share of the images whose highest class is another one.
        score_shift: mean over images and classes of |p − p_ref|, p the softmax scores.
    """

    images: int
    classes: int
    cosine_min: float
    cosine_mean: float
    relative_error: float
    top1_changed: float
    score_shift: float


@dataclass(frozen=True)
class Limits:
    """What a precision may do: the smallest cosine, the share of changed top-1 classes, the mean shift of scores."""

    cosine_min: float
    top1_changed: float
    score_shift: float


LIMITS = {
    "fp32": Limits(0.9999, 0.01, 0.001),
    "fp16": Limits(0.999, 0.03, 0.005),
    "bf16": Limits(0.99, 0.08, 0.02),
}
"""Well above what a sound engine of each precision was seen to do, well below what a wrong one does."""


def reference_embeddings(clip: Clip, pixels: torch.Tensor) -> torch.Tensor:
    """Embed pixels by open_clip's own ``encode_image``, in fp32 and eager mode.

    Args:
        clip: the teacher's CLIP.
        pixels: (M, S, S, 3) uint8, on the CPU.

    Returns:
        (M, D) float32, rows of length 1.
    """
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (clip.tower.mean, clip.tower.std))
    embedded = []
    with torch.inference_mode():
        for batch in torch.split(pixels, 16):
            normalised = (batch.permute(0, 3, 1, 2).float() / 255 - mean) / std
            embedded.append(normalize(clip.model.encode_image(normalised).float(), dim=-1))  # type: ignore[operator]
    return torch.cat(embedded)


def compare(ours: torch.Tensor, reference: torch.Tensor, classes: torch.Tensor, scale: float) -> Parity:
    """Compare embeddings with those of the reference, and the scores that follow.

    Args:
        ours: (M, D) float32.
        reference: (M, D) float32.
        classes: (C, D) float32, class embeddings.
        scale: exp(logit_scale).
    """
    cosine = cosine_similarity(ours.double(), reference.double()).clamp(max=1)  # rounding may reach beyond 1
    scores, expected = (torch.softmax(scale * e @ classes.T, dim=1) for e in (ours, reference))
    spread = (reference - reference.mean(dim=0)).norm()
    return Parity(
        images=len(ours),
        classes=len(classes),
        cosine_min=float(cosine.min()),
        cosine_mean=float(cosine.mean()),
        relative_error=float((ours - reference).norm() / spread),
        top1_changed=float((scores.argmax(dim=1) != expected.argmax(dim=1)).float().mean()),
        score_shift=float((scores - expected).abs().mean()),
    )


def beyond_limits(parity: Parity, precision: str) -> str:
    """Say what is beyond a precision's limits and by how much, or nothing. One changed top-1 class may be a tie."""
    limits = LIMITS[precision]
    found = []
    if not parity.cosine_min >= limits.cosine_min:  # so that NaN is beyond
        found.append(f"the smallest cosine is {parity.cosine_min:.5f}, below {limits.cosine_min}")
    if parity.top1_changed > max(limits.top1_changed, 1.01 / parity.images):
        found.append(f"{parity.top1_changed:.1%} of the top-1 classes change, above {limits.top1_changed:.1%}")
    if not parity.score_shift <= limits.score_shift:
        found.append(f"scores shift by {parity.score_shift:.5f}, above {limits.score_shift}")
    return "; ".join(found)
