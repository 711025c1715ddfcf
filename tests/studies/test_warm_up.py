"""What rows have in common is done once, and changes no bit."""

import dataclasses
import io

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from ccd_fast.datasets import Source
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.studies import cells, warm_up
from ccd_fast.studies.cells import Plan, run_cells

ROWS = {
    "full": (),
    "no update": ("relabel.epochs=0", "consistency.mu=0"),
    "elsewhere": ("views.choice=grid",),
    "no debias": ("bias.debias=false",),
}
SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "student.runtime=torch")


@pytest.fixture
def plan(photo_folder, tiny_clip, tmp_path, cache):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    knobs = [f"teacher.model='{tiny_clip}'", "teacher.batch_size=8", "train.epochs=3", "train.batch_size=8", *SMALL]
    return Plan(
        source=lambda seed: source,
        recipe=lambda seed, more: config.load("folder", [*knobs, f"seed={seed}", *more]),
        folder=lambda row, seed: tmp_path / "alone" / row,
        stages=Stages(Console(file=io.StringIO())),
    )


def test_rows_that_begin_alike_share_it_and_end_with_the_same_bits(plan, tmp_path, monkeypatch):
    alone = run_cells(plan, ROWS, [0])
    real, begun = cells.train, []

    def train(*arguments, **options):
        begun.append((options["resume"], options.get("until")))
        return real(*arguments, **options)

    monkeypatch.setattr(cells, "train", train)
    sharing = dataclasses.replace(
        plan, shared=tmp_path / "shared", folder=lambda row, seed: tmp_path / "together" / row
    )
    together = run_cells(sharing, ROWS, [0])
    assert begun == [(False, 2), (True, None), (True, None), (True, None), (False, None)]
    assert not (tmp_path / "shared").exists()
    for one, other in zip(alone, together, strict=True):
        assert one.summary["metrics"] == other.summary["metrics"]
        assert one.summary["stages"].keys() == other.summary["stages"].keys()
        for name in ("last", "best"):
            weights = [load_file(cell.folder / "checkpoints" / f"{name}.safetensors") for cell in (one, other)]
            assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
        for part in ("labels", "."):
            assert sorted(f.name for f in (one.folder / part).iterdir()) == sorted(
                f.name for f in (other.folder / part).iterdir()
            )


def test_a_run_that_was_stopped_before_it_was_described_begins_anew_in_its_table(plan, tmp_path):
    sharing = dataclasses.replace(plan, shared=tmp_path / "shared")
    alone, with_others = RunFolder(plan.folder("full", 0)), RunFolder(plan.folder("no update", 0))
    alone.create(overwrite=False)
    with_others.path.mkdir(parents=True)
    (with_others.path / ".run.json.tmp").write_text("{")
    assert len(run_cells(sharing, {row: ROWS[row] for row in ("full", "no update")}, [0])) == 2


def test_a_table_that_was_interrupted_in_the_warm_up_goes_on(plan, tmp_path, monkeypatch):
    sharing = dataclasses.replace(plan, shared=tmp_path / "shared")
    with monkeypatch.context() as patch:

        def interrupted(*_, **__):
            raise KeyboardInterrupt

        patch.setattr(warm_up, "begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_cells(sharing, ROWS, [0])
    assert (tmp_path / "shared").is_dir()
    assert len(run_cells(sharing, {row: ROWS[row] for row in ("full", "no update")}, [0])) == 2


def test_what_the_warm_up_depends_on_is_not_shared(plan):
    def warm_ups(*overrides):
        return warm_up.shared([plan.recipe(0, ()), plan.recipe(0, overrides)], 24)

    assert len(warm_ups("relabel.ema=0.9", "consistency.mu=0", "views.choice=whole")) == 1
    of_maps = ("relabel.teacher=maps", "relabel.student=training")
    others = ("bias.debias=false", "seed=1", "student.alpha=2.0", "train.batch_size=4", "views.backend=pillow")
    for knob in (*of_maps, *others):
        assert warm_ups(knob) == []
    same = plan.recipe(0, ("train.epochs=2",))  # it ends with its warm-up
    assert warm_up.shared([same, same], 24) == []


def test_one_row_alone_shares_nothing(plan, tmp_path):
    sharing = dataclasses.replace(plan, shared=tmp_path / "shared")
    run_cells(sharing, {"full": ()}, [0])
    assert not (tmp_path / "shared").exists()
