"""A whole run in compat mode, on a few pictures and a small CLIP with random weights."""

import csv
import dataclasses
import io
import json

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from pictures import picture
from rich.console import Console

from ccd_fast import randomness
from ccd_fast.compat import quirks
from ccd_fast.compat.passes import PublishedPasses
from ccd_fast.compat.teacher import PublishedTeacher
from ccd_fast.compat.views import PublishedViews
from ccd_fast.datasets import Source
from ccd_fast.errors import RunError, UserError
from ccd_fast.labels.table import PseudoLabels
from ccd_fast.randomness import Purpose
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stage, Stages
from ccd_fast.student.network import build
from ccd_fast.teacher import clip as teacher
from ccd_fast.training.passes import evaluation_conditions
from ccd_fast.training.run import train
from ccd_fast.training.standard import StandardPasses

VIEW = 256
NAMES = quirks.VOC_PROMPT_NAMES


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """20 training and 4 test pictures, with the class names of VOC."""
    root = tmp_path_factory.mktemp("voc")
    rng = np.random.default_rng(5)
    rows = [("path", "split", "labels")]
    for index in range(24):
        picture(rng, int(rng.integers(60, 140)), int(rng.integers(60, 140))).save(root / f"{index:02d}.png")
        labels = [NAMES[index % 20], NAMES[(index * 7 + 3) % 20]]
        rows.append((f"{index:02d}.png", "train" if index < 20 else "test", "|".join(labels)))
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return Source("folder", root, root / "classes.txt", root / "labels.csv")


@pytest.fixture(scope="module")
def clip_folder(resnet_clip, source, tmp_path_factory):
    """The random CLIP, its text projection such that picture c is most like class c: each class is on top once."""
    folder = tmp_path_factory.mktemp("matched-clip")
    (folder / "open_clip_config.json").write_bytes((resnet_clip / "open_clip_config.json").read_bytes())
    clip = teacher.load_clip(str(resnet_clip))
    views, judge = PublishedViews(), PublishedTeacher(clip, torch.eye(32))
    seen = []
    for row, file in enumerate(source.load("train").files_of_all()[:20]):
        photographs = views.decode([file], np.array([row]))
        pixels = quirks.normalised(views.whole(photographs, VIEW, "bilinear"))
        seen.append(judge.embed(pixels)[0].double())
    prompts = clip.tokenize([f"a photo of the {name}" for name in NAMES], context_length=16)
    clip.model.text_projection.data = torch.eye(32)
    texts = clip.model.encode_text(prompts).double()
    targets = torch.linalg.pinv(torch.stack(seen)).T  # of class c: 1 with picture c, 0 with the others
    clip.model.text_projection.data = (torch.linalg.pinv(texts) @ targets).float()
    clip.model.logit_scale.data.fill_(np.log(5e5))  # random embeddings lie close together
    state = {name: tensor.contiguous() for name, tensor in clip.model.state_dict().items()}
    safetensors.torch.save_file(state, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def recipe(clip_folder):
    def make(*overrides):
        size = [f"teacher.image_size={VIEW}", f"student.relabel_image_size={VIEW}", "student.image_size=64"]
        small = [
            "student.weights=none",
            "train.epochs=2",
            "train.warmup_epochs=1",
            "train.batch_size=10",
            f"teacher.model='{clip_folder}'",
        ]
        return config.load("paper-voc12", ["compat=official", *size, *small, *overrides])

    return make


def run(source, recipe, out, **options):
    folder, said = RunFolder(out), io.StringIO()
    summary = train(source, recipe, folder, Stages(Console(file=said, width=200), folder.add_metrics), **options)
    return summary, said.getvalue()


@pytest.mark.slow
def test_a_whole_run(source, recipe, tmp_path):
    summary, said = run(source, recipe(), tmp_path / "run")
    assert summary["epochs"] == 2
    assert summary["stages"]["relabel"]["crops"] > 0
    assert {"zero-shot teacher, test", "pseudo-labels after the updates, train"} <= set(summary["results"])
    assert config.load(tmp_path / "run" / "recipe.toml").student.backbone == "resnet50"
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert description["engine"]["runtime"] == "torch"
    assert "tau 0.0500" in said  # fewer views than a window
    again, _ = run(source, recipe(), tmp_path / "run", resume=True)
    assert again["epochs"] == 2


def test_a_class_that_is_never_on_top_stops_the_run_and_is_named(source, recipe, resnet_clip, tmp_path):
    with pytest.raises(RunError, match=r"the bias of aeroplane, .* is NaN"):
        run(source, recipe(f"teacher.model='{resnet_clip}'", "labels.max_entropy=10"), tmp_path / "run")


def test_other_classes_are_refused_before_anything_is_written(photo_folder, recipe, tmp_path):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", None)
    with pytest.raises(UserError, match="the 20 classes of PASCAL VOC only"):
        run(source, recipe(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_teacher_without_attention_pool_is_refused(source, recipe, tiny_clip, tmp_path):
    with pytest.raises(UserError, match="has a VisionTransformer; supported are open_clip's ResNets"):
        run(source, recipe(f"teacher.model='{tiny_clip}'"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_teacher_scores_its_own_size_as_open_clip_does(resnet_clip):
    clip = teacher.load_clip(str(resnet_clip))
    classes = teacher.class_embeddings(clip, ["cat", "dog"], ["a photo of the {}"])
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, _ = clip.model.get_logits(pixels, clip.tokenize(["a photo of the cat", "a photo of the dog"]))
    scores = PublishedTeacher(clip, classes).scores(pixels)
    torch.testing.assert_close(scores, expected.softmax(dim=1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(256, 100), (255, 256), (31, 639), (639, 640)])
def test_the_teacher_reads_crops_of_any_shape_and_stays_as_it_was(resnet_clip, height, width):
    clip = teacher.load_clip(str(resnet_clip))
    before = clip.model.visual.attnpool.positional_embedding.clone()
    scores = PublishedTeacher(clip, torch.eye(32)).scores(torch.randn(1, 3, height, width))
    assert scores.shape == (1, 32)
    assert scores.isfinite().all()
    assert torch.equal(clip.model.visual.attnpool.positional_embedding, before)
    assert isinstance(clip.model.visual, open_clip.modified_resnet.ModifiedResNet)


def test_an_update_is_what_a_plain_loop_over_the_quirks_gives(source, recipe):
    images = source.load("train")
    images = dataclasses.replace(images, paths=images.paths[:8], truth=None, known=images.known[:8])
    knobs = recipe("relabel.ema=0.3")
    passes = PublishedPasses(knobs, images)
    passes.teacher.scale = 2e3  # so that no score is near 1, and each crop counts
    net = build("test_resnet", 20, 3.0, "none").eval()
    size = len(images)
    flags = torch.ones(size, dtype=torch.bool)
    first = torch.rand(size, 20, generator=torch.Generator().manual_seed(1))
    bias = torch.linspace(0.3, 0.9, 20)
    labels = PseudoLabels(first.clone(), bias, torch.ones(20, dtype=torch.int64), flags, flags)
    views = [passes.reading.backend.decode([file], np.array([0])) for file in images.files_of_all()]
    views = [passes.reading.backend.whole(photographs, VIEW, "bilinear") for photographs in views]
    with torch.inference_mode():
        answers = [net(view) for view in views]
    tau = float(torch.stack([logits.sigmoid().max() for logits, _ in answers]).median())
    expected, nothing_active = [], 0
    for row, (view, (logits, cam)) in enumerate(zip(views, answers, strict=True)):
        q = torch.zeros(20)
        for c in torch.nonzero(logits[0].sigmoid() >= tau)[:, 0].tolist():
            x0, y0, x1, y1 = quirks.first_and_last_box(cam[0, c], VIEW, 0.95, 32, "")
            crop = quirks.normalised(view)[:, :, y0:y1, x0:x1]
            ratio = VIEW / max(crop.shape[2:])
            sides = [int(side * ratio) for side in crop.shape[2:]]
            crop = torch.nn.functional.interpolate(crop, size=sides, mode="bilinear")
            q = torch.maximum(q, passes.teacher.scores(crop)[0])
        nothing_active += int((q == 0).all())
        expected.append((0.3 * first[row] + 0.7 * q.clamp_min(0.05) / bias).clamp(0, 1))
    assert 0 < nothing_active < size
    passes.relabel(net, images, labels, tau, 2, Stage("test", size, lambda _: None))
    torch.testing.assert_close(labels.table, torch.stack(expected), atol=1e-5, rtol=0)


def few(source, count=6):
    images = source.load("train")
    return dataclasses.replace(images, paths=images.paths[:count], truth=None, known=images.known[:count])


def stage():
    return Stage("test", 1, lambda _: None)


def test_the_whole_image_is_a_square_of_the_relabel_size_normalised_for_the_student(source, recipe):
    images = few(source)
    images = dataclasses.replace(images, paths=(*images.paths[:3], "gone.png", *images.paths[4:]))
    passes = PublishedPasses(recipe(), images)
    gathered, unreadable = passes.whole_images(images, stage())
    assert unreadable == {3: "no such file"}
    assert gathered.readable.tolist() == [True, True, True, False, True, True]
    for row, file in enumerate(images.files_of_all()):
        photographs = passes.reading.backend.decode([file], np.array([row]))
        if len(photographs):
            view = passes.reading.backend.whole(photographs, VIEW, "bilinear")
            torch.testing.assert_close(gathered.scores[row], passes.teacher.scores(quirks.normalised(view))[0])


def test_the_search_of_tau_sees_the_training_views_in_their_order_in_evaluation_mode(source, recipe, monkeypatch):
    images, knobs = few(source), recipe("relabel.k=2", "seed=3")
    passes, net = PublishedPasses(knobs, images), build("test_resnet", 20, 3.0, "none")
    searched = {}

    def search(rows, start, k):
        searched.update(rows=torch.stack(list(rows)), start=start, k=k)
        return 0.25

    monkeypatch.setattr(quirks, "searched_threshold", search)
    assert passes.activity_threshold(net.train(), images, 4, stage()) == 0.25
    assert (searched["start"], searched["k"]) == (0.05, 2)
    flips = randomness.uniform(3, 4, Purpose.FLIP, len(images), 2)[:, 0] < 0.5
    order = randomness.order(3, 4, len(images))
    assert 0 < flips.sum() < len(images)
    assert order.tolist() != sorted(order)
    for row, probabilities in zip(order, searched["rows"], strict=True):
        view = passes.reading.backend.whole(
            passes.reading.backend.decode(images.files([row]), np.array([row])), 64, "bilinear"
        )
        with torch.inference_mode():
            expected = torch.sigmoid(net.eval()(view.flip(2) if flips[row] else view)[0][0])
        torch.testing.assert_close(probabilities, expected)


def test_the_teacher_reads_the_names_of_voc_whatever_the_data_set_would_say(source, recipe):
    images = dataclasses.replace(few(source), prompt_names=tuple(f"{name} | thing" for name in NAMES))
    classes = PublishedPasses(recipe(), images).teacher.classes
    clip = teacher.load_clip(recipe().teacher.model)
    torch.testing.assert_close(classes, teacher.class_embeddings(clip, NAMES, ["a photo of the {}"]))


def test_a_class_without_positives_counts_as_zero_in_compat_mode_only(recipe):
    assert PublishedPasses.absent_ap == 0
    backend, absent_ap = evaluation_conditions(recipe())
    assert isinstance(backend, PublishedViews)
    assert absent_ap == 0
    assert np.isnan(StandardPasses.absent_ap)
    assert np.isnan(evaluation_conditions(config.load("folder"))[1])
