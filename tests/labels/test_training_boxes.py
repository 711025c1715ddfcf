"""Boxes at the CAMs of training steps: those that a look of the student would give, in the view as it is."""

import numpy as np
import pytest
import torch

from ccd_fast.errors import UserError
from ccd_fast.labels.training_boxes import TrainingBoxes, check
from ccd_fast.recipes import config
from ccd_fast.student import build
from ccd_fast.student.cam import activity_threshold, boxes_of_active_classes
from ccd_fast.views import flipped
from tests.engines.random_towers import pictures

SIZE, THRESHOLD, MARGIN, K, LEAST = 64, 0.6, 0.1, 0, 0.3


@pytest.fixture(scope="module")
def net():
    student = build("test_resnet", 6, 3.0, "none").eval()
    student.head.weight.data *= 40  # so that classes differ in where they are
    return student


@torch.inference_mode()
def gathered(net, mirrored, order):
    """Give the boxes of views seen in batches of two, some of them mirrored, and what the plain views give."""
    views, boxes = pictures(len(mirrored), SIZE), TrainingBoxes.none(len(mirrored), 6, K)
    logits = torch.zeros((len(mirrored), 6))
    for rows in np.array_split(order, len(order) // 2):
        seen = net(flipped(views[torch.from_numpy(rows)], mirrored[rows]))
        logits[torch.from_numpy(rows)] = seen[0]
        boxes.add(torch.from_numpy(rows), seen, mirrored[rows], SIZE, (LEAST, THRESHOLD, MARGIN))
    return boxes, torch.sigmoid(logits), net(views)


def test_they_are_those_of_a_look_at_the_views(net):
    mirrored = np.zeros(6, dtype=bool)
    boxes, probabilities, seen = gathered(net, mirrored, np.array([4, 1, 0, 5, 3, 2]))
    boxes.finish(probabilities, K, LEAST)
    assert boxes.tau == activity_threshold(torch.sigmoid(seen[0]), K, LEAST)
    expected = boxes_of_active_classes(*seen, boxes.tau, SIZE, THRESHOLD, MARGIN)
    owner, found = boxes.of(np.arange(6), boxes.tau)
    assert 0 < len(owner) < 36
    as_sets = [
        {(int(o), *b.tolist()) for o, b in zip(*pair, strict=True)}
        for pair in ((owner, found), (expected.owner, expected.boxes))
    ]
    assert as_sets[0] == as_sets[1]
    assert (np.diff(owner) >= 0).all()
    some = np.array([3, 5])
    positions, of_some = boxes.of(some, boxes.tau)
    np.testing.assert_array_equal(of_some, found[np.isin(owner, some)])
    assert set(positions) <= {0, 1}


def test_a_mirrored_view_s_boxes_are_mirrored_back(net):
    mirrored = np.array([True, False, True, True])
    boxes, *_ = gathered(net, mirrored, np.arange(4))
    straight = TrainingBoxes.none(4, 6, K)
    with torch.inference_mode():
        seen = net(flipped(pictures(4, SIZE), mirrored))
    straight.add(torch.arange(4), seen, np.zeros(4, dtype=bool), SIZE, (LEAST, THRESHOLD, MARGIN))
    there = boxes.probabilities > 0
    ours, plain = boxes.boxes[there], straight.boxes[there]
    turned = torch.from_numpy(mirrored)[:, None].expand_as(there)[there]
    assert torch.equal(ours[~turned], plain[~turned])
    assert torch.equal(ours[turned][:, [1, 3]], plain[turned][:, [1, 3]])
    assert torch.equal(
        ours[turned][:, 0] + plain[turned][:, 2], torch.full((int(turned.sum()),), SIZE, dtype=torch.int32)
    )
    assert torch.equal(
        ours[turned][:, 2] + plain[turned][:, 0], torch.full((int(turned.sum()),), SIZE, dtype=torch.int32)
    )
    assert not torch.equal(ours[turned], plain[turned])


def test_a_photograph_that_did_not_come_by_has_none():
    boxes = TrainingBoxes.none(3, 6, K)
    boxes.finish(torch.zeros((3, 6)), K, 0.0)
    assert not len(boxes.of(np.arange(3), 0.0)[0])


@pytest.mark.parametrize(
    ("knob", "said"),
    [
        ("views.choice=random", "views.choice = 'cam'"),
        ("student.relabel_image_size=320", "student.relabel_image_size = 'same'"),
    ],
)
def test_what_training_does_not_show_is_refused(knob, said):
    check(config.load("folder", [knob]))
    with pytest.raises(UserError, match=f"relabel.student = 'training' needs {said}"):
        check(config.load("folder", ["relabel.student=training", knob]))
