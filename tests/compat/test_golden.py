"""Compat mode against the arrays that were recorded while the published code ran."""

import numpy as np
import pytest
import torch

from ccd_fast.compat import quirks
from ccd_fast.compat.passes import PublishedFirstLabels
from ccd_fast.labels.table import PseudoLabels, Update, update_labels
from ccd_fast.recipes.official import start_of_search


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "official.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def first_labels(golden):
    scores = torch.from_numpy(golden["scores"])
    readable = torch.ones(len(scores), dtype=torch.bool)
    gathered = PublishedFirstLabels(scores, readable, float(golden["entropy_limit"]), [str(c) for c in range(20)])
    return gathered.finish(float(golden["floor"]), 1, True)


def test_first_labels_bias_and_flags(golden):
    labels = first_labels(golden)
    np.testing.assert_array_equal(labels.confident, golden["confident"])
    np.testing.assert_allclose(labels.bias, golden["bias"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(labels.table, golden["first_labels"], rtol=0, atol=1e-5)
    assert labels.bias_counts.sum() == golden["confident"].sum()


def test_the_search_of_the_threshold_stops_where_the_published_one_did(golden):
    rows = iter(torch.from_numpy(golden["threshold_scores"]))
    start = start_of_search(float(golden["floor"]))
    assert quirks.searched_threshold(rows, start, int(golden["bound"])) == pytest.approx(
        float(golden["threshold"]), abs=1e-12
    )
    assert next(rows, None) is None  # it visited all that were recorded, and asked for no more


def test_active_classes_and_their_boxes(golden):
    view, margin, tau = int(golden["view"]), int(golden["margin"]), float(golden["threshold"])
    probabilities = torch.sigmoid(torch.from_numpy(golden["logits"]))
    owner, classes = torch.nonzero(probabilities >= tau, as_tuple=True)
    np.testing.assert_array_equal(owner, golden["box_owner"])
    np.testing.assert_array_equal(classes, golden["box_class"])
    maps = torch.from_numpy(golden["cam"])[owner, classes]
    boxes = [quirks.first_and_last_box(cam, view, 0.95, margin, "a map") for cam in maps]
    np.testing.assert_array_equal(boxes, golden["boxes_xyxy"])


def test_the_table_after_one_update(golden):
    labels = first_labels(golden)
    rows, scores = quirks.with_nothing_seen(
        torch.from_numpy(golden["box_owner"]), torch.from_numpy(golden["crop_scores"]), labels.readable
    )
    update_labels(labels, rows, scores, Update(float(golden["floor"]), float(golden["ratio"])))
    np.testing.assert_allclose(labels.table, golden["updated_labels"], rtol=0, atol=1e-5)
    assert isinstance(labels, PseudoLabels)
