"""What runs with ``--device cuda``, on a card that is none: every tensor is where it should be."""

import json
from io import StringIO

import numpy as np
import pyarrow.parquet
import pytest
import torch
from one_pass import relabel
from pretend_card import CARD, pretend_card
from rich.console import Console
from test_relabel import labels_of, recipe, stage

from ccd_fast import engines
from ccd_fast.bench import decode, measure
from ccd_fast.bench import relabel as bench_relabel
from ccd_fast.bench import train as bench_train
from ccd_fast.datasets import Source, load
from ccd_fast.engines import EngineSettings, Store
from ccd_fast.labels.crop_cache import CropCache
from ccd_fast.labels.whole_images import score_whole_images
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.student import Reading
from ccd_fast.student import network as student
from ccd_fast.student.prediction import predict
from ccd_fast.teacher import clip as teacher
from ccd_fast.training import run as training
from ccd_fast.views import open_backend

pytestmark = pytest.mark.usefixtures("cache")

KNOBS = """
    teacher.runtime=torch teacher.precision=fp32 teacher.batch_size=8 bias.min_count=1 views.backend=pillow
    student.backbone=test_resnet student.weights=none student.image_size=32 student.runtime=torch
    train.batch_size=12 train.epochs=2 train.warmup_epochs=1 train.precision=fp32
"""


def test_the_card_refuses_what_a_card_refuses():
    with pretend_card():
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        assert (there + 1).device == CARD
        assert float(there.sum()) == 3
        assert torch.equal(there.cpu(), here)
        for wrong in (lambda: there + here, lambda: here[there.long()], lambda: torch.cat([there, here])):
            with pytest.raises(RuntimeError, match="host"):
                wrong()
        with pytest.raises(RuntimeError, match="not supported"):
            there.numpy()
    assert not torch.cuda.is_available()


def opened(place, photo_folder, tiny_clip):
    images = load("folder", photo_folder, "train", photo_folder / "classes.txt", photo_folder / "labels.csv")
    clip = teacher.load_clip(str(tiny_clip))
    engine = engines.open_engine(clip.tower, EngineSettings("torch", batch_size=8, threads=2, device=place), Store())
    classes = teacher.class_embeddings(clip, images.prompt_names, ["a photo of the {}"]).to(place)
    net = student.build("test_resnet", 4, 3.0, "none").eval().to(place)
    return images, open_backend("pillow", 2, place), teacher.Teacher(clip, engine, teacher.Vocabulary(classes)), net


def passes(place, photo_folder, tiny_clip):
    images, backend, judge, net = opened(place, photo_folder, tiny_clip)
    first = score_whole_images(images, Reading(backend), judge, 2.0, stage())[0].finish(0.05, 2, True)
    seen = predict(net, images.files_of_all(), Reading(backend), 64, stage())
    tables, cache = [first.table, seen.probabilities], CropCache(2**20)
    for epoch in (2, 3):
        labels = labels_of(images)
        relabel(images, backend, judge, net, labels, 0.5, epoch, recipe(), stage(), cache=cache)
        tables.append(labels.table)
    return tables


def test_the_passes_of_a_run(photo_folder, tiny_clip):
    on_cpu = passes("cpu", photo_folder, tiny_clip)
    with pretend_card():
        on_card = passes("cuda", photo_folder, tiny_clip)
    for ours, theirs in zip(on_card, on_cpu, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def trained(place, photo_folder, tiny_clip, out):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    knobs = [f"teacher.model='''{tiny_clip}'''", *KNOBS.split()]
    summary = training.train(
        source, config.load("folder", knobs), RunFolder(out), Stages(Console(file=StringIO())), device=place
    )
    labels = pyarrow.parquet.read_table(out / "labels" / "epoch-001.parquet")
    return summary, np.array([labels[name] for name in ("cat", "dog", "traffic light", "boat")])


def test_a_whole_run(photo_folder, tiny_clip, tmp_path):
    _, expected = trained("cpu", photo_folder, tiny_clip, tmp_path / "cpu")
    with pretend_card():
        summary, table = trained("cuda", photo_folder, tiny_clip, tmp_path / "cuda")
    assert summary["epochs"] == 2
    assert RunFolder(tmp_path / "cuda").read_json("run.json")["device"] == "cuda:0"
    np.testing.assert_allclose(table, expected, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_is_compared_with_open_clip_where_that_is(photo_folder, tiny_clip, precision):
    with pretend_card():
        images, backend, judge, _ = opened("cuda", photo_folder, tiny_clip)
        clip = teacher.load_clip(str(tiny_clip))
        settings = EngineSettings("torch", precision, 8, "cuda", 2)
        from ccd_fast.teacher.checked_engines import open_checked
        from ccd_fast.training.standard import first_views

        engine, parity = open_checked(
            clip, settings, Store(), judge.classes.cpu(), lambda count: first_views(images, clip, backend, count), True
        )
        assert engine.embed(torch.zeros((3, 64, 64, 3), dtype=torch.uint8, device="cuda")).device == CARD
        assert (parity is None) == (precision == "fp32")  # in fp32 it is the reference itself
        assert next(clip.model.parameters()).device.type == "cpu"


def test_the_benchmarks(photo_folder, tiny_clip, monkeypatch):
    monkeypatch.setattr(measure, "matmul_rate", lambda *_: 1e12)
    names = ("cat", "dog", "traffic light", "boat")
    how = (photo_folder, 6, names, str(tiny_clip), 8, "test_resnet", "none", 64, "pillow")
    with pretend_card():
        load = bench_relabel.open_load(*how, device="cuda", runtime="torch", precision="fp32")
        found = bench_relabel.measure_relabel(load, repeats=1)
        assert (found["device"], found["student_runtime"], found["engine"]["runtime"]) == ("cuda", "torch", "torch")
        assert {"over_bare" in row for row in found["stages"]} == {True}
        json.dumps(found)
        few = load.recipe.model_copy(update={"train": load.recipe.train.model_copy(update={"batch_size": 3})})
        trained = bench_train.measure_training(load, few, repeats=1)
        assert trained["device"] == "cuda"
        files = tuple(load.images.files_of_all())
        decoded = decode.measure_decode(decode.Load(files, 4, 32, 2, "cuda"), ["pillow"], repeats=1)
        assert {row["backend"] for row in decoded["results"]} == {"", "pillow"}
