"""Trains the demo world's tiny CLIP: ``python -m ccd_fast.demo.train_tiny_clip``.

It learns from pictures of one main object each, with captions. So it names the main object of a scene and misses small
ones, which it names once a crop makes them large.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import timm
import torch
from torch import nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, normalize

from ccd_fast import machine
from ccd_fast.demo import tiny_clip
from ccd_fast.demo.captions import CONTEXT_LENGTH, Captions, captions, write
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.training_pictures import Pictures, training_pictures, unseen_singles
from ccd_fast.demo.world import WORLD_VERSION
from ccd_fast.engines import default_folder

PROMPT = "a photo of the {}"
MAX_LOGIT_SCALE = float(np.log(100))


@dataclass(frozen=True)
class Settings:
    """What the training depends on, with the pictures.

    Attributes:
        seed: of all chances, and of the weights at the start.
        epochs: passes over the pictures.
        batch_size: pictures a step.
        learning_rate: at its highest; it rises over the first steps and then falls along a cosine.
        weight_decay: of matrices.
    """

    seed: int = 0
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05


@dataclass(frozen=True)
class Trained:
    """What the training gave.

    Attributes:
        model: its token embedding has one row for each of ``token_ids``; all weights are rounded to float16.
        token_ids: (U,) int64, ascending.
        losses: mean loss of each epoch.
    """

    model: nn.Module
    token_ids: torch.Tensor
    losses: list[float]

    def embed_texts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embed tokens of open_clip's tokenizer, (T, context) int64: (T, D) float32 of length 1."""
        with torch.inference_mode():
            return normalize(self.model.encode_text(torch.searchsorted(self.token_ids, tokens)), dim=-1)  # type: ignore[operator]

    def embed_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed (M, S, S, 3) uint8 pixels: (M, D) float32 of length 1."""
        with torch.inference_mode():
            parts = torch.split(pixels, 256)
            batches = [self.model.visual(tiny_clip.normalised(part)) for part in parts]  # type: ignore[operator]
            return normalize(torch.cat(batches), dim=-1)


def train(pictures: Pictures, settings: Settings, say: Callable[[str], None] = print) -> Trained:
    """Train the tiny CLIP with the contrastive loss of CLIP, between pictures and captions.

    Args:
        pictures: what it sees.
        settings: see :class:`Settings`.
        say: takes progress lines.
    """
    torch.manual_seed(settings.seed)
    written = captions()
    token_ids = written.tokens.unique()  # type: ignore[no-untyped-call]
    model = tiny_clip.build(len(token_ids)).to(memory_format=torch.channels_last)
    steps = settings.epochs * (len(pictures.classes) // settings.batch_size)
    optimiser, schedule = _optimiser(model, settings, steps)
    losses: list[float] = []
    for epoch in range(settings.epochs):
        start = time.perf_counter()
        batches = _batches(pictures, written, token_ids, settings, epoch)
        step_losses = [_step(model, optimiser, schedule, *batch) for batch in batches]
        losses.append(float(np.mean(step_losses)))
        rate = len(step_losses) * settings.batch_size / (time.perf_counter() - start)
        scale = float(model.logit_scale.detach().exp())  # type: ignore[operator]
        say(f"epoch {epoch + 1} of {settings.epochs}: loss {losses[-1]:.3f}, scale {scale:.1f}, {rate:.0f} pictures/s")
    model = model.to(memory_format=torch.contiguous_format)
    model.eval().requires_grad_(False)
    tiny_clip.round_to_half(model)
    return Trained(model, token_ids, losses)


def _optimiser(
    model: nn.Module, settings: Settings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Matrices decay; vectors, the embeddings and the logit scale do not."""
    named = list(model.named_parameters())
    decaying = [p for name, p in named if p.ndim >= 2 and "embedding" not in name]
    others = [p for name, p in named if p.ndim < 2 or "embedding" in name]
    groups = [{"params": decaying, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    return optimiser, schedule


def _batches(
    pictures: Pictures, written: Captions, token_ids: torch.Tensor, settings: Settings, epoch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield the batches of an epoch: views, (B, 3, S, S) float32, captions, (B, context) int64, and classes, (B,)."""
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(len(pictures.classes))
    for first in range(0, len(order) - settings.batch_size + 1, settings.batch_size):
        rows = np.sort(order[first : first + settings.batch_size])
        views = _varied(rng, torch.from_numpy(pictures.pixels[rows]))
        tokens = written.draw(rng, pictures.classes[rows])
        yield views, torch.searchsorted(token_ids, tokens), torch.from_numpy(pictures.classes[rows])


def _varied(rng: np.random.Generator, pixels: torch.Tensor) -> torch.Tensor:
    """Zoom, shift, mirror and change the brightness of each picture a little; (B, 3, S, S) float32, normalised."""
    count = len(pixels)
    zoom = rng.uniform(0.7, 1.0, (count, 2))
    shift = rng.uniform(-1, 1, (count, 2)) * (1 - zoom)
    mirror = rng.choice((-1.0, 1.0), count)
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = zoom[:, 0] * mirror, zoom[:, 1], shift
    size = tiny_clip.IMAGE_SIZE
    grid = affine_grid(torch.from_numpy(theta), [count, 3, size, size], align_corners=False)
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (count, 1, 1, 1)).astype(np.float32))
    normal = tiny_clip.normalised(pixels).contiguous(memory_format=torch.channels_last)
    return grid_sample(normal, grid, padding_mode="border", align_corners=False) * gain


def _step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    views: torch.Tensor,
    tokens: torch.Tensor,
    classes: torch.Tensor,
) -> float:
    """Take one step; return its loss.

    A caption is drawn from the picture's class alone: each caption of a class might as well stand under any other
    picture of it. The target is therefore their mean, which changes nothing on average and is learned from sooner.
    """
    images = normalize(model.visual(views), dim=-1)  # type: ignore[operator]
    texts = normalize(model.encode_text(tokens), dim=-1)  # type: ignore[operator]
    logits = model.logit_scale.exp() * images @ texts.T  # type: ignore[operator]
    same = (classes[:, None] == classes).float()
    target = same / same.sum(dim=1, keepdim=True)
    loss = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    schedule.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)  # type: ignore[operator]
    return float(loss.detach())


def top1_accuracy(trained: Trained, pixels: torch.Tensor, classes: npt.NDArray[np.int64]) -> float:
    """Give the share of pictures whose class scores highest among all classes.

    Args:
        trained: the model.
        pixels: (M, S, S, 3) uint8.
        classes: (M,) the class of each picture.
    """
    import open_clip

    tokenize = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT_LENGTH)
    texts = trained.embed_texts(tokenize([write(PROMPT, name) for name in CLASS_NAMES]))
    chosen = (trained.embed_pixels(pixels) @ texts.T).argmax(dim=1).numpy()
    return float((chosen == classes).mean())


def main() -> None:
    """Draw, train, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m ccd_fast.demo.train_tiny_clip", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--singles", type=int, default=12000, help="pictures of one object")
    parser.add_argument("--scenes", type=int, default=2500, help="scenes, each seen whole and in three crops")
    parser.add_argument("--threads", type=int, default=2, help="of torch, and processes that draw")
    parser.add_argument("--pictures", type=Path, default=default_folder() / "demo", help="where the pictures are kept")
    parser.add_argument("--out", type=Path, default=tiny_clip.FOLDER, help="where the weights go")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine.keep_freed_memory()
    settings = Settings(seed=args.seed, epochs=args.epochs)
    start = time.perf_counter()
    pictures = training_pictures(args.pictures, args.seed, args.singles, args.scenes, args.threads)
    drawn = time.perf_counter()
    print(f"{len(pictures.classes)} pictures, drawn or found in {drawn - start:.0f} s")
    trained = train(pictures, settings, lambda line: print(line, flush=True))
    minutes = (time.perf_counter() - drawn) / 60
    accuracy = top1_accuracy(trained, *unseen_singles(args.seed, 500, args.threads))
    facts = {
        **asdict(settings),
        "singles": args.singles,
        "scenes": args.scenes,
        "world_version": WORLD_VERSION,
        "threads": args.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "numpy": np.__version__,
        "final_loss": round(trained.losses[-1], 4),
        "single_accuracy": round(accuracy, 4),
    }
    tiny_clip.save(trained.model, trained.token_ids, args.out, facts)
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    size = (args.out / tiny_clip.COMPACT_WEIGHTS).stat().st_size
    print(f"trained in {minutes:.1f} minutes; {size / 2**20:.2f} MiB; hash {tiny_clip.content_hash(args.out)}")


if __name__ == "__main__":
    main()
