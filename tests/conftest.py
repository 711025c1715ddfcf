"""Small worlds for the tests: pictures, a CLIP with random weights, and the shared photographs where they exist."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pictures import picture

from ccd_fast.bench import measure
from ccd_fast.cli import main
from ccd_fast.recipes import knobs

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reached for a download would fail at once

SHARED = Path(os.environ.get("CCD_SHARED", Path(__file__).parents[2] / "shared"))


def pytest_configure() -> None:
    """Tests share the cores by processes: threads of one that wait for a core would spin.

    To a CLIP of random weights everyday things are as likely as any class: no anchors but where a test asks for them.
    What a shell starts in the background ignores SIGINT, which the tests of interruption need.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    knobs.FEW_CLASSES = 0


@pytest.fixture(autouse=True)
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here: what tests write need not reach the disk; processes of their own wait for it."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of photographs and models for evaluation; tests that need it are skipped where it is absent."""
    if not (SHARED / "models" / "mini-clip").is_dir():
        pytest.skip(f"no photographs and models for evaluation in {SHARED} (set CCD_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def counts() -> Any:
    """Gather what ``make test-faults`` has tried, and write it at the end to the file that ``FAULTS_OUT`` names."""
    tried: dict[str, Any] = {}
    yield tried
    print(f"\ntried: {tried}")
    if file := os.environ.get("FAULTS_OUT"):
        measure.save({"benchmark": "faults", **tried}, Path(file))


@pytest.fixture(scope="session")
def golden_systems(shared: Path) -> Any:
    """Arrays recorded while the published code of the other systems ran, by name."""
    with np.load(shared / "golden" / "systems.npz", allow_pickle=False) as arrays:
        yield arrays


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One engine store for all tests, so that each engine is exported once."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["CCD_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 pictures of 4 classes in nested folders, with classes.txt and labels.csv (24 train, 12 test)."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    rows = ["path,split,labels"]
    names = ["cat", "dog", "traffic light", "boat"]
    for index in range(36):
        path = Path("images", f"part{index % 3}", f"{index:03d}.{'png' if index % 9 == 0 else 'jpg'}")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        picture(rng, int(rng.integers(60, 140)), int(rng.integers(60, 140))).save(root / path, quality=92)
        labels = [name for name in names if rng.random() < 0.4] or [names[index % 4]]
        rows.append(f"{path.as_posix()},{'train' if index < 24 else 'test'},{'|'.join(labels)}")
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def resnet_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as open_clip reads it: a small ResNet with attention pool, 224 pixels, and random weights."""
    folder = tmp_path_factory.mktemp("resnet-clip")
    vision = {"image_size": 224, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64}
    write_random_clip(folder, vision, embed_dim=32)
    return folder


def write_random_clip(folder: Path, vision: dict, embed_dim: int) -> None:
    """Write a CLIP with random weights and a small text tower."""
    import open_clip

    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
    model_cfg = {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**model_cfg)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}))
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, folder / "open_clip_model.safetensors")


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as open_clip reads it: a small ViT and text tower with random weights that tell pictures apart."""
    import open_clip

    folder = tmp_path_factory.mktemp("tiny-clip")
    vision = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
    config = {"model_cfg": {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": preprocess}
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**config["model_cfg"])
    model.visual.conv1.weight.data *= 3  # otherwise the position embeddings drown the picture
    model.logit_scale.data.fill_(3.0)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def ccd(monkeypatch, capfd, cache):
    """Run ``ccd-fast`` in this process; give its exit code, its output and its error output."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ccd-fast", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "250")
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capfd.readouterr()
        return int(exit_.value.code or 0), out, err

    return call
