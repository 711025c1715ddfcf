"""Parity: what is measured, and what is refused."""

import dataclasses
import math

import pytest
import torch
from torch.nn.functional import normalize

from ccd_fast import engines
from ccd_fast.engines import EngineSettings, Store, runtimes
from ccd_fast.errors import RunError
from ccd_fast.teacher import clip as teacher
from ccd_fast.teacher.checked_engines import kept_parity, open_checked
from ccd_fast.teacher.parity import LIMITS, beyond_limits, compare, reference_embeddings
from tests.engines.random_towers import pictures


@pytest.fixture(scope="module")
def clip(tiny_clip):
    return teacher.load_clip(str(tiny_clip))


CLASSES = normalize(torch.eye(3), dim=1)


def test_equal_embeddings_have_no_distance():
    same = normalize(torch.tensor([[1.0, 0.2, 0], [0, 1, 0.3]]), dim=1)
    parity = compare(same, same.clone(), CLASSES, 10)
    assert parity.cosine_min == pytest.approx(1)
    assert (parity.relative_error, parity.top1_changed, parity.score_shift) == (0, 0, 0)
    assert (parity.images, parity.classes) == (2, 3)


def test_rounding_makes_no_cosine_larger_than_one():
    same = normalize(torch.randn(64, 512, generator=torch.manual_seed(0)), dim=1)
    assert torch.nn.functional.cosine_similarity(same, same).max() > 1  # as it is in float32
    parity = compare(same, same.clone(), normalize(torch.eye(3, 512), dim=1), 10)
    assert parity.cosine_mean <= 1
    assert parity.cosine_min == pytest.approx(1)


def test_figures_by_hand():
    reference = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    ours = torch.tensor([[1.0, 0, 0], [0.6, 0, 0.8]])
    parity = compare(ours, reference, CLASSES, 1)
    assert parity.cosine_min == pytest.approx(0)
    assert parity.cosine_mean == pytest.approx(0.5)
    assert parity.top1_changed == 0.5
    e = math.e
    p_ref = [1 / (2 + e), e / (2 + e), 1 / (2 + e)]
    total = e**0.6 + 1 + e**0.8
    p = [e**0.6 / total, 1 / total, e**0.8 / total]
    assert parity.score_shift == pytest.approx(sum(abs(a - b) for a, b in zip(p, p_ref, strict=True)) / 6, rel=1e-5)
    assert parity.relative_error == pytest.approx(math.sqrt(0.36 + 1 + 0.64) / 1.0, rel=1e-5)


def test_not_a_number_is_beyond_every_limit():
    nothing = torch.full((2, 3), float("nan"))
    assert "cosine" in beyond_limits(compare(nothing, torch.eye(3)[:2], CLASSES, 1), "bf16")


def test_one_changed_top1_class_may_be_a_tie_and_two_may_not():
    same = compare(torch.eye(3), torch.eye(3), CLASSES, 1)
    one, two = (dataclasses.replace(same, images=32, top1_changed=changed / 32) for changed in (1, 2))
    assert beyond_limits(one, "fp32") == ""
    assert "6.2% of the top-1 classes change" in beyond_limits(two, "fp32")


def test_every_precision_has_limits_and_no_other():
    assert set(LIMITS) == set(engines.PRECISIONS)


def test_it_is_measured_once_and_kept_in_the_manifest(clip, tmp_path):
    asked = []

    def views(count):
        asked.append(count)
        return pictures(8, 64)

    classes = reference_embeddings(clip, pictures(5, 64, seed=9))
    settings = EngineSettings("onnxruntime", batch_size=4, threads=1)
    engine, first = open_checked(clip, settings, Store(tmp_path), classes, views)
    assert first is not None
    assert first.images == 8
    assert first.cosine_min > 0.9999
    again = open_checked(clip, settings, Store(tmp_path), classes, views)[1]
    assert again == first
    assert len(asked) == 1
    assert kept_parity(Store(tmp_path), engine.key) == {"onnxruntime cpu": first}


def test_a_wrong_engine_is_refused_by_how_much_and_removed(clip, tmp_path, monkeypatch):
    class Wrong:
        def __init__(self, engine):
            self.key, self.runtime, self.embed_right = engine.key, engine.runtime, engine.embed

        def embed(self, pixels):
            return self.embed_right(pixels.flip(0))

    real = runtimes.RUNTIMES["onnxruntime"]
    wrong = runtimes.Runtime(real.problem, lambda *a: Wrong(real.open(*a)), real.build)
    monkeypatch.setitem(runtimes.RUNTIMES, "onnxruntime", wrong)
    classes = reference_embeddings(clip, pictures(5, 64, seed=9))
    with pytest.raises(RunError, match=r"the smallest cosine is -?\d\.\d+, below 0.9999"):
        open_checked(clip, EngineSettings("onnxruntime"), Store(tmp_path), classes, lambda count: pictures(8, 64))
    assert Store(tmp_path).keys() == []


def test_the_reference_itself_is_not_compared(clip, tmp_path):
    parity = open_checked(clip, EngineSettings("torch"), Store(tmp_path), CLASSES, lambda count: pytest.fail("asked"))[
        1
    ]
    assert parity is None
