"""The label update as research code commonly writes it: the baseline of ``benchmarks/relabel_against_baseline.py``.

One photograph at a time by Pillow, the student at batch 1, a loop over the classes, one crop at a time through the
teacher, eager PyTorch in inference mode; on a GPU the two networks run there, and what they give comes to the host.
Written from the description of the method; nothing of ccd_fast is imported.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional

FLAT = 1e-5
"""Added to a map's span when it is normalised."""


@dataclass(frozen=True)
class Knobs:
    """Of the method.

    Attributes:
        tau: a class is active from this probability on.
        view_size: side of the student's square view in pixels.
        cam_threshold: the box encloses the normalised map above this.
        margin: growth of the box on every side, as a share of the view.
        floor: label smoothing from below.
        ema: weight of the old label.
    """

    tau: float
    view_size: int
    cam_threshold: float
    margin: float
    floor: float
    ema: float


@dataclass(frozen=True)
class PlainTeacher:
    """A CLIP in eager PyTorch.

    Attributes:
        tower: normalised pixels (1, 3, S, S) to an embedding (1, D).
        size: S.
        mean: of each channel, for pixels in 0 … 1.
        std: likewise.
        filter: of the resize.
        classes: (C, D), of length 1, on the device of the tower.
        scale: of the cosines.
        half: run the tower under autocast to float16.
    """

    tower: nn.Module
    size: int
    mean: Sequence[float]
    std: Sequence[float]
    filter: Image.Resampling
    classes: torch.Tensor
    scale: float
    half: bool = False

    def score(self, crop: Image.Image) -> torch.Tensor:
        """Give the softmax over the classes for one crop, (C,) on the host."""
        device = self.classes.device
        square = torch.from_numpy(np.array(crop.resize((self.size, self.size), self.filter))).to(device)
        pixels = square.permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (self.mean, self.std))
        with torch.autocast(device.type, torch.float16, enabled=self.half):
            features = self.tower(((pixels - mean) / std).unsqueeze(0))
        embedding = functional.normalize(features.float(), dim=-1)
        return (self.scale * embedding @ self.classes.T).softmax(dim=-1)[0].cpu()


@torch.inference_mode()
def relabel(
    files: Sequence[Path],
    student: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    teacher: PlainTeacher,
    table: torch.Tensor,
    bias: torch.Tensor,
    knobs: Knobs,
) -> int:
    """Update the labels, (N, C), in place; give the number of crops.

    Args:
        files: N photographs.
        student: square pixels (1, S, S, 3) uint8 to logits (1, C) and maps (1, C, h, w).
        teacher: scores the crops.
        table: y.
        bias: b, (C,).
        knobs: of the method.
    """
    count = 0
    for row, file in enumerate(files):
        photograph = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
        view = photograph.resize((knobs.view_size, knobs.view_size), Image.Resampling.BILINEAR)
        seen = student(torch.from_numpy(np.array(view)).unsqueeze(0).to(teacher.classes.device))
        logits, cam = (output.cpu() for output in seen)
        probabilities = torch.sigmoid(logits[0])
        best: torch.Tensor | None = None
        for c in range(len(probabilities)):
            if probabilities[c] >= knobs.tau:
                crop = photograph.crop(in_photograph(hot_box(cam[0, c], knobs), photograph, knobs.view_size))
                score = teacher.score(crop)
                best = score if best is None else torch.maximum(best, score)
                count += 1
        if best is not None:
            fresh = best.clamp(min=knobs.floor) / bias
            table[row] = (knobs.ema * table[row] + (1 - knobs.ema) * fresh).clamp(0, 1)
    return count


def hot_box(cam: torch.Tensor, knobs: Knobs) -> tuple[int, int, int, int]:
    """Box the hot region of one map, (h, w), in the view's pixels, half-open; the whole view where there is none."""
    size = knobs.view_size
    large = functional.interpolate(cam[None, None], (size, size), mode="bilinear", align_corners=False)[0, 0]
    normalised = (large - large.min()) / (large.max() - large.min() + FLAT)
    hot = torch.nonzero(normalised > knobs.cam_threshold)
    if not len(hot):
        return 0, 0, size, size
    (y0, x0), (y1, x1) = hot.amin(dim=0).tolist(), (hot.amax(dim=0) + 1).tolist()
    grow = round(knobs.margin * size)
    return max(x0 - grow, 0), max(y0 - grow, 0), min(x1 + grow, size), min(y1 + grow, size)


def in_photograph(box: tuple[int, int, int, int], photograph: Image.Image, size: int) -> tuple[int, int, int, int]:
    """Carry a box from the view to the photograph, outward to whole pixels."""
    across, down = photograph.width / size, photograph.height / size
    x0, y0, x1, y1 = (round(side * scale, 9) for side, scale in zip(box, (across, down) * 2, strict=True))
    return math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
