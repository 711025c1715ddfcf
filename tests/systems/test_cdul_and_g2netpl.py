"""The soft labels of CDUL and of the reconstruction of G2NetPL: what their turns do."""

import numpy as np
import torch
from published import seen
from torch.nn.functional import binary_cross_entropy_with_logits

from ccd_fast.systems import cdul, g2netpl


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_first_labels_take_the_most_of_a_class_that_is_seen_and_the_least_of_others():
    whole, most, least = torch.tensor([[0.4, 0.2]]), torch.tensor([[0.6, 0.4]]), torch.tensor([[0.1, 0.02]])
    assert torch.allclose(cdul.first_labels(whole, most, least), torch.tensor([[0.5, 0.11]]))


def test_a_step_of_0_and_a_student_that_agrees_leave_the_labels_and_unsure_ones_move_most():
    labels, predicted = 0.01 + 0.98 * random(5, 3), 0.01 + 0.98 * random(5, 3, seed=1)
    assert torch.allclose(cdul.turn(labels, predicted, step=0), labels, atol=1e-6)
    assert torch.allclose(cdul.turn(labels, labels), labels, atol=1e-6)
    sure, unsure = (
        torch.logit(cdul.turn(y, f)) - torch.logit(y)
        for y, f in (torch.sigmoid(torch.tensor([[-3.0], [-4.0]])), torch.sigmoid(torch.tensor([[0.0], [-1.0]])))
    )
    assert -unsure > 5 * -sure > 0


def test_cdul_learns_from_its_labels_and_they_wait_for_the_student():
    soft, predicted = random(4, 3), random(4, 3, seed=1)
    readable = torch.tensor([True, True, False, True])
    system = cdul.Cdul(seen(np.zeros((4, 3)), soft=soft, readable=readable))
    rows, logits = torch.tensor([0, 3]), random(2, 3, seed=2)
    assert torch.equal(system.loss(rows, logits), binary_cross_entropy_with_logits(logits, soft[rows]))
    assert not system.after_epoch(0, predicted)
    assert torch.equal(system.targets(), soft)
    assert system.after_epoch(1, predicted)
    assert torch.equal(system.targets()[2], soft[2])
    assert torch.equal(system.targets()[readable], cdul.turn(soft, predicted)[readable])
    again = cdul.Cdul(seen(np.zeros((4, 3)), soft=soft))
    again.go_on(system.state())
    assert torch.equal(again.targets(), system.targets())


def test_labels_of_the_reconstruction_go_where_the_student_points_and_known_ones_stay():
    known = np.array([[1, 0, 0, -1]])
    system = g2netpl.G2NetPl(seen(known))
    said = torch.tensor([[0.1, 0.9, 0.1, 0.9]])
    assert system.targets().tolist() == [[1, 0.5, 0.5, 0]]
    for epoch in range(10):
        assert system.after_epoch(epoch, said)
    found = system.targets()[0]
    assert found[0] == 1
    assert found[3] == 0
    assert found[1] > 0.95
    assert found[2] < 0.05
    again = g2netpl.G2NetPl(seen(known))
    again.go_on(system.state())
    assert torch.equal(again.targets(), system.targets())


def test_the_reconstruction_weighs_sure_labels_first_and_all_of_them_in_the_end():
    system = g2netpl.G2NetPl(seen(np.array([[1, 0, 0]]), epochs=5))
    rows, logits = torch.tensor([0]), random(1, 3)
    system.after_epoch(0, torch.tensor([[0.9, 0.9, 0.4]]))
    losses = binary_cross_entropy_with_logits(logits, system.targets(), reduction="none")
    system.before_epoch(4)
    assert torch.allclose(system.loss(rows, logits), losses.mean())
    system.before_epoch(1)
    shares = (2 * system.targets() - 1).abs() ** 0.75
    assert torch.allclose(system.loss(rows, logits), (shares * losses).mean())
    logits[0, 2] = torch.nan
    assert system.loss(rows, logits).isnan()
