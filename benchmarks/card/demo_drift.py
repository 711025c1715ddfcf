"""The demo world from beginning to end on the CPU and on a card: how far the two label tables are apart."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray
from rich.console import Console

from ccd_fast.bench import measure
from ccd_fast.demo import drawing, story
from ccd_fast.demo.objects import CLASS_NAMES
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.training.run import train

FAR = 0.05
"""Labels further apart than this are counted."""


def options() -> argparse.ArgumentParser:
    """Give the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--scenes", type=int, default=400, help="training scenes")
    parser.add_argument("--epochs", type=int, default=4, help="epochs; labels are updated from the third on")
    parser.add_argument("--device", default="cuda", help="what is held against the CPU")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    return parser


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
        "max": float(apart.max()),
        "far": float((apart > FAR).mean()),
        "other_class": float(other.mean()),
    }


def tables(run: Path) -> dict[str, NDArray[np.float32]]:
    """Read the label tables of a run, by the name of their file."""
    files = sorted((run / "labels").glob("epoch-*.parquet"))
    read = {file.stem: pyarrow.parquet.read_table(file) for file in files}
    return {name: np.stack([table[c].to_numpy() for c in CLASS_NAMES], axis=1) for name, table in read.items()}


def main() -> None:
    """Train twice, compare, print and write."""
    given = options().parse_args()
    stages = Stages(Console(stderr=True))
    source = drawing.draw(0, stages, given.scenes, max(given.scenes // 4, 20))
    found: dict[str, Any] = {"device": given.device, "scenes": given.scenes, "epochs": given.epochs}
    with tempfile.TemporaryDirectory() as work:
        runs = {"cpu": Path(work) / "cpu", given.device: Path(work) / "card"}
        if given.device == "cpu":
            runs = {"cpu": Path(work) / "cpu", "cpu, again": Path(work) / "card"}
        for name, run in runs.items():
            recipe = story.recipe(0, [f"train.epochs={given.epochs}"])
            folder = RunFolder(run)
            own = Stages(stages.console, folder.add_metrics)
            summary = train(source, recipe, folder, own, device=name.split(",")[0], command="demo_drift")
            seconds = sum(stage["seconds"] for stage in summary["stages"].values())
            found[name] = {"seconds": seconds, "results": summary["results"]}
        theirs, ours = (tables(run) for run in runs.values())
    found["tables"] = {name: drift(ours[name], theirs[name]) for name in theirs}
    print(measure.as_json(found))
    measure.save(found, given.out)


if __name__ == "__main__":
    main()
