"""The passes of a run on a GPU against those on the host, and on which streams they work."""

import numpy as np
import pytest
import torch
from one_pass import relabel
from test_relabel import labels_of, recipe, stage

from ccd_fast import engines
from ccd_fast.datasets import load
from ccd_fast.engines import EngineSettings, Store
from ccd_fast.labels.crop_cache import CropCache
from ccd_fast.labels.whole_images import score_whole_images
from ccd_fast.machine.device_streams import stream_for
from ccd_fast.runs.progress import Stage
from ccd_fast.student import Reading, predict, reading
from ccd_fast.student import network as student
from ccd_fast.teacher import clip as teacher
from ccd_fast.views import installed_backends, open_backend

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU"),
    pytest.mark.usefixtures("cache"),
]

SLEEP, LONG = 200_000_000, 2_000_000_000  # cycles: a tenth of a second, and a second
"""Cycles that the default stream is kept busy: about four seconds."""
TOLERANCE = {"pillow": 2e-3, "dali": 0.05}
"""Of a mean difference: TF32 in the student's convolutions on one side; and nvJPEG's pixels, a few levels apart."""


@pytest.fixture(scope="module")
def images(photo_folder):
    return load("folder", photo_folder, "train", photo_folder / "classes.txt", photo_folder / "labels.csv")


@pytest.fixture(scope="module")
def on(images, tiny_clip, cache):
    """Give backend, teacher and student on a device."""

    def opened(place, views, runtime="torch", precision="fp32"):
        clip = teacher.load_clip(str(tiny_clip))
        if why := engines.RUNTIMES[runtime].problem(place, precision):
            pytest.skip(f"{runtime}: {why}")
        engine = engines.open_engine(clip.tower, EngineSettings(runtime, precision, 8, place, 2), Store())
        classes = teacher.class_embeddings(clip, images.prompt_names, ["a photo of the {}"]).to(place)
        net = student.build("test_resnet", 4, 3.0, "none").eval().to(place)
        return open_backend(views, 2, place), teacher.Teacher(clip, engine, teacher.Vocabulary(classes)), net

    return opened


def relabelled(images, backend, judge, net, counted=None, cache=None):
    labels = labels_of(images)
    relabel(images, backend, judge, net, labels, 0.5, 2, recipe(), counted or stage(), cache=cache)
    return labels.table


@pytest.mark.parametrize("views", installed_backends())
def test_labels_are_those_of_the_host(images, on, views):
    host, card = on("cpu", views), on("cuda", views)
    first = [score_whole_images(images, Reading(way[0]), way[1], 2.0, stage())[0].scores for way in (host, card)]
    seen = [predict(way[2], images.files_of_all(), Reading(way[0]), 64, stage()).probabilities for way in (host, card)]
    tables = [relabelled(images, *way) for way in (host, card)]
    for ours, theirs in (first, seen, tables):  # a box may move by a pixel, and a class cross tau: no maximum
        assert (ours - theirs).abs().mean() < TOLERANCE[views]
    assert all(row.std() > 0.01 for row in tables)


@pytest.mark.parametrize("runtime", ["torch", "torch-compiled", "onnxruntime"])
@pytest.mark.parametrize("views", installed_backends())
def test_a_pass_gives_the_same_bits_again_and_from_the_cache(images, on, views, runtime):
    way = on("cuda", views, runtime, "fp32" if runtime == "torch" else "fp16")
    cache = CropCache(2**30)
    tables = [relabelled(images, *way, cache=cache) for _ in range(2)] + [relabelled(images, *way) for _ in range(3)]
    for table in tables[1:]:
        assert torch.equal(table, tables[0])


@pytest.mark.parametrize("views", installed_backends())
def test_a_pass_waits_for_nothing_on_the_default_stream(images, on, views, monkeypatch):
    way = on("cuda", views)
    monkeypatch.setattr(reading, "ON_A_GPU", 5)  # five batches, so that memory is used again
    expected = relabelled(images, *way)
    busy = []

    def keep_busy(_: Stage) -> None:
        if not busy:  # once the pass is under way
            with torch.cuda.stream(torch.cuda.default_stream()):
                torch.cuda._sleep(LONG)
            busy.append(True)

    table = relabelled(images, *way, counted=Stage("test", 1, keep_busy))
    still = not torch.cuda.default_stream().query()
    torch.cuda.synchronize()
    assert busy
    assert still, "the pass waited for the default stream"
    assert torch.equal(table, expected)


def test_the_teacher_works_beside_the_pass(images, on, monkeypatch):
    """While the teacher is busy the pass goes on: the student sees the next pictures."""
    backend, judge, net = on("cuda", "pillow")
    relabelled(images, backend, judge, net)
    monkeypatch.setattr(reading, "ON_A_GPU", 8)  # three batches
    idle, similarities, lane = [], judge.similarities, stream_for("teacher", torch.device("cuda"))

    def slow(pixels):
        torch.cuda._sleep(SLEEP)
        return similarities(pixels)

    class Watched:
        eval, classes = net.eval, net.classes

        def __call__(self, views):
            seen = net(views)
            torch.cuda.current_stream().synchronize()
            idle.append(lane.query())
            return seen

    monkeypatch.setattr(judge, "similarities", slow)
    relabelled(images, backend, judge, Watched())
    assert len(idle) == 3
    assert idle[0], "nothing had been asked of the teacher"
    assert not all(idle[1:]), "the student waited for the teacher"


def test_views_on_the_card_have_a_place_for_every_image(images, on):
    backend, judge, _ = on("cuda", installed_backends()[0])
    first, unreadable = score_whole_images(images, Reading(backend), judge, 2.0, stage())
    assert not unreadable
    assert first.readable.all()
    assert np.isfinite(first.scores.numpy()).all()
