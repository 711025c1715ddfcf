import dataclasses
import random
import threading
import time

import numpy as np
import pytest
import torch
from one_pass import relabel

from ccd_fast import engines
from ccd_fast.datasets import load
from ccd_fast.engines import Store
from ccd_fast.labels.crop_cache import CropCache
from ccd_fast.labels.crop_scores import ScoredCrops
from ccd_fast.labels.table import PseudoLabels
from ccd_fast.labels.whole_images import score_whole_images
from ccd_fast.recipes import config
from ccd_fast.runs.progress import Stage
from ccd_fast.student import Reading
from ccd_fast.student import network as student
from ccd_fast.student.cam import boxes_of_active_classes
from ccd_fast.teacher import clip as teacher
from ccd_fast.views import open_backend, to_image_boxes
from ccd_fast.views.pillow import PillowViews


@pytest.fixture(scope="module")
def images(photo_folder):
    return load("folder", photo_folder, "train", photo_folder / "classes.txt", photo_folder / "labels.csv")


@pytest.fixture(scope="module")
def judge(tiny_clip, images, cache):
    clip = teacher.load_clip(str(tiny_clip))
    engine = engines.open_engine(clip.tower, engines.EngineSettings("torch", batch_size=8, threads=2), Store(cache))
    return teacher.Teacher(
        clip, engine, teacher.Vocabulary(teacher.class_embeddings(clip, images.prompt_names, ["a photo of the {}"]))
    )


@pytest.fixture(scope="module")
def net():
    return student.build("test_resnet", 4, 3.0, "none").eval()


def recipe(*overrides):
    return config.load("folder", ["student.image_size=64", "views.backend=pillow", *overrides])


def stage():
    return Stage("test", 1, lambda _: None)


def labels_of(images):
    generator = torch.Generator().manual_seed(3)
    size = len(images)
    return PseudoLabels(
        table=torch.rand(size, 4, generator=generator),
        bias=torch.tensor([0.5, 0.6, 0.7, 0.8]),
        bias_counts=torch.ones(4, dtype=torch.int64),
        confident=torch.ones(size, dtype=torch.bool),
        readable=torch.ones(size, dtype=torch.bool),
    )


@pytest.mark.parametrize("sizes", [[3, 9, 1, 0, 20], [8, 8], [1], [0]])
def test_crops_are_scored_in_order_whatever_their_number_per_batch(images, judge, sizes):
    pixels = torch.randint(0, 256, (sum(sizes), 64, 64, 3), dtype=torch.uint8)
    scored = ScoredCrops(judge, CropCache(0), images)
    for part in torch.split(pixels, sizes):
        rows = np.arange(len(part))
        assert scored.expect(rows, rows.repeat(4).reshape(-1, 4)).all()
        scored.add(part)
    expected = torch.softmax(judge.similarities(pixels), dim=1)
    assert torch.equal(scored.finish()[1], expected)


def test_a_pass_gives_what_a_plain_loop_over_images_and_classes_gives(images, judge, net):
    # values of the test's own, so that it also sees a knob that is not heeded
    own = ("relabel.cam_threshold=0.9", "relabel.margin=0.2", "relabel.ema=0.3", "labels.floor=0.1")
    knobs, backend, labels = recipe(*own), PillowViews(), labels_of(images)
    tau = 0.5
    expected = labels.table.clone()
    for row in range(len(images)):
        photograph = backend.decode(images.files(np.array([row])), np.array([row]))
        with torch.inference_mode():
            logits, cam = net(backend.whole(photograph, 64, "bilinear"))
        scores = []
        for c in range(4):
            if torch.sigmoid(logits[0, c]) >= tau:
                only = torch.full_like(logits, -99.0)
                only[0, c] = logits[0, c]
                found = boxes_of_active_classes(only, cam, tau, 64, 0.9, 0.2)
                box = to_image_boxes(found.boxes, photograph.sizes, 64)
                crop = backend.crop(photograph, np.array([0]), box, 64, "bicubic")
                scores.append(torch.softmax(judge.similarities(crop), dim=1)[0])
        if scores:
            best = torch.stack(scores).amax(dim=0).clamp_min(0.1)
            expected[row] = (0.3 * expected[row] + 0.7 * best / labels.bias).clamp(0, 1)
    counted = stage()
    assert relabel(images, backend, judge, net, labels, tau, 2, knobs, counted) == {}
    torch.testing.assert_close(labels.table, expected, atol=1e-5, rtol=0)
    assert counted.crops > 0


@pytest.mark.parametrize("ema", [0.2, 0.5])
def test_a_running_mean_counts_each_update_alike_and_the_first_is_the_paper_s(ema):
    knobs = recipe("relabel.average=running", f"relabel.ema={ema}", "train.warmup_epochs=2")
    first, updates = 0.7, [0.1, 0.9, 0.4, 0.3]
    label, weight_of_first = first, ema / (1 - ema)
    for number, fresh in enumerate(updates):
        weight = knobs.weight_of_the_old(2 + number)
        label = weight * label + (1 - weight) * fresh
        seen = updates[: number + 1]
        assert label == pytest.approx((weight_of_first * first + sum(seen)) / (weight_of_first + len(seen)))
    assert knobs.weight_of_the_old(2) == ema
    assert recipe(f"relabel.ema={ema}", "relabel.average=moving").weight_of_the_old(5) == ema


def test_a_pass_heeds_the_running_mean(images, judge, net):
    def table(epoch, average):
        labels = labels_of(images)
        knobs = recipe("relabel.ema=0.5", f"relabel.average={average}", "relabel.k=1")
        relabel(images, PillowViews(), judge, net, labels, 0.5, epoch, knobs, stage())
        return labels.table

    assert torch.equal(table(2, "running"), table(2, "moving"))
    late = table(6, "running")
    change, full = (t - labels_of(images).table for t in (late, table(6, "moving")))
    inside = (late > 0) & (late < 1) & (table(6, "moving") < 1)
    torch.testing.assert_close(change[inside], full[inside] / 3, atol=1e-5, rtol=1e-3)


def test_the_bias_measured_again_divides_the_crops_of_its_own_update_only(images, judge, net, monkeypatch):
    def table(*overrides):
        labels = labels_of(images)
        before = labels.bias.clone()
        relabel(images, PillowViews(), judge, net, labels, 0.5, 2, recipe("relabel.ema=0.0", *overrides), stage())
        assert torch.equal(labels.bias, before)
        return labels.table

    monkeypatch.setattr("ccd_fast.labels.table.bias_of_crops", lambda scores, before, *_: 2 * before)
    plain, again = table(), table("bias.again=true")
    inside = (again > 0) & (plain < 1)
    assert inside.any()
    seen = labels_of(images).table != plain  # images with a crop
    torch.testing.assert_close(again[inside & seen], plain[inside & seen] / 2)
    assert torch.equal(table("bias.again=true", "bias.debias=false"), plain)


def test_no_active_class_leaves_the_table_alone(images, judge, net):
    labels = labels_of(images)
    before = labels.table.clone()
    relabel(images, PillowViews(), judge, net, labels, 1.0, 2, recipe(), stage())
    assert torch.equal(labels.table, before)


def test_several_jittered_views_a_class_are_several_crops_and_depend_on_the_epoch(images, judge, net):
    def run(epoch, *overrides):
        counted, labels = stage(), labels_of(images)
        relabel(images, PillowViews(), judge, net, labels, 0.5, epoch, recipe(*overrides), counted)
        return counted.crops, labels.table

    plain, exact = run(2)
    several, jittered = run(2, "views.per_class=3", "views.jitter=0.2")
    assert several == 3 * plain
    assert not torch.equal(exact, jittered)
    assert torch.equal(run(2, "views.per_class=3", "views.jitter=0.2")[1], jittered)
    assert not torch.equal(run(3, "views.per_class=3", "views.jitter=0.2")[1], jittered)


def test_both_backends_draw_nearly_the_same_labels(images, judge, net):
    pytest.importorskip("nvidia.dali")
    tables = []
    for backend in (PillowViews(), open_backend("dali", 2)):
        gathered, _ = score_whole_images(images, Reading(backend), judge, 2.0, stage())
        tables.append(gathered.scores)
    assert (tables[0] - tables[1]).abs().mean() < 2e-3


def test_an_unreadable_image_is_reported_and_keeps_its_labels(images, judge, net):
    changed = dataclasses.replace(images, paths=(*images.paths[:5], "images/gone.jpg", *images.paths[6:]))
    gathered, unreadable = score_whole_images(changed, Reading(PillowViews()), judge, 2.0, stage())
    assert unreadable == {5: "no such file"}
    assert not gathered.readable[5]
    whole, _ = score_whole_images(images, Reading(PillowViews()), judge, 2.0, stage())
    others = [row for row in range(len(images)) if row != 5]
    torch.testing.assert_close(gathered.scores[others], whole.scores[others], atol=1e-6, rtol=0)
    labels = labels_of(images)
    before = labels.table[5].clone()
    assert relabel(changed, PillowViews(), judge, net, labels, 0.0, 2, recipe(), stage()) == {5: "no such file"}
    assert torch.equal(labels.table[5], before)


class CountingEngine:
    """Counts the views that the engine is asked for."""

    def __init__(self, engine):
        self.engine = engine
        self.views = 0
        self.image_size, self.batch_size = engine.image_size, engine.batch_size

    def embed(self, pixels):
        self.views += len(pixels)
        return self.engine.embed(pixels)


@pytest.fixture
def counting(judge):
    twin = teacher.Teacher.__new__(teacher.Teacher)
    twin.__dict__ |= {**vars(judge), "engine": CountingEngine(judge.engine)}
    return twin


def update(images, judge, net, *overrides, cache=None, backend=None):
    labels, counted = labels_of(images), stage()
    relabel(images, backend or PillowViews(), judge, net, labels, 0.5, 2, recipe(*overrides), counted, cache=cache)
    return labels.table, counted


def test_boxes_that_have_not_moved_are_not_encoded_again_and_give_the_same_bits(images, counting, net):
    plain, first = update(images, counting, net)
    encoded, cache = counting.engine.views, CropCache(2**20)
    assert encoded == first.crops - first.repeats > 0
    for hit_rate in (0.0, 1.0):
        table, counted = update(images, counting, net, cache=cache)
        assert torch.equal(table, plain)
        assert counted.hit_rate == hit_rate
        assert counted.record()["cache_hits"] == hit_rate
    assert counting.engine.views == 2 * encoded
    assert "100% cache hits" in counted.rates()


def test_only_boxes_that_have_moved_are_encoded_again(images, counting, net):
    class Moved:
        """The same student, but the maps of the last images stand on their heads."""

        def eval(self):
            return self

        def __call__(self, pixels):
            logits, cam = net(pixels)
            return logits, torch.cat([cam[:-8], cam[-8:].flip(2)])

    cache = CropCache(2**20)
    update(images, counting, net, cache=cache)
    plain, counted = update(images, counting, Moved())
    before = counting.engine.views
    table, counted = update(images, counting, Moved(), cache=cache)
    assert torch.equal(table, plain)
    assert 0 < counted.hits < counted.crops - counted.repeats
    assert counting.engine.views - before == counted.crops - counted.repeats - counted.hits


def test_a_cache_too_small_for_all_crops_gives_the_same_bits(images, judge, net):
    plain, counted = update(images, judge, net)
    budget = 56 * (counted.crops - counted.repeats) // 2
    cache = CropCache(budget)
    for _ in range(2):
        table, counted = update(images, judge, net, cache=cache)
        assert torch.equal(table, plain)
        assert cache.used <= budget
    assert 0.3 < counted.hit_rate < 0.7


def test_equal_boxes_of_an_image_are_encoded_once(images, counting):
    class SameMapForAllClasses:
        def eval(self):
            return self

        def __call__(self, pixels):
            cam = pixels[:, :2, :2, :1].permute(0, 3, 1, 2).float().expand(-1, 4, -1, -1)
            return torch.ones(len(pixels), 4), cam

    _, counted = update(images, counting, SameMapForAllClasses())
    assert (counted.crops, counted.repeats) == (4 * len(images), 3 * len(images))
    assert counting.engine.views == len(images)
    assert counted.record()["repeated_crops"] == 3 * len(images)


class Broken(PillowViews):
    """Fails in one of its operations, at the second batch."""

    def __init__(self, operation):
        super().__init__()
        self.calls, operation_ = 0, getattr(self, operation)

        def fail(*arguments):
            self.calls += 1
            if self.calls == 2:
                raise RuntimeError(f"{operation} is broken")
            return operation_(*arguments)

        setattr(self, operation, fail)


def broken_teacher(judge):
    twin = teacher.Teacher.__new__(teacher.Teacher)
    twin.__dict__ |= vars(judge)

    def fail(pixels):
        raise RuntimeError("teacher is broken")

    twin.similarities = fail
    return twin


class BrokenStudent:
    def eval(self):
        return self

    def __call__(self, pixels):
        raise RuntimeError("student is broken")


@pytest.mark.parametrize("part", ["decode", "whole", "crop", "student", "teacher"])
def test_whatever_fails_the_pass_ends_with_that_error_and_leaves_labels_cache_and_threads(
    images, judge, net, part, monkeypatch
):
    monkeypatch.setattr("ccd_fast.student.reading.LOAD_BATCH", 8)  # three batches
    cache, labels = CropCache(2**20), labels_of(images)
    update(images, judge, net, "relabel.margin=0.1", cache=cache)  # other boxes: the teacher will be asked
    kept, before, threads = cache._keys.copy(), labels.table.clone(), set(threading.enumerate())
    backend = Broken(part) if part in ("decode", "whole", "crop") else PillowViews()
    judge = broken_teacher(judge) if part == "teacher" else judge
    net = BrokenStudent() if part == "student" else net
    with pytest.raises(RuntimeError, match=f"{part} is broken"):
        relabel(images, backend, judge, net, labels, 0.5, 2, recipe(), stage(), cache=cache)
    assert set(threading.enumerate()) == threads
    assert torch.equal(labels.table, before)
    assert np.array_equal(cache._keys, kept)


def test_the_labels_do_not_depend_on_which_part_is_slow(images, judge, net, monkeypatch):
    monkeypatch.setattr("ccd_fast.student.reading.LOAD_BATCH", 4)
    plain, _ = update(images, judge, net)

    class Dawdling(PillowViews):
        def __init__(self, operation, seed):
            super().__init__()
            of_backend, draw = getattr(self, operation), random.Random(seed)

            def slow(*arguments):
                time.sleep(draw.random() / 50)
                return of_backend(*arguments)

            setattr(self, operation, slow)

    for seed, operation in enumerate(("decode", "whole", "crop")):
        assert torch.equal(update(images, judge, net, backend=Dawdling(operation, seed))[0], plain)


def test_photographs_are_decoded_ahead_but_no_more_than_a_few(images, judge, net, monkeypatch):
    monkeypatch.setattr("ccd_fast.student.reading.LOAD_BATCH", 4)
    decoded, used, ahead = [], [], []

    class Watched(PillowViews):
        def decode(self, files, rows):
            decoded.append(threading.current_thread())
            return super().decode(files, rows)

        def crop(self, *arguments):
            time.sleep(0.05)
            ahead.append(len(decoded) - len(used))
            used.append(threading.current_thread())
            return super().crop(*arguments)

    update(images, judge, net, backend=Watched())
    assert set(used) == {threading.current_thread()}
    assert threading.current_thread() not in decoded
    assert 1 < max(ahead) <= 4  # in use, waiting, waiting to wait, in the making
