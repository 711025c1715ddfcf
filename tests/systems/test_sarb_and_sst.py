"""SARB and SST: blends, prototypes, pseudo-labels, bank and whole training steps, against the published code."""

import numpy as np
import pytest
import torch
from published import Recorded, agrees, gradients_agree, tensor, weights, with_gradient

from ccd_fast.systems import sarb, sst
from ccd_fast.systems.contrastive import Draws, contrastive, known_bce, pairs

SARB_WORDS = {"width": 16, "inner": 8}


@pytest.mark.parametrize("batch", ["C6", "C20p10", "C20p50x", "C5none", "all_unknown"])
def test_bce_over_known_entries(golden_systems, batch):
    group = f"hcp_bce/{batch}"
    for form in ("sst_margin0", "sarb"):
        for suffix, dtype, tolerance in (("", torch.float32, 1e-6), ("_f64", torch.float64, 1e-12)):
            if f"{group}/{form}/loss{suffix}" in golden_systems:
                labels = tensor(golden_systems[f"{group}/labels"], dtype)
                value, gradient = with_gradient(
                    lambda z, y=labels: known_bce(z, y), tensor(golden_systems[f"{group}/logits"], dtype)
                )
                agrees(value, golden_systems[f"{group}/{form}/loss{suffix}"], tolerance, form)
                agrees(gradient, golden_systems[f"{group}/{form}/grad_logits{suffix}"], tolerance, form)
    if f"{group}/sarb/grad_labels" in golden_systems:
        logits = tensor(golden_systems[f"{group}/logits"])
        _, gradient = with_gradient(lambda y: known_bce(logits, y), tensor(golden_systems[f"{group}/labels"]))
        agrees(gradient, golden_systems[f"{group}/sarb/grad_labels"], 1e-6)


@pytest.mark.parametrize("case", ["p50", "p10", "full", "no_positive_pair", "no_pair"])
def test_contrastive_loss(golden_systems, case):
    group = f"contrastive/{case}"
    for dtype, suffix, tolerance in ((torch.float32, "", 1e-6), (torch.float64, "_f64", 1e-12)):
        draws = Recorded(golden_systems, group)
        known = tensor(golden_systems[f"{group}/labels"], dtype)
        value, gradient = with_gradient(
            lambda f, y=known, d=draws: contrastive(f, y, d), tensor(golden_systems[f"{group}/features"], dtype)
        )
        if case == "no_pair":  # the published code gives NaN there, a constant
            assert value == 0
            assert not gradient.any()
        else:
            agrees(value, golden_systems[f"{group}/loss{suffix}"], tolerance)
            agrees(gradient, golden_systems[f"{group}/grad_features{suffix}"], tolerance)
            assert not draws.left["randperm"]


@pytest.mark.parametrize("batch", ["C5", "C8x"])
def test_loss_of_the_pairs(golden_systems, batch):
    group = f"sst_cooc/{batch}"
    for dtype, suffix, tolerance in ((torch.float64, "_f64", 1e-12), (torch.float32, "", 1e-6)):
        known = tensor(golden_systems[f"{group}/labels"], dtype)
        value, gradient = with_gradient(
            lambda s, y=known: sst.co_occurrence_loss(s, y), tensor(golden_systems[f"{group}/logits"], dtype)
        )
        agrees(
            value, golden_systems[f"{group}/g21c05/loss{suffix}"], 2e-3 if batch == "C8x" and not suffix else tolerance
        )
        moderate = np.abs(golden_systems[f"{group}/logits"]) < 15
        agrees(gradient[moderate], golden_systems[f"{group}/g21c05/grad_logits{suffix}"][moderate], tolerance)
    np.testing.assert_array_equal(torch.stack(pairs(known.shape[1])), golden_systems[f"{group}/pair_index"])


@pytest.mark.parametrize("margin", ["0.5", "0.75", "0.85", "0.95", "1"])
def test_pseudo_labels_are_those_of_the_published_code(golden_systems, margin):
    group = {key.removeprefix("sst_pseudo/"): golden_systems[key] for key in golden_systems if "sst_pseudo" in key}
    known = tensor(group["intra/labels"])
    within = sst.within_image(tensor(group["intra/pair_logits"]), known, float(margin))
    np.testing.assert_array_equal(known + within, group[f"intra/margin{margin}"])
    known = tensor(group["inter/labels"])
    across = sst.across_images(tensor(group["inter/features"]), known, tensor(group["inter/bank"]), float(margin))
    np.testing.assert_array_equal(known + across, group[f"inter/margin{margin}"])


def test_the_bank_is_filled_as_the_published_one(golden_systems):
    bank = torch.zeros(golden_systems["sst/bank/state_0"].shape)
    for step in range(4):
        features, known = (tensor(golden_systems[f"sst/bank/{name}_{step}"]) for name in ("features", "labels"))
        bank = sst.filled(bank, features, known)
        np.testing.assert_array_equal(bank, golden_systems[f"sst/bank/state_{step}"])


def head_of(golden, system):
    made = {"sarb": sarb.BlendingHead, "sst": sst.PairHead}[system]
    head = made(2048, tensor(golden["model/words"]), tensor(golden["model/A"]), **SARB_WORDS)
    state = weights(golden, f"{system}/w")
    head.load_state_dict(
        state
        | {"words": head.words, "edges": head.edges}
        | {name: value for name, value in head.state_dict().items() if "running" in name or "num_batches" in name}
    )
    return head


def inputs(golden, reverse=False):
    maps = tensor(golden["model/maps"])
    return (
        (maps.flip(0), tensor(golden["model/labels_second_batch"]))
        if reverse
        else (maps, tensor(golden["model/labels"]))
    )


@pytest.mark.parametrize("system", ["sarb", "sst"])
def test_the_head_s_logits_are_those_of_the_published_models(golden_systems, system):
    head = head_of(golden_systems, system)
    maps, _ = inputs(golden_systems)
    agrees(head.eval()(maps)[0].detach(), golden_systems[f"{system}/eval/logits"], 5e-6)
    if system == "sst":
        features = tensor(golden_systems["sst/eval/class_features"])
        agrees(head.pair_logits(features).detach(), golden_systems["sst/eval/pair_logits"], 5e-6)
        np.testing.assert_array_equal(torch.stack(pairs(6)), golden_systems["sst/pair_index"])
    group = "sarb/train_no_target" if system == "sarb" else "sst/train"
    agrees(head.train()(maps)[0].detach(), golden_systems[f"{group}/logits"], 5e-6)
    agrees(head.of_the_last().detach(), golden_systems[f"{group}/class_features"], 5e-6)
    if system == "sarb":
        agrees(head.change[1].running_mean, golden_systems[f"{group}/bn_running_mean_after"], 5e-6)
        agrees(head.change[1].running_var, golden_systems[f"{group}/bn_running_var_after"], 5e-6)


def test_with_the_published_graph_one_class_without_a_positive_makes_all_logits_nan(golden_systems):
    head = head_of(golden_systems, "sarb").eval()
    head.edges = tensor(golden_systems["hcp_graph/class3_without_positive/A"])
    assert head(inputs(golden_systems)[0])[0].isnan().all()
    assert np.isnan(golden_systems["sarb/nan_graph/logits"]).all()


@pytest.mark.parametrize("case", ["a", "b", "clamped"])
def test_blends_their_losses_and_gradients(golden_systems, case):
    group = f"sarb/blend_{case}"
    head = head_of(golden_systems, "sarb").train()
    head.alpha.data.copy_(tensor(golden_systems[f"{group}/alpha_before"]).squeeze())
    head.beta.data.copy_(tensor(golden_systems[f"{group}/beta_before"]).squeeze())
    head.keep_shares()
    agrees(head.alpha.detach(), golden_systems[f"{group}/alpha_used"].squeeze(), 5e-6)
    agrees(head.beta.detach(), golden_systems[f"{group}/beta_used"].squeeze(), 5e-6)
    maps, known = inputs(golden_systems)
    logits, _ = head(maps)
    agrees(logits.detach(), golden_systems[f"{group}/logits"], 5e-6)
    features = head.of_the_last()
    prototypes = tensor(golden_systems["sarb/prototypes"])[:, int(golden_systems[f"{group}/randint"].squeeze())]
    chance = tensor(golden_systems[f"{group}/rand_mask"])
    total = known_bce(logits, known)
    agrees(total.detach(), golden_systems[f"{group}/bce"], 5e-6)
    blends = (
        sarb.with_another_image(features, known, head.alpha),
        sarb.with_a_prototype(features, known, head.beta, prototypes, chance),
    )
    for place, (blended, labels) in enumerate(blends, start=1):
        of_blend = head.classify(blended)
        agrees(of_blend.detach(), golden_systems[f"{group}/logits_{place}"], 5e-6)
        agrees(labels.detach(), golden_systems[f"{group}/target_{place}"], 5e-6)
        loss = known_bce(of_blend, labels)
        agrees(loss.detach(), golden_systems[f"{group}/bce_{place}"], 5e-6)
        total = total + loss
    total.backward()
    gradients_agree(golden_systems, f"{group}/grad", head, 5e-6)
    agrees(head.alpha.grad, golden_systems[f"{group}/grad_alpha"].squeeze(), 5e-6)
    agrees(head.beta.grad, golden_systems[f"{group}/grad_beta"].squeeze(), 5e-6)


def test_prototypes_are_the_centres_that_the_published_code_finds(golden_systems):
    group = {name: tensor(golden_systems[f"sarb/kmeans/{name}"]) for name in ("class_features", "labels", "centres")}
    positive = [group["class_features"][group["labels"][:, c] == 1, c] for c in range(6)]
    for ours_of, theirs in zip(sarb.prototypes_of(positive, 3, 0), group["centres"], strict=True):
        order = torch.cdist(theirs, ours_of).argmin(dim=1)
        assert sorted(order.tolist()) == [0, 1, 2]
        agrees(ours_of[order], theirs, 1e-5)


def test_few_points_are_their_own_centres_and_none_leave_a_class_as_it_is():
    points = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert sarb.k_means(points, 3, Draws(0)).tolist() == [[0, 1], [2, 3], [0, 1]]
    assert sarb.k_means(points[:0], 3, Draws(0)).isnan().all()
    assert sarb.k_means(points[[0, 0, 0, 0, 1]], 3, Draws(0)).isfinite().all()
    features, known = torch.randn(2, 1, 2), torch.zeros(2, 1)
    blended, labels = sarb.with_a_prototype(
        features, known, torch.tensor(0.5), torch.full((1, 2), torch.nan), torch.rand(2, 1)
    )
    assert torch.equal(blended, features)
    assert torch.equal(labels, known)


EPOCHS = pytest.mark.parametrize("epoch", [0, 1, 5])
BATCHES = pytest.mark.parametrize("batches", [1, 2])


def adam(head):
    """The published optimiser: Adam with weight decay; one step moves each weight by the learning rate."""
    return torch.optim.Adam(head.parameters(), lr=1e-5, weight_decay=5e-4)


@EPOCHS
@BATCHES
def test_training_steps_of_sarb(golden_systems, epoch, batches):
    group = f"sarb/train_epoch{epoch}/batches{batches}"
    head = head_of(golden_systems, "sarb").train()
    head.alpha.data.fill_(0.6)
    head.beta.data.fill_(0.4)
    draws = Recorded(golden_systems, group)
    prototypes = tensor(golden_systems["sarb/prototypes"]) if epoch == 5 else None
    losses, optimizer = [], adam(head)
    for batch in range(batches):
        maps, known = inputs(golden_systems, reverse=batch == 1)
        logits, _ = head(maps)
        head.zero_grad()
        losses.append(sarb.sarb_loss(head, logits, known, prototypes, batch / batches if epoch == 0 else 1.0, draws))
        losses[-1].backward()
        if batches == 1:
            gradients_agree(golden_systems, f"{group}/grad", head, 5e-6)
        optimizer.step()
    agrees(torch.stack(losses).mean().detach(), golden_systems[f"{group}/Loss"], 5e-5 if batches == 2 else 5e-6)
    for name, weight in (("alpha", head.alpha), ("beta", head.beta), ("fc_bias", head.fc.bias)):
        agrees(weight.detach(), golden_systems[f"{group}/{name}_after"].squeeze(), 5e-6)
    assert not any(draws.left.values())


def test_a_batch_without_a_pair_of_known_labels_has_the_published_gradient_and_a_loss_that_is_a_number(golden_systems):
    head = head_of(golden_systems, "sarb").train()
    known = tensor(golden_systems["sarb/no_pair/labels"])
    logits, _ = head(inputs(golden_systems)[0])
    loss = sarb.sarb_loss(head, logits, known, None, 1.0, Draws(0))
    agrees(loss.detach(), golden_systems["sarb/no_pair/Loss_BCE"], 5e-6)
    assert np.isnan(golden_systems["sarb/no_pair/Loss"])
    loss.backward()
    gradients_agree(golden_systems, "sarb/no_pair/grad", head, 5e-6)


@EPOCHS
@BATCHES
def test_training_steps_of_sst(golden_systems, epoch, batches):
    group = f"sst/train_epoch{epoch}/batches{batches}"
    head, draws = head_of(golden_systems, "sst").train(), Recorded(golden_systems, group)
    bank, losses, optimizer = torch.zeros(6, 2, 16), [], adam(head)
    margins = (0.5, 0.3) if epoch == 5 else None
    for batch in range(batches):
        maps, known = inputs(golden_systems, reverse=batch == 1)
        logits, _ = head(maps)
        head.zero_grad()
        bank = sst.filled(bank, head.of_the_last().detach(), known)
        grown = batch / batches if epoch == 0 else 1.0
        if margins:
            pair_logits = head.pair_logits(head.of_the_last()).detach()
            within = sst.within_image(pair_logits, known, margins[0])
            across = sst.across_images(head.of_the_last().detach(), known, bank, margins[1])
            np.testing.assert_array_equal(known + within, golden_systems[f"{group}/pseudo_intra_{batch}"])
            np.testing.assert_array_equal(known + across, golden_systems[f"{group}/pseudo_inter_{batch}"])
        losses.append(sst.sst_loss(head, logits, known, bank, margins, grown, draws))
        losses[-1].backward()
        if batches == 1:
            gradients_agree(golden_systems, f"{group}/grad", head, 5e-6)
        optimizer.step()
    agrees(torch.stack(losses).mean().detach(), golden_systems[f"{group}/Loss"], 5e-5 if batches == 2 else 5e-6)
    agrees(head.fc.bias.detach(), golden_systems[f"{group}/fc_bias_after"], 5e-6)
    agrees(bank, golden_systems[f"{group}/bank_after"], 5e-5 if batches == 2 else 5e-6)
    assert not any(draws.left.values())


def test_with_a_share_of_1_a_blend_adds_the_known_labels_once_more():
    features, known = torch.randn(4, 3, 5), torch.tensor([[1.0, 0, -1], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    head = sarb.BlendingHead(16, torch.randn(3, 4), torch.eye(3), 5, 4)
    blended, labels = sarb.with_another_image(features, known, torch.tensor(1.0))
    assert torch.equal(blended, features)
    assert torch.allclose(known_bce(head.classify(blended), labels), known_bce(head.classify(features), known))
