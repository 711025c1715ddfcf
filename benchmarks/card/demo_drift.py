"""The demo world from beginning to end on the CPU and on a card: how far the two label tables are apart."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from card.setting import Setting
from ccd_fast.demo.objects import CLASS_NAMES

FAR = 0.05
"""Labels further apart than this are counted."""


def measure(setting: Setting) -> None:
    """Train twice, and compare; on a CPU with itself."""
    from rich.console import Console

    from ccd_fast.demo import drawing, story
    from ccd_fast.runs import RunFolder, Stages
    from ccd_fast.training.run import train

    scenes, epochs = setting.sizes.scenes
    stages = Stages(Console(stderr=True))
    source = drawing.draw(0, stages, scenes, max(scenes // 4, 20))
    with tempfile.TemporaryDirectory() as work:
        runs = {"cpu": Path(work) / "first", setting.device if setting.on_card else "cpu, again": Path(work) / "second"}
        for name, run in runs.items():
            folder = RunFolder(run)
            recipe = story.recipe(0, [f"train.epochs={epochs}"])
            own = Stages(stages.console, folder.add_metrics)
            summary = train(source, recipe, folder, own, device=name.split(",")[0], command="on_a_card")
            seconds = sum(stage["seconds"] for stage in summary["stages"].values())
            setting.ledger.figure(f"training on {name}", seconds, "s", f"{scenes} scenes", results=summary["results"])
        theirs, ours = (tables(run) for run in runs.values())
    for name, table in theirs.items():
        found = drift(ours[name], table)
        setting.ledger.figure(f"labels apart, {name}", found["mean"], "on average", **found)


def drift(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> dict[str, float]:
    """Compare two label tables, (N, C).

    Returns:
        Mean and largest difference, the share of the labels that are more than :data:`FAR` apart, and the share of the
        images whose highest label is another class.
    """
    apart = np.abs(ours - theirs)
    other = ours.argmax(axis=1) != theirs.argmax(axis=1)
    return {
        "mean": float(apart.mean()),
        "most": float(apart.max()),
        "far": float((apart > FAR).mean()),
        "other_class": float(other.mean()),
    }


def tables(run: Path) -> dict[str, NDArray[np.float32]]:
    """Read the label tables of a run, by the name of their file."""
    files = sorted((run / "labels").glob("epoch-*.parquet"))
    read = {file.stem: pyarrow.parquet.read_table(file) for file in files}
    return {name: np.stack([table[c].to_numpy() for c in CLASS_NAMES], axis=1) for name, table in read.items()}
