import numpy as np
import torch

from ccd_fast.student.losses import CcdLoss, confidence_weights, consistency_loss, label_loss


def bce(logit, target):
    p = 1 / (1 + np.exp(-logit))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def test_the_label_loss_is_the_mean_over_images_of_weighted_cross_entropies():
    logits, labels = [[0.5, -1.0], [2.0, 0.0]], [[0.7, 0.0], [1.0, 0.25]]
    by_image = [np.mean([bce(z, y) for z, y in zip(*row, strict=True)]) for row in zip(logits, labels, strict=True)]
    result = label_loss(torch.tensor(logits), torch.tensor(labels), torch.tensor([0.1, 1.0]))
    np.testing.assert_allclose(result, (0.1 * by_image[0] + by_image[1]) / 2, rtol=1e-5)


def test_without_weights_every_image_counts_the_same():
    logits, labels = torch.randn(4, 3), torch.rand(4, 3)
    assert torch.equal(label_loss(logits, labels), label_loss(logits, labels, torch.ones(4)))


def test_weights_are_the_flag_plus_omega_up_to_one():
    flags = torch.tensor([True, False])
    np.testing.assert_allclose(confidence_weights(flags, 0.1), [1.0, 0.1])
    np.testing.assert_allclose(confidence_weights(flags, 1.0), [1.0, 1.0])


def test_the_consistency_loss_pulls_only_the_second_view():
    first = torch.randn(2, 3, requires_grad=True)
    second = torch.randn(2, 3, requires_grad=True)
    loss = consistency_loss(second, first)
    loss.backward()
    assert first.grad is None
    expected = np.mean(
        [
            bce(z, 1 / (1 + np.exp(-t)))
            for z, t in zip(second.detach().flatten().numpy(), first.detach().flatten().numpy(), strict=True)
        ]
    )
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)
    np.testing.assert_allclose(second.grad, (second.sigmoid() - first.sigmoid()).detach() / 6, rtol=1e-4, atol=1e-7)


def test_the_loss_of_an_epoch_looks_up_the_labels_and_weights_of_its_rows():
    generator = torch.Generator().manual_seed(1)
    table, weights, logits, others = (torch.rand(*size, generator=generator) for size in ((6, 4), (6,), (2, 4), (2, 4)))
    rows = torch.tensor([4, 1])
    own = label_loss(logits, table[rows], weights[rows])
    assert torch.equal(CcdLoss(table, weights, 0.5)(rows, logits, others), own + 0.5 * consistency_loss(others, logits))
    assert torch.equal(CcdLoss(table)(rows, logits, None), label_loss(logits, table[rows]))
    assert CcdLoss(table, weights, 0.5).compares_views
    assert not CcdLoss(table).compares_views
