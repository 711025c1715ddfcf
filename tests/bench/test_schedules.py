"""The comparison of schedules: the rows can be run, and the interval of a difference means what it says."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "schedules.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("schedules", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.RESAMPLES = 200
    return module


def scored(seed, noise, truth=None):
    generator = np.random.default_rng(seed)
    truth = generator.random((150, 6)) < 0.2 if truth is None else truth
    return (truth + noise * generator.standard_normal(truth.shape)).astype(np.float32), truth


def test_every_row_is_a_recipe(script):
    for own in script.SCHEDULES.values():
        script.config.load("folder", own)


def test_the_mean_over_the_classes_that_there_are_is_scikit_learns(script):
    scores, truth = scored(0, 1.0)
    truth[:, 3] = False
    expected = [average_precision_score(truth[:, c], scores[:, c]) for c in (0, 1, 2, 4, 5)]
    assert script.average_precision(scores, truth) == pytest.approx(np.mean(expected), abs=1e-6)


def test_a_row_beside_itself_differs_by_nothing_in_any_resample(script):
    pairs = [(scored(seed, 1.0),) * 2 for seed in (0, 1)]
    assert script.difference_of(pairs) == {"by_seed": [0, 0], "mean": 0, "low": 0, "high": 0}


def test_what_is_better_on_nearly_every_image_is_surely_better(script):
    worse = [scored(seed, 1.0) for seed in (0, 1)]
    better = [(scores + 0.5 * truth, truth) for scores, truth in worse]
    found = script.difference_of(list(zip(better, worse, strict=True)))
    assert 0 < found["low"] < found["mean"] < found["high"]


def test_seeds_that_share_test_images_resample_the_same_ones(script):
    """Else what one image does to every seed would count as if each seed had seen images of its own."""
    (ours, truth), (theirs, _) = scored(0, 0.5), scored(1, 0.9, scored(0, 0.5)[1])
    one = script.difference_of([((ours, truth), (theirs, truth))])
    thrice = script.difference_of([((ours, truth), (theirs, truth))] * 3)
    assert [thrice["low"], thrice["high"]] == pytest.approx([one["low"], one["high"]])
