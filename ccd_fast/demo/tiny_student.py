"""The demo world's own start for a student: weights as small as the world, trained on single objects.

On photographs a student starts from ImageNet. The demo's student starts from the world's counterpart of it: pictures of
one main object each, named by their class. No scene of the data set is among them. ``python -m
ccd_fast.demo.tiny_student`` makes the weights anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import timm
import torch
from torch import nn
from torch.nn.functional import cross_entropy, interpolate

from ccd_fast import machine
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.demo.tiny_clip import FOLDER
from ccd_fast.demo.training_pictures import Pictures, training_pictures, unseen_singles
from ccd_fast.demo.world import WORLD_VERSION
from ccd_fast.engines import default_folder
from ccd_fast.engines.cache import writable
from ccd_fast.machine import folder_in_the_making

BACKBONE = "test_efficientnet"
WEIGHTS = "tiny_student.safetensors"
SIDE = 72
"""Side of the pictures that it is trained on, in pixels."""
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 6, 64, 4e-3, 0.02


def install(cache: Path | None = None, folder: Path = FOLDER) -> Path:
    """Put the weights, in float32, where ``student.weights`` can name them; give the file."""
    content = (folder / WEIGHTS).read_bytes()
    target = (
        (cache or default_folder()) / "demo" / f"tiny-student-{hashlib.sha256(content).hexdigest()[:12]}.safetensors"
    )
    if not target.is_file():
        target = writable(target.parent) / target.name
        state = {n: t.float() if t.is_floating_point() else t for n, t in safetensors.torch.load(content).items()}
        with folder_in_the_making(target.parent, ".installing-") as temporary:
            safetensors.torch.save_file(state, temporary / target.name)
            (temporary / target.name).replace(target)
    return target


def train(pictures: Pictures, epochs: int, seed: int, say: Callable[[str], None]) -> tuple[Any, list[float]]:
    """Train the backbone to name the main object of each picture; give it, and the mean loss of each epoch.

    Args:
        pictures: what it sees.
        epochs: passes over them.
        seed: of the weights, the order and the variations.
        say: takes progress lines.
    """
    torch.manual_seed(seed)
    model = timm.create_model(BACKBONE, num_classes=len(CLASS_NAMES)).to(memory_format=torch.channels_last)
    steps = epochs * (len(pictures.classes) // BATCH_SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    losses = []
    for epoch in range(epochs):
        start = time.perf_counter()
        rng = np.random.default_rng([seed, epoch, 77])
        order = rng.permutation(len(pictures.classes))
        step_losses = []
        for first in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
            rows = np.sort(order[first : first + BATCH_SIZE])
            loss = cross_entropy(
                model(_varied(rng, model, pictures.pixels[rows])), torch.from_numpy(pictures.classes[rows])
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            step_losses.append(float(loss.detach()))
        losses.append(float(np.mean(step_losses)))
        rate = len(step_losses) * BATCH_SIZE / (time.perf_counter() - start)
        say(f"epoch {epoch + 1} of {epochs}: loss {losses[-1]:.3f}, {rate:.0f} pictures/s")
    return model.eval(), losses


def _varied(rng: np.random.Generator, model: nn.Module, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Mirror half of the pictures, cut out a part of the batch's choice, and change brightness; normalised."""
    batch = normalised(model, torch.from_numpy(pixels))
    flip = torch.from_numpy(rng.random(len(batch)) < 0.5).view(-1, 1, 1, 1)
    batch = torch.where(flip, batch.flip(3), batch)
    side = int(rng.integers(SIDE * 2 // 3, SIDE + 1))
    y, x = rng.integers(0, batch.shape[2] - side + 1, 2)
    part = batch[:, :, y : y + side, x : x + side]
    target = int(rng.choice((40, 56, SIDE)))  # objects of the scenes are of many sizes
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(batch), 1, 1, 1)).astype(np.float32))
    return interpolate(part, size=(target, target), mode="bilinear", antialias=True) * gain


def normalised(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Turn (M, S, S, 3) uint8 pixels into what the backbone reads, (M, 3, S, S) float32."""
    config = timm.data.resolve_model_data_config(model)
    mean, std = (255 * torch.tensor(config[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return (pixels.permute(0, 3, 1, 2).float() - mean) / std


def accuracy(model: Any, pixels: torch.Tensor, classes: npt.NDArray[np.int64]) -> float:
    """Give the share of pictures, (M, S, S, 3) uint8, that it names rightly."""
    with torch.inference_mode():
        return float((model(normalised(model, pixels)).argmax(dim=1).numpy() == classes).mean())


def main() -> None:
    """Draw, train, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m ccd_fast.demo.tiny_student", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=Path, default=default_folder() / "demo", help="where the pictures are kept")
    parser.add_argument("--out", type=Path, default=FOLDER)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine.keep_freed_memory()
    pictures = training_pictures(args.pictures, args.seed, 12000, 2500, args.threads)
    model, losses = train(pictures, args.epochs, args.seed, lambda line: print(line, flush=True))
    facts = {
        "seed": args.seed,
        "epochs": args.epochs,
        "world_version": WORLD_VERSION,
        "final_loss": round(losses[-1], 4),
    }
    facts |= {"single_accuracy": accuracy(model, *unseen_singles(args.seed, 500, args.threads))}
    facts |= {"torch": torch.__version__, "timm": timm.__version__}
    state = {n: (t.half() if t.is_floating_point() else t).contiguous() for n, t in model.state_dict().items()}
    safetensors.torch.save_file(state, args.out / WEIGHTS, {"made": json.dumps(facts, sort_keys=True)})
    (args.out / WEIGHTS).chmod(0o644)
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))


if __name__ == "__main__":
    main()
