"""The whole method on a few dozen pictures."""

import dataclasses
import io
import json
import shutil

import numpy as np
import pyarrow.parquet
import pytest
import safetensors.torch
import torch
from rich.console import Console

from ccd_fast import prompts
from ccd_fast.datasets import Source
from ccd_fast.errors import RunError, UserError
from ccd_fast.evaluation.metrics import average_precision, evaluate_images
from ccd_fast.labels.neighbours import logits_of, nearest
from ccd_fast.labels.table import of_run
from ccd_fast.outputs import guide, labelling, origin, trained
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stage, Stages
from ccd_fast.student import STUDENT_FILTER, Reading, predict
from ccd_fast.student.network import build
from ccd_fast.training import HELD_OUT, thresholds
from ccd_fast.training.first_head import left_out, ridge_regression
from ccd_fast.training.run import train
from ccd_fast.views import open_backend

pytestmark = pytest.mark.usefixtures("cache")

SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "train.batch_size=8")
SMALL += (
    "consistency.mu=1.0",
    "train.head_learning_rate=1e-3",
    "train.schedule=constant",
    "train.ema=0.0",
    "labels.grids=[]",
)


@pytest.fixture(scope="module")
def source(photo_folder):
    return Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")


@pytest.fixture
def recipe(tiny_clip):
    def make(*overrides):
        return config.load("folder", [f"teacher.model='{tiny_clip}'", "teacher.batch_size=8", *SMALL, *overrides])

    return make


def run(source, recipe, out, **options):
    folder = RunFolder(out)
    return train(source, recipe, folder, Stages(Console(file=io.StringIO()), folder.add_metrics), **options)


@pytest.fixture(scope="module")
def finished(source, tiny_clip, tmp_path_factory):
    """Folder and summary of a run that several tests read and none changes, by what it changes in the recipe."""
    done = {}

    def give(*overrides):
        if overrides not in done:
            out = tmp_path_factory.mktemp("finished") / "run"
            own = config.load("folder", [f"teacher.model='{tiny_clip}'", "teacher.batch_size=8", *SMALL, *overrides])
            done[overrides] = out, run(source, own, out, command="ccd-fast train …")
        return done[overrides]

    return give


def label_table(out, epoch):
    columns = pyarrow.parquet.read_table(out / "labels" / f"epoch-{epoch:03d}.parquet").to_pydict()
    return columns, np.array([columns[name] for name in ("cat", "dog", "traffic light", "boat")]).T


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_behind_what_it_promises(finished, recipe):
    out, summary = finished("train.epochs=4")
    found = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    checkpoints = {f"checkpoints/{name}" for name in ("best.safetensors", "last.safetensors", "state.pt")}
    labels = {"labels/bias.json", *(f"labels/epoch-{epoch:03d}.parquet" for epoch in (0, 2, 3))}
    measured = ("zero-shot-teacher-train", "first-pseudo-labels-train", "pseudo-labels-after-the-updates-train")
    measured += ("zero-shot-teacher-test", "student-last-epoch-test", "student-chosen-epoch-test")
    scores = {f"scores/{name}.parquet" for name in measured}
    others = {"recipe.toml", "run.json", "summary.json", "metrics.jsonl", "quarantine.csv", "thresholds.json"}
    assert found == others | checkpoints | labels | scores
    assert config.load(out / "recipe.toml") == recipe("train.epochs=4")
    description = json.loads((out / "run.json").read_text())
    assert description["command"] == "ccd-fast train …"
    assert description["training"] == {"precision": "fp32", "compiled": False, "processes": 1}
    assert description["machine"]["packages"]["torch"] == torch.__version__.split("+")[0]
    assert (out / "quarantine.csv").read_text() == "path,reason\n"
    stages = [line["stage"] for line in lines(out) if "stage" in line]
    assert stages.count("train") == 4
    assert stages.count("relabel") == 2
    assert stages.count("activity threshold") == stages.count("thresholds") == 1
    own = json.loads((out / "thresholds.json").read_text())
    assert own["best"] == own["last"]
    assert {len(own["best"][of]) for of in ("student", "labels")} == {len(description["class_names"])}
    assert {"zero-shot teacher, test", "first pseudo-labels, train", "student, chosen epoch, test"} <= set(
        summary["results"]
    )
    assert 0 <= summary["chosen_epoch"] <= 3


def test_labels_are_updated_after_the_warm_up_and_stay_in_range(finished):
    out, _ = finished("train.epochs=4")
    columns, first = label_table(out, 0)
    _, second = label_table(out, 2)
    _, third = label_table(out, 3)
    assert columns["status"] == ["labelled"] * 24
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    for labels in (first, second, third):
        assert labels.min() > 0
        assert labels.max() <= 1


def test_the_student_learns_its_pseudo_labels(source, recipe, tmp_path):
    run(source, recipe("train.epochs=8", "relabel.epochs=0", "consistency.mu=0"), tmp_path / "run")
    losses = [line["loss"] for line in lines(tmp_path / "run") if "loss" in line]
    assert losses[-1] < losses[0] - 0.02


def test_the_same_seed_gives_the_same_run_and_another_does_not(source, recipe, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(source, recipe("train.epochs=3", f"seed={seed}"), tmp_path / name)
    a, b, c = (RunFolder(tmp_path / name).load_student("last") for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)
    assert np.array_equal(label_table(tmp_path / "a", 2)[1], label_table(tmp_path / "b", 2)[1])


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_run_stopped_between_epochs_goes_on_to_the_same_end(source, recipe, tmp_path, monkeypatch, runtime):
    whole = recipe("train.epochs=4", f"student.runtime={runtime}")
    run(source, whole, tmp_path / "whole")
    import ccd_fast.training.run as module

    fit = module.fit_epoch

    fitted = []

    def stop_at_three(*arguments):
        if len(fitted) == 3:
            raise KeyboardInterrupt
        fitted.append(fit(*arguments))
        return fitted[-1]

    monkeypatch.setattr(module, "fit_epoch", stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        run(source, whole, tmp_path / "stopped")
    monkeypatch.setattr(module, "fit_epoch", fit)
    summary = run(source, whole, tmp_path / "stopped", resume=True)
    assert summary["epochs"] == 4
    assert json.loads((tmp_path / "whole" / "run.json").read_text())["student_runtime"] == runtime
    a, b = (RunFolder(tmp_path / name).load_student("last") for name in ("whole", "stopped"))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert np.array_equal(label_table(tmp_path / "whole", 3)[1], label_table(tmp_path / "stopped", 3)[1])
    kinds = [(line.get("stage"), line.get("epoch")) for line in lines(tmp_path / "stopped")]
    assert kinds == [(line.get("stage"), line.get("epoch")) for line in lines(tmp_path / "whole")]


def test_a_run_does_not_go_on_with_the_student_on_another_runtime(source, recipe, tmp_path, monkeypatch):
    from ccd_fast.student import engine as student_engine

    auto = recipe("train.epochs=3")
    run(source, auto, tmp_path / "run")  # 24 images do not repay an export: torch
    monkeypatch.setattr(student_engine, "PAYS_FROM", 1)
    with pytest.raises(UserError, match="the run began with the student on torch, which would be on onnxruntime here"):
        run(source, auto, tmp_path / "run", resume=True)


def test_the_cache_of_scores_changes_no_label_and_its_hits_are_in_the_record(source, recipe, tmp_path):
    for name, mib in (("with", 1), ("without", 0)):
        knobs = recipe("train.epochs=4", "views.choice=whole", f"relabel.cache_mib={mib}")
        run(source, knobs, tmp_path / name)
    for epoch in (2, 3):
        assert np.array_equal(*(label_table(tmp_path / name, epoch)[1] for name in ("with", "without")))
    for name, hits in (("with", [0, 1]), ("without", [0, 0])):
        assert [line["cache_hits"] for line in lines(tmp_path / name) if line.get("stage") == "relabel"] == hits


def test_unreadable_images_end_in_the_quarantine_and_the_rest_goes_on(photo_folder, recipe, tmp_path):
    shutil.copytree(photo_folder, tmp_path / "photos")
    source = Source("folder", tmp_path / "photos", tmp_path / "photos/classes.txt", tmp_path / "photos/labels.csv")
    paths = source.load("train").paths
    (tmp_path / "photos" / paths[3]).write_bytes(b"rubbish")
    (tmp_path / "photos" / paths[7]).unlink()
    out = tmp_path / "run"
    summary = run(source, recipe("train.epochs=3"), out)
    assert summary["unreadable"] == 2
    quarantine = (out / "quarantine.csv").read_text().splitlines()
    assert quarantine[0] == "path,reason"
    assert set(quarantine[1:]) == {f"{paths[3]},not an image (starts with 'rubbish')", f"{paths[7]},no such file"}
    columns, labels = label_table(out, 2)
    assert columns["path"] == list(paths)
    assert [row for row, status in enumerate(columns["status"]) if status == "unreadable"] == [3, 7]
    assert (labels[[3, 7]] == 0).all()


def test_a_run_stops_where_too_many_images_are_unreadable_and_says_where_they_are_listed(
    photo_folder, recipe, tmp_path
):
    shutil.copytree(photo_folder, tmp_path / "photos")
    source = Source("folder", tmp_path / "photos", tmp_path / "photos/classes.txt", tmp_path / "photos/labels.csv")
    for path in source.load("train").paths[:3]:  # of 24
        (tmp_path / "photos" / path).write_bytes(b"rubbish")
    out = tmp_path / "run"
    with pytest.raises(UserError, match=r"3 of the 24 images cannot be read, more than views.max_bad_frac = 0.1 "):
        run(source, recipe("train.epochs=1"), out)
    assert len((out / "quarantine.csv").read_text().splitlines()) == 4
    assert run(source, recipe("train.epochs=1", "views.max_bad_frac=0.125"), out, overwrite=True)["unreadable"] == 3


@pytest.mark.parametrize(("split", "of_all"), [("train", "3 of the 24 training"), ("test", "3 of the 12 test")])
def test_a_half_extracted_tree_is_refused_before_anything_is_done(photo_folder, recipe, tmp_path, split, of_all):
    shutil.copytree(photo_folder, tmp_path / "photos")
    source = Source("folder", tmp_path / "photos", tmp_path / "photos/classes.txt", tmp_path / "photos/labels.csv")
    paths = source.load(split).paths[:3]
    for path in paths:
        (tmp_path / "photos" / path).unlink()
    said = f"{of_all} images are not there, more than views.max_bad_frac = 0.1 allows, for example {paths[0]}"
    with pytest.raises(UserError, match=said):
        run(source, recipe("train.epochs=1"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_test_images_that_cannot_be_read_are_told_of_and_too_many_stop_the_run(photo_folder, recipe, tmp_path):
    """Figures over some of the test images only would stand beside those over all."""
    shutil.copytree(photo_folder, tmp_path / "photos")
    source = Source("folder", tmp_path / "photos", tmp_path / "photos/classes.txt", tmp_path / "photos/labels.csv")
    first, second = source.load("test").paths[:2]
    (tmp_path / "photos" / first).unlink()
    said = Stages(Console(file=io.StringIO()))
    train(source, recipe("train.epochs=1"), RunFolder(tmp_path / "run"), said)
    assert "1 of the 12 test images cannot be read: see quarantine.csv" in said.console.file.getvalue()
    (tmp_path / "photos" / second).write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"2 of the 12 test images cannot be read, more than views.max_bad_frac = 0.1"):
        run(source, recipe("train.epochs=1"), tmp_path / "other")


SHORT = ("train.epochs=3", "train.choose=last", "evaluate.threshold=0.3")


def test_a_trained_student_predicts_as_it_did_at_the_end_of_the_run(finished):
    out, _ = finished(*SHORT)
    last = next(line for line in reversed(lines(out)) if "test" in line)
    model = trained.load(out, "best")
    test = model.source.load("test")
    stage = Stage("test", len(test), lambda _: None)
    seen = predict(model.student, test.files_of_all(), Reading(open_backend("auto", 2)), 64, stage)
    from ccd_fast.evaluation.metrics import mean_average_precision

    again = mean_average_precision(seen.probabilities, torch.from_numpy(test.truth))
    assert again == pytest.approx(last["test"]["mean_average_precision"])


def test_the_summary_sets_the_chosen_epoch_beside_the_one_that_the_truth_would_choose(finished):
    out, summary = finished(*SHORT)
    test_maps = [line["test"]["mean_average_precision"] for line in lines(out) if "test" in line]
    oracle = summary["oracle_epoch"]
    assert test_maps[oracle] == max(test_maps)
    results = summary["results"]
    assert results["student, best epoch by the test labels (oracle), test"] == max(test_maps)
    assert results["student, chosen epoch, test"] == test_maps[summary["chosen_epoch"]]
    assert summary["choice"] == "the last (train.choose)"


def test_the_summary_holds_every_metric_of_teacher_labels_and_student(source, finished):
    out, _ = finished(*SHORT)
    summary = json.loads((out / "summary.json").read_text())
    assert {
        "zero-shot teacher, train",
        "zero-shot teacher, test",
        "first pseudo-labels, train",
        "pseudo-labels after the updates, train",
        "student, chosen epoch, test",
        "student, last epoch, test",
    } < set(summary["metrics"])
    for name, record in summary["metrics"].items():
        assert record["mean_average_precision"] == summary["results"][name]
        assert set(record["average_precision"]) == {"cat", "dog", "traffic light", "boat"}
        assert record["threshold"] == 0.3
        assert record["images"] == (12 if name.endswith("test") else 24)
        assert {"class_f1", "overall_f1", "class_precision", "class_recall", "overall_precision"} < set(record)
    table = torch.from_numpy(label_table(out, 2)[1])
    again = evaluate_images(table, source.load("train"), torch.ones(24, dtype=torch.bool), 0.3)
    assert again.record() == summary["metrics"]["pseudo-labels after the updates, train"]


def test_a_frozen_backbone_stays_as_it_was_and_the_maps_are_learnt(source, recipe, tmp_path):
    run(source, recipe("train.epochs=3", "train.backbone_learning_rate=0"), tmp_path / "run")
    fresh = build("test_resnet", 4, 3.0, "none", seed=0).state_dict()
    trained = RunFolder(tmp_path / "run").load_student("last")
    moved = {name for name in fresh if not torch.equal(fresh[name], trained[name])}
    assert moved == {"head.weight", "head.bias"}  # not a running mean of the backbone either


def test_the_head_begins_as_the_regression_of_the_first_labels_where_the_backbone_is_frozen(source, recipe, tmp_path):
    still = ("train.epochs=1", "train.backbone_learning_rate=0", "train.head_learning_rate=1e-30")
    heads = {}
    for head in ("drawn", "ridge", "auto"):
        run(source, recipe(*still, "views.backend=pillow", f"student.head={head}"), tmp_path / head)
        heads[head] = RunFolder(tmp_path / head).load_student("last")["head.weight"]
    assert not torch.equal(heads["ridge"], heads["drawn"])
    assert torch.equal(heads["ridge"], heads["auto"])
    student, images = build("test_resnet", 4, 3.0, "none", seed=0), source.load("train")
    backend = open_backend("pillow", 1)
    views = backend.whole(backend.decode(images.files_of_all(), np.arange(len(images))), 64, STUDENT_FILTER)
    with torch.no_grad():
        features = student.eval().features(views).mean(dim=(2, 3))
    labels = torch.from_numpy(label_table(tmp_path / "ridge", 0)[1]).float().clamp(0.002, 0.998)
    wanted, _ = ridge_regression(features, torch.logit(labels))
    assert torch.allclose(heads["ridge"][:, :, 0, 0], wanted, atol=1e-3 * float(wanted.abs().max()))
    kept = {head: RunFolder(tmp_path / head).summary()["metrics"].get(HELD_OUT) for head in heads}
    foretold = average_precision(left_out(features, torch.logit(labels)), torch.from_numpy(images.truth)).nanmean()
    assert kept["drawn"] is None and kept["ridge"] == kept["auto"]
    assert kept["ridge"]["mean_average_precision"] == pytest.approx(float(foretold), abs=1e-3)


def drawn_by_hand(table, features):
    logits = logits_of(torch.from_numpy(table))
    return torch.sigmoid(0.7 * logits + 0.3 * logits[nearest(features, 2)].mean(dim=1)).numpy()


def test_labels_are_drawn_towards_those_of_neighbours_before_the_head_begins_and_after_every_update(
    photo_folder, recipe, tmp_path, monkeypatch
):
    source = Source("folder", photo_folder, photo_folder / "classes.txt")
    still = ("train.epochs=3", "train.backbone_learning_rate=0", "train.head_learning_rate=1e-30", "student.head=ridge")
    still += ("relabel.ema=1.0", "relabel.settle=0.0", "views.backend=pillow")  # updates that change nothing themselves
    heads = {}
    for count in (0, 2):
        run(source, recipe(*still, f"labels.neighbours={count}"), tmp_path / f"{count}")
        heads[count] = RunFolder(tmp_path / f"{count}").load_student("last")["head.weight"]
    images, backend = source.load("train"), open_backend("pillow", 1)
    views = backend.whole(backend.decode(images.files_of_all(), np.arange(len(images))), 64, STUDENT_FILTER)
    with torch.no_grad():
        features = build("test_resnet", 4, 3.0, "none", seed=0).eval().features(views).mean(dim=(2, 3))
    alone, updated_alone = (label_table(tmp_path / "0", epoch)[1] for epoch in (0, 2))
    first, updated = (label_table(tmp_path / "2", epoch)[1] for epoch in (0, 2))
    assert np.array_equal(alone, updated_alone)
    assert np.allclose(first, drawn_by_hand(alone, features), atol=1e-4)
    assert np.allclose(updated, drawn_by_hand(first, features), atol=1e-4)
    assert not torch.equal(heads[0], heads[2])
    # label --run draws photographs together as the run has, unless they are too few to have neighbours
    stages = Stages(Console(file=io.StringIO()))
    alone_again = labelling.by_run(source.root, tmp_path / "2", stages)
    assert np.allclose(alone_again.table, alone, atol=1e-4)
    monkeypatch.setattr(guide, "FEW", 1)
    again = labelling.by_run(source.root, tmp_path / "2", stages)
    assert np.allclose(again.table, updated, atol=1e-4)
    kept = json.loads((tmp_path / "2" / "thresholds.json").read_text())["best"]
    for labelled, of in ((alone_again, "labels alone"), (again, "labels")):
        assert labelled.limits.tolist() == pytest.approx([kept[of][name] for name in again.images.class_names])


def test_thresholds_are_chosen_on_labels_as_they_were_before_they_were_drawn_together(
    source, recipe, tmp_path, monkeypatch
):
    chosen, by_class = [], thresholds.limits.by_class

    def watched(scores, labels=None, *more, **options):
        chosen.append(labels)
        return by_class(scores, labels, *more, **options)

    monkeypatch.setattr(thresholds.limits, "by_class", watched)
    run(source, recipe("train.epochs=1", "student.head=ridge", "labels.neighbours=2"), tmp_path / "run")
    labels = of_run(RunFolder(tmp_path / "run"))
    assert not torch.equal(labels.alone, labels.table)
    assert torch.equal(next(seen for seen in chosen if seen is not None), labels.alone[labels.readable])


def test_an_undefined_agreement_is_said_and_the_last_epoch_is_kept(source, recipe, tmp_path):
    out, said = RunFolder(tmp_path / "run"), io.StringIO()
    # without debiasing no score reaches 1, so that no pseudo-label is positive
    knobs = recipe("train.epochs=2", "bias.debias=false", "relabel.epochs=0", "train.choose=label-free")
    summary = train(source, knobs, out, Stages(Console(file=said, width=200), out.add_metrics))
    assert "epoch 1: the agreement with the pseudo-labels is undefined: none of them is 1" in said.getvalue()
    assert [line["agreement"] for line in lines(tmp_path / "run") if "agreement" in line] == [None, None]
    assert summary["chosen_epoch"] == 1
    assert "the last, as the agreement" in summary["choice"]
    assert "undefined in epoch 0, 1" in summary["choice"]


def test_the_teacher_may_look_at_the_boxes_that_people_drew(source, recipe, tmp_path):
    images = source.load("train")
    boxes = "".join(f"{path},cat,5,5,40,40\n" for path in images.paths[:20])
    (tmp_path / "boxes.csv").write_text("path,class,x0,y0,x1,y1\n" + boxes)
    knobs = recipe("train.epochs=3", "views.choice=ground-truth")
    with pytest.raises(UserError, match="needs boxes of the objects: give them with --boxes"):
        run(source, knobs, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    summary = run(dataclasses.replace(source, boxes=tmp_path / "boxes.csv"), knobs, tmp_path / "run")
    assert summary["stages"]["relabel"]["crops"] == 20
    first, second = (label_table(tmp_path / "run", epoch)[1] for epoch in (0, 2))
    changed = (first != second).any(axis=1)
    assert not changed[20:].any()  # no box, no crop: the labels stay
    assert changed[:20].sum() > 10
    assert origin.origin(tmp_path / "run")[0].boxes == (tmp_path / "boxes.csv").resolve()


def test_the_boxes_that_the_data_set_comes_with_need_no_file(photo_folder, recipe, tmp_path):
    shutil.copytree(photo_folder, tmp_path / "photos")
    root = tmp_path / "photos"
    source = Source("folder", root, root / "classes.txt", root / "labels.csv")
    paths = source.load("train").paths
    (root / "boxes.csv").write_text("path,class,x0,y0,x1,y1\n" + "".join(f"{p},cat,5,5,40,40\n" for p in paths[:7]))
    knobs = recipe("train.epochs=3", "views.choice=ground-truth")
    assert run(source, knobs, tmp_path / "own")["stages"]["relabel"]["crops"] == 7
    (tmp_path / "other.csv").write_text(f"path,class,x0,y0,x1,y1\n{paths[0]},cat,5,5,40,40\n")
    other = run(dataclasses.replace(source, boxes=tmp_path / "other.csv"), knobs, tmp_path / "other")
    assert other["stages"]["relabel"]["crops"] == 1  # a file that is named goes before


def test_classes_that_nearly_coincide_are_warned_of(photo_folder, recipe, tmp_path):
    (tmp_path / "classes.txt").write_text("traffic light\ntraffic  light\nboat\n")
    source = Source("folder", photo_folder, tmp_path / "classes.txt", None)
    out, said = RunFolder(tmp_path / "run"), io.StringIO()
    train(source, recipe("train.epochs=1"), out, Stages(Console(file=said, width=400), out.add_metrics))
    assert "warning: 1 pair of the 3 classes nearly coincide for the teacher" in said.getvalue()
    assert "traffic light / traffic  light (1.00)" in said.getvalue()


def test_labels_are_not_needed(source, recipe, tmp_path):
    summary = run(dataclasses.replace(source, truth=None), recipe("train.epochs=3"), tmp_path / "run")
    assert summary["results"] == {}
    assert (tmp_path / "run" / "checkpoints" / "best.safetensors").is_file()


def test_an_existing_run_is_refused_continued_or_replaced(source, recipe, tmp_path):
    out = tmp_path / "run"
    run(source, recipe("train.epochs=1"), out)
    with pytest.raises(UserError, match="already exists; go on with --resume or replace it with --overwrite"):
        run(source, recipe("train.epochs=1"), out)
    with pytest.raises(UserError, match="the recipe is not that of the run"):
        run(source, recipe("train.epochs=1", "relabel.k=1"), out, resume=True)
    assert run(source, recipe("train.epochs=1"), out, resume=True)["epochs"] == 1
    (out / "leftover").write_text("of the old run")
    run(source, recipe("train.epochs=1"), out, overwrite=True)
    assert not (out / "leftover").exists()


def test_a_run_that_goes_on_may_become_longer_and_is_then_as_one_that_was_meant_so(source, recipe, tmp_path):
    short, long = recipe("train.epochs=2"), recipe("train.epochs=4")
    whole = run(source, long, tmp_path / "whole")
    run(source, short, tmp_path / "longer")
    assert run(source, long, tmp_path / "longer", resume=True, until=3) == {}
    assert not (tmp_path / "longer" / "summary.json").exists()  # it has not ended any more
    summary = run(source, config.of_run(tmp_path / "longer"), tmp_path / "longer", resume=True)
    assert summary["metrics"] == whole["metrics"]
    assert (summary["epochs"], summary["chosen_epoch"]) == (4, whole["chosen_epoch"])
    for name in ("best", "last"):
        files = [tmp_path / way / "checkpoints" / f"{name}.safetensors" for way in ("whole", "longer")]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert config.of_run(tmp_path / "longer") == long


def test_a_run_may_be_shortened_to_less_than_it_has_done_and_keeps_its_last_student(source, recipe, tmp_path):
    out = tmp_path / "run"
    run(source, recipe("train.epochs=9", "train.choose='last'"), out, until=2)
    assert not (out / "checkpoints" / "best.safetensors").exists()
    summary = run(source, recipe("train.epochs=1", "train.choose='last'"), out, resume=True)
    assert (summary["epochs"], summary["chosen_epoch"]) == (2, 1)
    assert summary["metrics"]["student, chosen epoch, test"] == summary["metrics"]["student, last epoch, test"]
    best, last = ((out / "checkpoints" / f"{name}.safetensors").read_bytes() for name in ("best", "last"))
    assert best == last


def test_a_longer_run_has_its_student_on_what_it_began_on(source, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("ccd_fast.student.engine.PAYS_FROM", 30 * 3)
    run(source, recipe("train.epochs=1"), tmp_path / "run")
    assert run(source, recipe("train.epochs=6"), tmp_path / "run", resume=True, until=2) == {}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["student_runtime"] == "torch"


def test_a_folder_that_is_no_run_is_never_replaced(source, recipe, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not a run of ccd-fast"):
        run(source, recipe(), tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "mine"


def test_other_images_than_the_run_began_with_are_refused(photo_folder, recipe, tmp_path):
    shutil.copytree(photo_folder, tmp_path / "photos")
    source = Source("folder", tmp_path / "photos", tmp_path / "photos/classes.txt", None)
    run(source, recipe("train.epochs=1"), tmp_path / "run")
    gone, *others = sorted((tmp_path / "photos/images").rglob("*.jpg"))
    gone.unlink()
    for number in (1, 2):
        shutil.copy(others[0], others[0].with_name(f"new{number}.jpg"))
    said = rf"1 images gone, the first '.*{gone.name}'; 2 images new, the first '.*new1\.jpg'"
    with pytest.raises(UserError, match=said):
        run(source, recipe("train.epochs=1"), tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(source, recipe, tmp_path, monkeypatch):
    import ccd_fast.student.losses as module

    monkeypatch.setattr(module, "label_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(RunError, match="the loss is nan at a batch with images/"):
        run(source, recipe("train.epochs=1"), tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "state.pt").is_file()


def test_the_paper_updates_once_and_a_folder_at_every_epoch():
    paper, folder = config.load("paper-voc12"), config.load("folder")
    assert [paper.updates_labels(epoch) for epoch in range(5)] == [False, False, True, False, False]
    assert [folder.updates_labels(epoch) for epoch in range(5)] == [False, False, True, True, True]
    assert [paper.is_consistent(epoch) for epoch in range(4)] == [False, False, True, True]
    assert not config.load("paper-voc12", ["consistency.mu=0"]).is_consistent(3)


def test_each_way_to_average_begins_alike_and_then_differs(source, recipe, tmp_path):
    tables = {}
    for average in ("moving", "running", "anchored"):
        run(source, recipe("train.epochs=5", "relabel.ema=0.5", f"relabel.average={average}"), tmp_path / average)
        tables[average] = [label_table(tmp_path / average, epoch)[1] for epoch in (0, 2, 3)]
    for average in ("running", "anchored"):
        for update in (0, 1):
            np.testing.assert_array_equal(tables[average][update], tables["moving"][update])
        assert not np.allclose(tables[average][2], tables["moving"][2])
    first, last = tables["anchored"][0], tables["anchored"][2]
    assert (last >= 0.5 * first - 1e-6).all()  # half of each first label stays for good


def test_tau_is_set_once_or_at_every_update(source, recipe, tmp_path):
    for tau, times in (("once", 1), ("every", 2)):
        run(source, recipe("train.epochs=4", f"relabel.tau={tau}", "relabel.epochs=every"), tmp_path / tau)
        said = [line for line in lines(tmp_path / tau) if line.get("stage") == "activity threshold"]
        assert len(said) == times
    both = [label_table(tmp_path / tau, 2)[1] for tau in ("once", "every")]
    assert np.array_equal(*both)  # the first update is the same


def test_updates_end_once_the_labels_settle_and_a_resumed_run_remembers(source, recipe, tmp_path, monkeypatch):
    knobs = recipe("train.epochs=4", "relabel.epochs=every", "relabel.settle=1.0")
    run(source, knobs, tmp_path / "through")
    run(source, knobs, tmp_path / "stopped", until=3)
    run(source, knobs, tmp_path / "stopped", resume=True)
    for out in (tmp_path / "through", tmp_path / "stopped"):
        updates = [line["epoch"] for line in lines(out) if line.get("stage") == "relabel"]
        assert updates == [2]
    never = recipe("train.epochs=4", "relabel.epochs=every", "relabel.settle=0.0")
    run(source, never, tmp_path / "never")
    assert [line["epoch"] for line in lines(tmp_path / "never") if line.get("stage") == "relabel"] == [2, 3]


def test_other_images_are_refused_before_the_first_labels_are_there_too(photo_folder, recipe, tmp_path, monkeypatch):
    from ccd_fast.training.ccd import Ccd

    shutil.copytree(photo_folder, tmp_path / "photos")
    source = Source("folder", tmp_path / "photos", tmp_path / "photos/classes.txt", tmp_path / "photos/labels.csv")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Ccd, "first_labels", killed)
        with pytest.raises(KeyboardInterrupt):
            run(source, recipe("train.epochs=1"), tmp_path / "run")
    labels = tmp_path / "photos" / "labels.csv"
    kept = [line for line in labels.read_text().splitlines() if source.load("test").paths[0] not in line]
    labels.write_text("\n".join(kept) + "\n")
    with pytest.raises(UserError, match="other train images"):
        run(source, recipe("train.epochs=1"), tmp_path / "run", resume=True)


def test_other_labels_and_another_teacher_are_refused_and_where_it_goes_on_is_noted(
    photo_folder, tiny_clip, recipe, tmp_path
):
    for folder, name in ((photo_folder, "photos"), (tiny_clip, "clip")):
        shutil.copytree(folder, tmp_path / name)
    source = Source("folder", tmp_path / "photos", tmp_path / "photos/classes.txt", tmp_path / "photos/labels.csv")
    knobs = recipe("train.epochs=1", f"teacher.model='''{tmp_path / 'clip'}'''")
    run(source, knobs, tmp_path / "run")
    run(source, knobs, tmp_path / "run", resume=True)
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [sorted(each) for each in described["resumed"]] == [
        ["command", "could_differ", "device", "machine", "training"]
    ]
    labels = tmp_path / "photos" / "labels.csv"
    before = labels.read_text()
    line = next(line for line in before.splitlines() if line.split(",")[1] == "train")
    other = next(name for name in source.load("train").class_names if name not in line.split(",")[2])
    labels.write_text(before.replace(line, ",".join([*line.split(",")[:2], other])))
    with pytest.raises(UserError, match="other known labels of the train images"):
        run(source, knobs, tmp_path / "run", resume=True)
    labels.write_text(before)
    photograph = source.root / source.load("train").paths[1]
    pixels = photograph.read_bytes()
    for change in (lambda: photograph.write_bytes(pixels + b"more"), photograph.unlink):
        change()
        with pytest.raises(UserError, match="other files of the train images, by their sizes"):
            run(source, knobs, tmp_path / "run", resume=True)
    photograph.write_bytes(pixels)
    file = tmp_path / "clip" / "open_clip_model.safetensors"
    weights = safetensors.torch.load_file(file)
    weights["logit_scale"] = weights["logit_scale"] + 0.5
    weights["visual.proj" if "visual.proj" in weights else sorted(n for n in weights if "visual" in n)[0]] *= 1.5
    safetensors.torch.save_file(weights, file)
    with pytest.raises(UserError, match="the teacher's weights are not those that the run began with"):
        run(source, knobs, tmp_path / "run", resume=True)


def test_a_run_keeps_the_kinds_that_its_teacher_was_asked_for(photo_folder, recipe, tmp_path, monkeypatch):
    (tmp_path / "classes.txt").write_text("person\nkite\n")
    source = Source("folder", photo_folder, tmp_path / "classes.txt")
    knobs = recipe("train.epochs=1", "labels.anchors=none")
    run(source, knobs, tmp_path / "run")
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert described["kinds"] == {"person": ["man", "woman", "boy", "girl"]}
    monkeypatch.setitem(prompts.KINDS, "person", ("man", "woman"))
    with pytest.raises(UserError, match="other kinds of broad class names"):
        run(source, knobs, tmp_path / "run", resume=True)


def test_test_images_that_are_trained_on_are_told_of(photo_folder, recipe, tmp_path):
    rows = [line.split(",") for line in (photo_folder / "labels.csv").read_text().splitlines()]
    truth = tmp_path / "truth.csv"
    truth.write_text("".join(f"{path},{labels}\n" for path, _, labels in rows))
    source = Source("folder", photo_folder, photo_folder / "classes.txt", truth)
    said = io.StringIO()
    folder = RunFolder(tmp_path / "run")
    stages = Stages(Console(file=said, width=200), folder.add_metrics)
    train(source, recipe("train.epochs=1"), folder, stages)
    assert "36 of the 36 test images are training images too" in said.getvalue()


@pytest.mark.parametrize(("asked", "raised"), [(True, KeyboardInterrupt), (False, RunError)])
def test_another_process_that_stopped_first_is_no_fault_where_all_were_asked_to(
    source, recipe, tmp_path, monkeypatch, asked, raised
):
    import ccd_fast.training.run as module

    def lost(parts, method, until):
        parts.stop.requested = asked
        raise RunError("process 1 of this run has ended")

    monkeypatch.setattr(module, "_run", lost)
    with pytest.raises(raised):
        run(source, recipe("train.epochs=1"), tmp_path / "run")
