"""The pass over the whole images."""

import copy
import dataclasses

import pytest
import torch
from test_relabel import stage

from ccd_fast import engines
from ccd_fast.datasets import load
from ccd_fast.engines import Store
from ccd_fast.labels.whole_images import score_whole_images
from ccd_fast.student import Reading
from ccd_fast.teacher import Teacher, Vocabulary, class_embeddings, load_clip
from ccd_fast.views.pillow import PillowViews


@pytest.fixture(scope="module")
def images(photo_folder):
    return load("folder", photo_folder, "train", photo_folder / "classes.txt", photo_folder / "labels.csv")


class Watched:
    """An engine that notes how many views each call has."""

    def __init__(self, engine):
        self.engine, self.calls = engine, []
        self.image_size, self.batch_size = engine.image_size, engine.batch_size

    def embed(self, pixels):
        self.calls.append(len(pixels))
        return self.engine.embed(pixels)


@pytest.fixture
def judge(tiny_clip, images, cache):
    clip = load_clip(str(tiny_clip))
    engine = engines.open_engine(clip.tower, engines.EngineSettings("torch", batch_size=8, threads=2), Store(cache))
    return Teacher(
        clip, Watched(engine), Vocabulary(class_embeddings(clip, images.prompt_names, ["a photo of the {}"]))
    )


def test_the_engine_works_on_full_batches_whatever_number_is_decoded_at_a_time(images, judge, monkeypatch):
    whole, _ = score_whole_images(images, Reading(PillowViews()), judge, 2.0, stage())
    assert judge.engine.calls == [24]  # three batches of the engine
    judge.engine.calls.clear()
    monkeypatch.setattr("ccd_fast.student.reading.LOAD_BATCH", 3)
    in_threes, _ = score_whole_images(images, Reading(PillowViews()), judge, 2.0, stage())
    assert judge.engine.calls == [8, 8, 8]
    assert torch.equal(in_threes.scores, whole.scores)
    assert torch.equal(in_threes.bias_sums, whole.bias_sums)


def test_what_is_kept_of_an_interrupted_pass_holds_all_that_was_read(images, judge, monkeypatch):
    monkeypatch.setattr("ccd_fast.student.reading.LOAD_BATCH", 5)
    paths = (*images.paths[:4], "images/gone.jpg", *images.paths[5:])
    images, kept = dataclasses.replace(images, paths=paths), []

    class Keeper:
        def restored(self):
            return kept[-1] if stopped else None

        def keep(self, state):
            kept.append(copy.deepcopy(state()))

    def run():
        watched = stage()
        watched.keeper = Keeper()
        return score_whole_images(images, Reading(PillowViews()), judge, 2.0, watched)[0]

    stopped = False
    whole = run()
    assert [state["done"] for state in kept] == [5, 10, 15, 20, 24]
    assert [int(state["gathered"]["readable"].sum()) for state in kept] == [4, 9, 14, 19, 23]
    kept, stopped = kept[:2], True
    assert torch.equal(run().scores, whole.scores)
