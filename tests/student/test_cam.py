import pretend_card
import pytest
import torch

from ccd_fast.machine import blocks
from ccd_fast.student.cam import activity_threshold, boxes_of_active_classes


@pytest.mark.parametrize("k", [0, 1, 4])
def test_tau_is_the_smallest_value_with_at_most_k_plus_two_active_classes_on_average(k):
    probabilities = torch.rand(200, 12, generator=torch.Generator().manual_seed(k))
    tau = activity_threshold(probabilities, k, min_tau=0.05)
    assert (probabilities >= tau).sum() <= 200 * (k + 2)
    below = torch.nextafter(torch.tensor(tau), torch.tensor(0.0))
    assert (probabilities >= below).sum() > 200 * (k + 2)


@pytest.mark.parametrize("numbers", [2**23, 36])
def test_tau_counts_some_rows_alone_whatever_the_size_of_a_block(numbers, monkeypatch):
    monkeypatch.setattr(blocks, "NUMBERS", numbers)
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(50, 12, generator=generator) ** 8
    probabilities[:, 3] = probabilities[7, 3]  # ties
    rows = torch.rand(50, generator=generator) < 0.7
    for k in range(8):
        too_many = probabilities[rows].flatten().topk(int(rows.sum()) * (k + 2) + 1).values[-1]
        found = activity_threshold(probabilities, k, 0.0, rows)
        assert found == float(torch.nextafter(too_many, torch.tensor(1.0)))


def test_tau_is_not_below_its_minimum():
    assert activity_threshold(torch.full((10, 12), 0.01), 4, min_tau=0.05) == 0.05


def test_few_classes_may_all_be_active():
    assert activity_threshold(torch.rand(10, 5), 4, min_tau=0.05) == 0.05


def test_ties_never_let_too_many_in():
    tau = activity_threshold(torch.full((10, 12), 0.5), 4, min_tau=0.05)
    assert tau > 0.5


def test_each_active_class_gets_the_box_of_its_own_map():
    cam = torch.zeros(2, 3, 4, 4)
    cam[0, 1, 0, 0] = 1.0
    cam[1, 0, 3, 3] = 1.0
    cam[1, 2, 0, 3] = 1.0
    logits = torch.tensor([[-5.0, 3.0, -5.0], [3.0, -5.0, 3.0]])
    found = boxes_of_active_classes(logits, cam, tau=0.5, view_size=4, threshold=0.95, margin=0.0)
    assert found.owner.tolist() == [0, 1, 1]
    assert found.classes.tolist() == [1, 0, 2]
    assert found.boxes.tolist() == [[0, 0, 1, 1], [3, 3, 4, 4], [3, 0, 4, 1]]


def test_a_class_is_active_at_tau_itself():
    logits = torch.tensor([[0.0, -1.0]])
    found = boxes_of_active_classes(logits, torch.randn(1, 2, 3, 3), 0.5, 8, 0.95, 0.0)
    assert found.classes.tolist() == [0]


def test_no_active_class_gives_no_box():
    found = boxes_of_active_classes(torch.full((2, 3), -9.0), torch.randn(2, 3, 4, 4), 0.5, 8, 0.95, 0.1)
    assert found.boxes.shape == (0, 4)


def test_boxes_leave_the_card_in_one_copy(monkeypatch):
    """Each copy to the host waits for all that the GPU has queued."""
    run, copies = pretend_card.run, []

    def counted(func, args, kwargs):
        if func._schema.name == "aten::_to_copy" and torch.device(kwargs.get("device", "cuda")).type == "cpu":
            copies.append(tuple(args[0].shape))
        return run(func, args, kwargs)

    logits, cam = torch.tensor([[9.0, -9.0, 9.0]]), torch.rand((1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    on_host = boxes_of_active_classes(logits, cam, 0.5, 64, 0.5, 0.0)
    monkeypatch.setattr(pretend_card, "run", counted)
    with pretend_card.pretend_card():
        on_card = boxes_of_active_classes(logits.cuda(), cam.cuda(), 0.5, 64, 0.5, 0.0)
    assert copies == [(2, 6)]
    assert on_card.classes.tolist() == on_host.classes.tolist() == [0, 2]
    assert on_card.boxes.tolist() == on_host.boxes.tolist()
