"""What holds for every system of the table: order, classes, images of which nothing is known, numbers that are none."""

import numpy as np
import pytest
import torch
from published import seen

from ccd_fast.recipes import config
from ccd_fast.student.network import build
from ccd_fast.systems import CCD, SYSTEMS, with_its_head
from ccd_fast.systems.class_features import co_occurrence
from ccd_fast.systems.llr import kept_share, rejected
from ccd_fast.training.compared import LossOfSystem
from ccd_fast.training.steps import NotFiniteError, Trainer

NAMES = [name for name in SYSTEMS if name != CCD]
PLAIN = [name for name in NAMES if SYSTEMS[name].head is None]
KNOWN = np.array([[1, 0, 0, -1], [0, 1, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1], [0, 0, 0, 0]])
"""No class is there in two images, so that the contrastive loss takes all pairs and draws none."""


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Made:
    """A system of some labels, and what gives the logits of rows: its head, or numbers."""

    def __init__(self, name, known, epoch=1, order=None):
        soft = torch.sigmoid(random(*KNOWN.shape, seed=1))[:, : known.shape[1]]
        soft = soft if order is None else soft[:, order]
        described, self.maps, self.head = SYSTEMS[name], random(len(known), 16, 3, 3, seed=2), None
        if described.head is not None:
            torch.manual_seed(0)
            words = random(known.shape[1], 5, seed=3)
            self.head = described.head(16, words, co_occurrence(torch.from_numpy(known))).train()
        told = seen(known, soft=soft if described.may_see == ("teacher-tiles",) else None)
        self.system = described.make(told, self.head)
        if any(map(self.system.wants_vectors, range(epoch + 1))):
            self.system.take_vectors(epoch, [random(3, 16, seed=4) for _ in range(known.shape[1])])
        self.system.before_epoch(epoch)
        if name == "role":
            self.system.table.data.zero_()  # it starts from draws, in the order of the classes

    def loss(self, rows, logits):
        if self.head is None:
            return self.system.loss(rows, logits)
        return self.system.loss(rows, self.head(self.maps[rows])[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_a_batch_changes_nothing(name):
    rows, logits, order = torch.arange(5), 3 * random(5, 4), torch.tensor([3, 0, 4, 2, 1])
    value = Made(name, KNOWN).loss(rows, logits)
    assert value > 0
    assert torch.allclose(Made(name, KNOWN).loss(rows[order], logits[order]), value, rtol=1e-4)


@pytest.mark.parametrize("name", PLAIN)  # a head has weights of its own for each class
def test_the_order_of_the_classes_changes_nothing(name):
    rows, logits, order = torch.arange(5), 3 * random(5, 4), torch.tensor([2, 0, 3, 1])
    value = Made(name, KNOWN).loss(rows, logits)
    other = Made(name, KNOWN[:, order.numpy()], order=order)
    assert torch.allclose(other.loss(rows, logits[:, order]), value)


@pytest.mark.parametrize("epoch", [0, 1, 5])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_images_of_which_nothing_is_known_has_a_finite_loss_and_gradient(name, epoch):
    rows, logits = torch.tensor([4, 4]), (3 * random(2, 4)).requires_grad_()
    made = Made(name, KNOWN, epoch)
    value = made.loss(rows, logits)
    assert value.isfinite()
    if value.requires_grad:
        value.backward()
    gradients = [logits.grad] if made.head is None else [weight.grad for weight in made.head.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)


@pytest.mark.parametrize("epoch", [0, 1, 5])
@pytest.mark.parametrize("name", NAMES)
def test_there_may_be_one_class(name, epoch):
    made = Made(name, KNOWN[:, :1], epoch)
    value = made.loss(torch.arange(5), 3 * random(5, 1))
    assert value.isfinite()
    assert value > 0


@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_are_none_are_refused_and_the_student_stays(name):
    plain = build("test_resnet", 4, 3.0, "none")
    student = with_its_head(plain, name, random(4, 5), KNOWN, 0)
    trainer = Trainer(student, config.load("folder").train, 32)
    soft = torch.sigmoid(random(5, 4)) if name == "cdul" else None
    system = SYSTEMS[name].make(seen(KNOWN, soft=soft), student.head)
    system.before_epoch(1)
    trainer.begin_epoch()
    pixels = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    list(student.head.parameters())[-1].data[-1] = torch.nan  # a bias: of a class, or of a pair of classes
    before = {key: weight.clone() for key, weight in student.named_parameters()}
    with pytest.raises(NotFiniteError):
        trainer.step(pixels, None, torch.arange(5), LossOfSystem(system))
    assert all(
        torch.equal(weight.nan_to_num(7), before[key].nan_to_num(7)) for key, weight in student.named_parameters()
    )


def test_in_its_second_epoch_llr_rejects_as_many_losses_as_its_share_says():
    losses, observed = random(16, 20).abs(), torch.zeros(16, 20, dtype=torch.bool)
    observed[:, 0] = True
    found = rejected(losses, observed, kept_share(1, 0.005))
    assert found.sum() == 2
    assert not (found & observed).any()


def test_before_it_begins_sst_makes_no_pseudo_labels_and_its_margin_falls_to_its_least():
    known = np.where(KNOWN < 0, 0, KNOWN)
    system = Made("sst", known, epoch=0).system
    margins = []
    for epoch in (0, system.start - 1, system.start, system.start + 1, 100):
        system.before_epoch(epoch)
        margins.append(system.margin)
    assert margins == pytest.approx([0.95, 0.95, 0.95, 0.925, 0.75])
