"""Label updates from maps: against a plain loop, interrupted, over damaged stores, and beside crops."""

import os

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from ccd_fast.datasets import load
from ccd_fast.engines import EngineSettings, Store
from ccd_fast.errors import UserError
from ccd_fast.labels import Update, ViewChoice
from ccd_fast.labels.from_maps import Maps, relabel_from_maps
from ccd_fast.labels.map_store import MAPS, MapStore, beyond_budget, digest_of, rows_within
from ccd_fast.labels.table import PseudoLabels
from ccd_fast.labels.view_choice import Cams
from ccd_fast.machine import Ranks
from ccd_fast.recipes import config
from ccd_fast.runs.progress import Stage
from ccd_fast.runs.tables import InMemory
from ccd_fast.student import Reading, build
from ccd_fast.teacher import clip as teacher
from ccd_fast.teacher.maps import MapTeacher
from ccd_fast.teacher.vocabulary import Vocabulary
from ccd_fast.views.pillow import PillowViews


@pytest.fixture(scope="module")
def images(photo_folder):
    return load("folder", photo_folder, "train", photo_folder / "classes.txt", photo_folder / "labels.csv")


@pytest.fixture(scope="module")
def judge(tiny_clip, images, cache):
    clip = teacher.load_clip(str(tiny_clip))
    classes = teacher.class_embeddings(clip, images.prompt_names, ["a photo of the {}"])
    size = clip.tower.image_size
    return MapTeacher(clip, size, EngineSettings("torch", batch_size=8, threads=1), Store(cache), Vocabulary(classes))


def labels_of(images):
    table = torch.rand((len(images), 4), generator=torch.Generator().manual_seed(3))
    marks = torch.ones(len(images), dtype=torch.bool)
    return PseudoLabels(table, torch.tensor([0.5, 0.6, 0.7, 0.8]), torch.ones(4, dtype=torch.int64), marks, marks)


class Eyes(PillowViews):
    """Counts the photographs that are decoded; crops none."""

    def __init__(self):
        super().__init__()
        self.decoded = 0

    def decode(self, files, rows):
        self.decoded += len(rows)
        return super().decode(files, rows)

    def crop(self, *arguments):
        raise AssertionError("the teacher looks at no crop")


class Interrupted:
    """Keeps the first state it is offered, and stops there."""

    state = None

    def restored(self):
        return self.state

    def keep(self, state):
        if self.state is None:
            self.state = state()
            raise KeyboardInterrupt


def update(images, maps, choice="random", keeper=None, student=None, eyes=None, monkey=None):
    """A pass with its table, and the photographs that were decoded."""
    recipe = config.load("folder", [f"views.choice={choice}", "relabel.k=1"])
    looks = ViewChoice(recipe.views, recipe.relabel, Cams(64, 0.5), (len(images), 4), (0, 2), None)
    labels, eyes = labels_of(images), eyes or Eyes()
    stage = Stage("relabel", len(images), lambda _: None, keeper, {"maps": 1e-9})
    relabel_from_maps(images, Reading(eyes), maps, student, labels, looks, Update(0.1, 0.3), stage)
    eyes.nearness = stage.nearness()
    return labels.table, eyes.decoded


def test_a_pass_gives_what_a_plain_loop_gives_and_decodes_once(images, judge, tmp_path):
    maps = Maps(judge, tmp_path, 1.0)
    eyes = Eyes()
    first, decoded = update(images, maps, eyes=eyes)
    assert decoded == len(images)
    assert eyes.nearness is not None and eyes.nearness > 0
    eyes = Eyes()
    again, decoded = update(images, maps, eyes=eyes)
    assert decoded == 0, "all maps are known, and no student looks"
    assert eyes.nearness is None, "no network has seen anything that a speed could be told of"
    assert torch.equal(again, first)
    expected, backend = labels_of(images), PillowViews()
    recipe = config.load("folder", ["views.choice=random", "relabel.k=1"])
    looks = ViewChoice(recipe.views, recipe.relabel, Cams(64, 0.5), (len(images), 4), (0, 2), None)
    for row in range(len(images)):
        one = backend.decode(images.files(np.array([row])), np.array([row]))
        seen = judge.look(backend.whole(one, judge.image_size, judge.interpolation))
        _, boxes = looks.boxes(one, None)
        shares = boxes / np.tile(one.sizes[:, ::-1], 2)
        each = [judge.scores(seen, torch.tensor([[0.0, *box]], dtype=torch.float32))[0] for box in shares]
        best = torch.stack(each).amax(dim=0).clamp_min(0.1)
        expected.table[row] = (0.3 * expected.table[row] + 0.7 * best / expected.bias).clamp(0, 1)
    torch.testing.assert_close(first, expected.table, atol=1e-5, rtol=0)


def test_the_whole_photograph_has_the_scores_of_open_clip(images, judge, tiny_clip, tmp_path):
    clip = teacher.load_clip(str(tiny_clip))
    table, _ = update(images, Maps(judge, tmp_path, 1.0), "whole")
    backend, rows, labels = PillowViews(), np.arange(len(images)), labels_of(images)
    pixels = backend.whole(backend.decode(images.files(rows), rows), judge.image_size, judge.interpolation)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (clip.tower.mean, clip.tower.std))
    with torch.inference_mode():
        embeddings = normalize(clip.model.encode_image((pixels.permute(0, 3, 1, 2) / 255 - mean) / std), dim=1)
    scores = (clip.scale * embeddings @ judge.classes.T).softmax(dim=1)
    expected = (0.3 * labels.table + 0.7 * scores.clamp_min(0.1) / labels.bias).clamp(0, 1)
    torch.testing.assert_close(table, expected, atol=2e-2, rtol=0)  # maps are kept in half precision


@pytest.mark.parametrize("choice", ["random", "cam"])
def test_an_interrupted_pass_goes_on_to_the_same_bits(choice, images, judge, tmp_path, monkeypatch):
    monkeypatch.setattr("ccd_fast.student.reading.LOAD_BATCH", 7)
    net = build("test_resnet", 4, 3.0, "none").eval() if choice == "cam" else None
    whole, _ = update(images, Maps(judge, tmp_path / "a", 1.0), choice, student=net)
    keeper = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        update(images, Maps(judge, tmp_path / "b", 1.0), choice, keeper, student=net)
    assert 0 < keeper.state["done"] < len(images)
    rest, decoded = update(images, Maps(judge, tmp_path / "b", 1.0), choice, keeper, student=net)
    assert torch.equal(rest, whole)
    assert decoded < len(images)


def test_a_damaged_map_is_looked_at_again(images, judge, tmp_path):
    maps = Maps(judge, tmp_path, 1.0)
    table, _ = update(images, maps)
    file = maps.of(images).folder / MAPS
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    again, decoded = update(images, Maps(judge, tmp_path, 1.0))
    assert decoded == 1
    assert torch.equal(again, table)


def test_processes_share_a_store(images, judge, tmp_path, monkeypatch):
    monkeypatch.setattr("ccd_fast.student.reading.LOAD_BATCH", 4)
    maps = Maps(judge, tmp_path, 1.0)
    for rank in range(2):
        rows = np.arange(len(images))[Reading(Eyes(), InMemory(Ranks(rank, 2))).share(len(images))]
        store = MapStore(
            tmp_path, {**judge.identity(), "photographs": digest_of(images)}, len(images), judge.numbers, 1
        )
        store.write(rows, np.full((len(rows), 2), 60), np.full((len(rows), judge.numbers), rank, dtype=np.float16))
    whole, sizes, found = maps.of(images).read(np.arange(len(images)))
    assert whole.all()
    assert set(found[:, 0]) == {0, 1}
    assert (sizes == 60).all()


def test_a_photograph_that_has_gone_keeps_its_labels_where_the_student_looks(images, judge, tmp_path):
    class Blind(Eyes):
        def decode(self, files, rows):
            return super().decode([*files[:-1], files[-1].with_name("gone")], rows)

    maps, net = Maps(judge, tmp_path, 1.0), build("test_resnet", 4, 3.0, "none").eval()
    update(images, maps, "cam", student=net)
    table, _ = update(images, maps, "cam", student=net, eyes=Blind())
    assert torch.equal(table[-1], labels_of(images).table[-1])


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_maps_beyond_the_budget_are_computed_again_to_the_same_bits(share, images, judge, tmp_path):
    whole, _ = update(images, Maps(judge, tmp_path / "a", 1.0))
    gib = share * Maps(judge, tmp_path / "a", 1.0).of(images).bytes / 2**30
    kept = rows_within(len(images), judge.numbers, gib)
    assert kept == int(share * len(images))
    maps = Maps(judge, tmp_path / "b", gib)
    assert update(images, maps)[1] == len(images)
    again, decoded = update(images, maps)
    assert decoded == len(images) - kept
    assert torch.equal(again, whole)
    there, _, _ = maps.of(images).read(np.arange(len(images)))
    halves = [int(there[part].sum()) for part in (slice(None, len(images) // 2), slice(len(images) // 2, None))]
    assert max(halves) - min(halves) <= 1, "each of two processes has its part of the rest"


def test_what_does_not_fit_is_told_with_the_sum():
    line = beyond_budget(1000, 1000, 0.001)
    assert "1000 photographs x 1000 numbers x 2 bytes = 0.0019 GiB" in line
    assert "relabel.maps_gib = 0.001: those of 466 photographs are computed again" in line
    assert not beyond_budget(1000, 1000, 0.01)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space is not reserved on this system")
def test_a_disk_without_the_space_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"the teacher's maps: 0\.0019 GiB cannot be had in .*No space left on device"):
        MapStore(tmp_path, {"engine": "e"}, 1000, 1000, 1.0)
    assert not list(tmp_path.glob("*/"))


def test_the_oldest_maps_make_room(tmp_path):
    budget = 1000 * 260 * 2.5 / 2**30  # two stores and a half of 1000 maps, 256 bytes and more each
    first, second = (MapStore(tmp_path, {"engine": name}, 1000, 128, budget) for name in "ab")
    assert first.folder.is_dir() and second.folder.is_dir()
    os.utime(first.folder / "maps.json", (1, 1))
    MapStore(tmp_path, {"engine": "c"}, 1000, 128, budget)
    assert not first.folder.exists()
    assert second.folder.is_dir()
