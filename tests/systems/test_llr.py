"""LL-R: the very entries that the published code rejects."""

import math

import numpy as np
import pytest
import torch
from published import agrees, tensor, with_gradient
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from ccd_fast.systems.llr import kept_share, llr_loss, rejected

BATCHES = ("B16C20", "B16C20ties", "B20C20", "B16C80", "B8C20x", "B8C20neg")


@pytest.mark.parametrize("batch", BATCHES)
def test_rejections_losses_and_gradients_are_those_of_the_published_code(golden_systems, batch):
    logits, labels = golden_systems[f"llr/{batch}/logits"], golden_systems[f"llr/{batch}/labels"]
    cases = [key for key in golden_systems if key.startswith(f"llr/{batch}/d") and key.endswith("LL-R/loss")]
    assert cases
    for case in cases:
        group = case.removesuffix("/loss")
        flag, epoch = group.split("/")[2].removeprefix("d").split("_e")
        kept = kept_share(int(epoch) - 1, float(flag) / 100)
        assert kept == float(golden_systems[f"{group}/clean_rate"])
        z, known = tensor(logits), tensor(labels)
        losses = cross_entropy(z, (known == 1).float(), reduction="none")
        found = rejected(losses, known != 0, kept)
        for scheme in ("LL-R", "LL-Ct", "LL-Cp"):  # which flip what LL-R rejects
            other = group.replace("LL-R", scheme)
            if f"{other}/rejected" in golden_systems:
                np.testing.assert_array_equal(found, golden_systems[f"{other}/rejected"] != 0)
                assert kept == float(golden_systems[f"{other}/clean_rate"])
                assert math.ceil(losses.numel() * (1 - kept)) == int(golden_systems[f"{other}/k"])
        for dtype, suffix, tolerance in ((torch.float32, "", 1e-6), (torch.float64, "_f64", 1e-12)):
            if f"{group}/loss{suffix}" in golden_systems:
                loss = lambda z, d=dtype, k=kept: llr_loss(z, tensor(labels, d), k)  # noqa: E731
                value, gradient = with_gradient(loss, tensor(logits, dtype))
                agrees(value, golden_systems[f"{group}/loss{suffix}"], tolerance, group)
                agrees(gradient, golden_systems[f"{group}/grad_logits{suffix}"], tolerance, group)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("scheme", ["LL-Ct", "LL-Cp"])
def test_with_their_targets_turned_over_in_place_of_0_the_rejected_give_the_losses_of_ll_ct_and_ll_cp(
    golden_systems, batch, scheme
):
    logits, labels = golden_systems[f"llr/{batch}/logits"], golden_systems[f"llr/{batch}/labels"]
    cases = [key for key in golden_systems if key.startswith(f"llr/{batch}/d") and key.endswith(f"{scheme}/loss")]
    assert cases or scheme == "LL-Cp"  # recorded on one batch
    for case in cases:
        kept = float(golden_systems[case.replace("/loss", "/clean_rate")])
        for dtype, suffix, tolerance in ((torch.float32, "", 1e-6), (torch.float64, "_f64", 1e-8)):
            if f"{case}{suffix}" in golden_systems:
                known = tensor(labels, dtype)

                def flipped(z, known=known, kept=kept):
                    positive = (known == 1).to(z.dtype)
                    losses, other = (cross_entropy(z, y, reduction="none") for y in (positive, 1 - positive))
                    return torch.where(rejected(losses, known != 0, kept), other, losses).mean()

                value, gradient = with_gradient(flipped, tensor(logits, dtype))
                agrees(value, golden_systems[f"{case}{suffix}"], tolerance, case)
                agrees(gradient, golden_systems[f"{case.replace('loss', 'grad_logits')}{suffix}"], tolerance, case)


def test_where_the_smallest_rejected_loss_is_0_everything_is_rejected(golden_systems):
    value, gradient = with_gradient(
        lambda z: llr_loss(z, tensor(golden_systems["llr/zero_kth/labels"]), 1 - 4 / 20),
        tensor(golden_systems["llr/zero_kth/logits"]),
    )
    assert golden_systems["llr/zero_kth/LL-R/rejected"].all()
    assert value == 0
    assert not gradient.any()


def test_as_many_are_rejected_as_the_published_code_rejects(golden_systems):
    for batch, classes, flag, epoch, count, _, _ in golden_systems["llr/k_table"].tolist():
        kept = kept_share(int(epoch) - 1, flag / 100)
        assert math.ceil(int(batch) * int(classes) * (1 - kept)) == count


def test_the_first_epoch_keeps_all_and_a_number_that_is_none_is_not_rejected():
    z, known = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), torch.eye(5)[:4]
    assert torch.equal(llr_loss(z, known, 1.0), cross_entropy(z, known))
    z[0, 1] = torch.nan
    assert llr_loss(z, known, 0.9).isnan()
