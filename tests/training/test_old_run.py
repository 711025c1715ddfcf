"""A run that was made by version 0.1, before the package had rooms, goes on."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from rich.console import Console

from ccd_fast.demo import tiny_clip as demo_clip
from ccd_fast.outputs import origin
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.training import train

KEPT = Path(__file__).with_name("old_run")
CLASSES = ("cat", "dog", "traffic light", "boat")


@pytest.fixture
def run(tmp_path, cache):
    """The run as it stood after the first of five epochs, with this machine's paths."""
    shutil.copytree(KEPT / "run", tmp_path / "run")
    places = {"@PHOTOGRAPHS@": str(KEPT / "photographs"), "@TEACHER@": str(demo_clip.install(cache))}
    for name in ("recipe.toml", "run.json"):
        text = (tmp_path / "run" / name).read_text()
        for place, path in places.items():
            text = text.replace(place, path)
        (tmp_path / "run" / name).write_text(text)
    return tmp_path / "run"


def test_it_goes_on_to_the_labels_and_figures_that_it_would_have_come_to(run):
    source, recipe = origin.origin(run)
    folder = RunFolder(run)
    summary = train(source, recipe, folder, Stages(Console(file=io.StringIO()), folder.add_metrics), resume=True)
    assert [line.get("epoch") for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())][-1] == 4
    expected = json.loads((KEPT / "expected" / "summary.json").read_text())
    assert summary["tau"] == pytest.approx(expected["tau"], abs=1e-3)
    assert summary["results"].keys() == expected["results"].keys()
    for epoch in (2, 3, 4):
        name = f"epoch-{epoch:03d}.parquet"
        ours, theirs = (pyarrow.parquet.read_table(place / name) for place in (run / "labels", KEPT / "expected"))
        assert ours.column("path").equals(theirs.column("path"))
        for c in CLASSES:  # other processors and versions round otherwise
            np.testing.assert_allclose(ours.column(c).to_numpy(), theirs.column(c).to_numpy(), atol=0.02)
