"""Measures what the demo world is made to show: ``python -m ccd_fast.demo.effects``.

The tiny CLIP's scores depend on the view, and they are lower for some classes than for others (the class bias).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ccd_fast.demo import charts, tiny_clip
from ccd_fast.demo.captions import PLAIN_SHARES, synonyms
from ccd_fast.demo.scenes import CLASS_NAMES, draw_scene
from ccd_fast.demo.train_tiny_clip import PROMPT
from ccd_fast.demo.training_pictures import in_processes, squashed
from ccd_fast.engines import EngineSettings, Store, open_engine
from ccd_fast.evaluation import mean_average_precision
from ccd_fast.labels import FirstLabels
from ccd_fast.teacher import Teacher, Vocabulary, class_embeddings, load_clip

MARGIN = 0.125
"""Growth of an object's box on every side, as a share of the view, as in the recipes."""
MAX_ENTROPY = 2.0
SHARES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 1.0)
"""Limits of the groups of objects: their box's share of the picture."""


@dataclass(frozen=True)
class Views:
    """Scenes as the teacher sees them.

    Attributes:
        whole: (N, S, S, 3) uint8, each scene.
        truth: (N, C) bool.
        crops: (M, S, S, 3) uint8, the grown box of each object.
        owner: (M,) int64, the scene of each object.
        classes: (M,) int64, its class.
        shares: (M,) float64, its box's share of the picture.
    """

    whole: torch.Tensor
    truth: torch.Tensor
    crops: torch.Tensor
    owner: torch.Tensor
    classes: torch.Tensor
    shares: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Objects of about one size.

    Attributes:
        low: their boxes cover at least this share of the picture.
        high: and less than this.
        objects: how many they are.
        whole: mean score of their class in the view of the whole scene.
        crop: mean score of their class in the view of their box.
    """

    low: float
    high: float
    objects: int
    whole: float
    crop: float


@dataclass(frozen=True)
class ClassBias:
    """How a class scores where it scores highest.

    Attributes:
        name: of the class.
        synonyms: how many other names the captions have for it.
        plain_share: how often the captions use its plain name.
        scenes: scenes that show it.
        images: confident images with this class on top.
        score: its mean score there; NaN if there are none.
    """

    name: str
    synonyms: int
    plain_share: float
    scenes: int
    images: int
    score: float


def open_teacher(folder: Path, cache: Path | None = None, threads: int = 2) -> Teacher:
    """Open a CLIP of this world with an engine, for the prompt of the recipes."""
    clip = load_clip(str(folder))
    engine = open_engine(clip.tower, EngineSettings(threads=threads), Store(cache))
    return Teacher(clip, engine, Vocabulary(class_embeddings(clip, CLASS_NAMES, [PROMPT])))


def scene_views(seed: int, split: str, count: int, workers: int) -> Views:
    """Draw the first scenes of a split, not compressed, and the views of them."""
    drawn = list(in_processes(partial(_views_of_scene, seed, split), list(range(count)), workers))
    truth = torch.zeros((count, len(CLASS_NAMES)), dtype=torch.bool)
    for row, (_, _, classes, _) in enumerate(drawn):
        truth[row, classes] = True
    return Views(
        torch.from_numpy(np.stack([whole for whole, _, _, _ in drawn])),
        truth,
        torch.from_numpy(np.concatenate([crops for _, crops, _, _ in drawn])),
        torch.from_numpy(np.repeat(np.arange(count), [len(classes) for _, _, classes, _ in drawn])),
        torch.tensor([index for _, _, classes, _ in drawn for index in classes]),
        np.concatenate([shares for _, _, _, shares in drawn]),
    )


def _views_of_scene(
    seed: int, split: str, index: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], list[int], npt.NDArray[np.float64]]:
    """Give the view of a scene, those of its objects, their classes, and their shares of the picture."""
    scene = draw_scene(seed, split, index)
    height, width = scene.pixels.shape[:2]
    boxes = np.array([thing.box for thing in scene.objects])
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
    limits = np.array([width, height, width, height])
    grown = (boxes + np.rint(MARGIN * limits * (-1, -1, 1, 1)).astype(int)).clip(0, limits)
    crops = [squashed(scene.pixels, (x0, y0, x1, y1), tiny_clip.IMAGE_SIZE) for x0, y0, x1, y1 in grown.tolist()]
    whole = squashed(scene.pixels, None, tiny_clip.IMAGE_SIZE)
    return whole, np.stack(crops), [thing.class_index for thing in scene.objects], shares


def scores(teacher: Teacher, pixels: torch.Tensor) -> torch.Tensor:
    """Give the softmax over the classes of each view, (M, C) float32."""
    return teacher.similarities(pixels).softmax(dim=1)


def view_dependence(teacher: Teacher, views: Views, limits: Sequence[float] = SHARES) -> list[Group]:
    """Compare the score of each object's class in the whole scene and in its own box, by size of the box."""
    whole = scores(teacher, views.whole)[views.owner, views.classes].numpy()
    crop = scores(teacher, views.crops)[torch.arange(len(views.classes)), views.classes].numpy()
    groups = []
    for low, high in itertools.pairwise(limits):
        chosen = (views.shares >= low) & (views.shares < high)
        if chosen.any():
            groups.append(Group(low, high, int(chosen.sum()), float(whole[chosen].mean()), float(crop[chosen].mean())))
    return groups


def class_biases(teacher: Teacher, views: Views) -> tuple[list[ClassBias], float]:
    """Measure the mean top-1 score by class over the confident whole scenes.

    Returns:
        One entry a class, the most biased first, and the share of scenes that are confident.
    """
    first = FirstLabels(len(views.whole), len(CLASS_NAMES), MAX_ENTROPY)
    first.add(torch.arange(len(views.whole)), teacher.similarities(views.whole))
    best, top = first.scores.max(dim=1)
    shown = views.truth.sum(dim=0).tolist()
    biases = []
    for index, name in enumerate(CLASS_NAMES):
        own = best[(top == index) & first.confident]
        plain = PLAIN_SHARES.get(name, 1.0)
        biases.append(ClassBias(name, synonyms(name), plain, shown[index], len(own), float(own.mean())))
    return sorted(biases, key=lambda bias: (np.isnan(bias.score), bias.score)), float(first.confident.float().mean())


def report(groups: Sequence[Group], biases: Sequence[ClassBias]) -> str:
    """Write both effects as tables in Markdown."""
    lines = ["| box, share of the picture | objects | whole scene | own box |", "|---|---:|---:|---:|"]
    lines += [f"| {g.low:.0%} to {g.high:.0%} | {g.objects} | {g.whole:.2f} | {g.crop:.2f} |" for g in groups]
    lines += [
        "",
        "| class | other names | called by its plain name | scenes with it | confident on top | score |",
    ]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    for b in biases:
        lines.append(
            f"| {b.name} | {b.synonyms} | {b.plain_share:.1%} | {b.scenes} | {b.images} | {_number(b.score)} |"
        )
    return "\n".join(lines)


def _number(score: float) -> str:
    return "–" if np.isnan(score) else f"{score:.2f}"


def main() -> None:
    """Measure the dependence on the view and the class bias of a CLIP of the demo world."""
    parser = argparse.ArgumentParser(prog="python -m ccd_fast.demo.effects", description=main.__doc__)
    parser.add_argument("--teacher", type=Path, help="folder of a CLIP; by default the committed one")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    parser.add_argument("--train", type=int, default=2000, help="training scenes, for the bias")
    parser.add_argument("--test", type=int, default=500, help="test scenes, for mAP and the views")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=Path, help="folder to draw demo-effects.png and demo-scenes.jpg into")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    teacher = open_teacher(args.teacher or tiny_clip.install(), threads=args.threads)
    test = scene_views(args.seed, "test", args.test, args.threads)
    train = scene_views(args.seed, "train", args.train, args.threads)
    groups = view_dependence(teacher, test)
    biases, confident = class_biases(teacher, train)
    whole = scores(teacher, test.whole)
    print(f"mAP of the whole-scene view, {args.test} test scenes: {mean_average_precision(whole, test.truth):.3f}")
    on_it = test.truth[torch.arange(len(whole)), whole.argmax(dim=1)].float().mean()
    print(f"the class on top is in the picture: {on_it:.1%}")
    print(f"confident ({MAX_ENTROPY} nats): {confident:.1%} of {args.train} training scenes\n")
    print(report(groups, biases))
    if args.pictures:
        views = [(f"{g.low:.0%}-{g.high:.0%}", (g.whole, g.crop)) for g in groups]
        charts.effects_chart(views, [(f"{b.name} ({b.plain_share:.3g})", b.score) for b in biases]).save(
            args.pictures / "demo-effects.png", optimize=True
        )
        charts.contact_sheet(args.seed).save(args.pictures / "demo-scenes.jpg", quality=80)


if __name__ == "__main__":
    main()
