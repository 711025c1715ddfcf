"""BCE, AN, WAN, EPR and ROLE, against losses and gradients recorded from the published code."""

import copy

import numpy as np
import pytest
import torch
from published import agrees, seen, tensor, with_gradient
from torch.nn.functional import binary_cross_entropy_with_logits

from ccd_fast.systems import cross_entropy, epr, role
from ccd_fast.systems.cross_entropy import entries, smoothed, weak_negatives
from ccd_fast.systems.epr import epr_loss, expected_positives
from ccd_fast.systems.role import role_loss

BATCHES = ("C5", "C20", "C20x", "C12m", "C2")
OF_EACH = {
    "bce": entries,
    "bce_ls": lambda z, y: entries(z, smoothed(y)),
    "an": entries,
    "an_ls": lambda z, y: entries(z, smoothed(y)),
    "wan": lambda z, y: weak_negatives(y) * entries(z, y),
}
FLOAT = {"C5": 1e-6, "C12m": 1e-6, "C2": 1e-6, "C20": 5e-5, "C20x": 5e-3}
"""What the recorded float32 figures are worth: there 1 - p is rounded."""


DOUBLE = {"C20x": 1e-11}
"""At logits of 30, where 1 - p is rounded even in double; ours is not."""


def check(golden, key, loss, batch, over="logits"):
    """Loss and gradient in double and in float32."""
    for dtype, suffix in ((torch.float64, "_f64"), (torch.float32, "")):
        tolerance = DOUBLE.get(batch, 1e-12) if suffix else FLOAT[batch]
        value, gradient = with_gradient(lambda z, d=dtype: loss(z, d), tensor(golden[f"{key}/{over}"], dtype))
        agrees(value, golden[f"{key}/loss{suffix}"], tolerance, key)
        largest = np.abs(golden[f"{key}/grad_{over}{suffix}"]).max()
        agrees(gradient / largest, golden[f"{key}/grad_{over}{suffix}"] / largest, tolerance, key)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", OF_EACH)
def test_loss_and_gradient_are_those_of_the_published_code(golden_systems, name, batch):
    key = f"{name}/{batch}"
    check(golden_systems, key, lambda z, d: OF_EACH[name](z, tensor(golden_systems[f"{key}/labels"], d)).mean(), batch)
    z, y = (tensor(golden_systems[f"{key}/{part}"], torch.float64) for part in ("logits", "labels"))
    agrees(OF_EACH[name](z, y), golden_systems[f"{key}/loss_matrix_f64"], 1e-12)


@pytest.mark.parametrize("batch", BATCHES)
def test_over_observed_positives_and_true_negatives_alone_it_is_the_published_iun(golden_systems, batch):
    key = f"iun/{batch}"
    negative = golden_systems[f"{key}/truth_pm1"] == -1
    positive = (golden_systems[f"{key}/labels"] == 1) & ~negative  # where both are said, it is taken as negative
    counted = tensor(positive | negative, torch.bool)
    check(golden_systems, key, lambda z, d: torch.where(counted, entries(z, tensor(positive, d)), 0).mean(), batch)


@pytest.mark.parametrize("batch", BATCHES)
def test_epr_is_that_of_the_published_code(golden_systems, batch):
    key = f"epr/{batch}"
    k = float(golden_systems[f"{key}/k"])
    check(golden_systems, key, lambda z, d: epr_loss(z, tensor(golden_systems[f"{key}/labels"], d), k), batch)
    p = torch.sigmoid(tensor(golden_systems[f"{key}/logits"], torch.float64))
    agrees(expected_positives(p, k), golden_systems[f"{key}/reg_f64"], 1e-12)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("over", ["logits", "G"])
def test_role_is_that_of_the_published_code_in_student_and_table(golden_systems, batch, over):
    key = f"role/{batch}"
    k = float(golden_systems[f"{key}/k"])

    def loss(own, dtype):
        labels = tensor(golden_systems[f"{key}/labels"], dtype)
        other = tensor(golden_systems[f"{key}/{'G' if over == 'logits' else 'logits'}"], dtype)
        return role_loss(*((own, other) if over == "logits" else (other, own)), labels, k)

    check(golden_systems, key, loss, batch, over)


def test_the_table_of_role_starts_where_the_published_one_does(golden_systems):
    group = {name: golden_systems[f"role_table/start/{name}"] for name in ("observed", "uniform01", "G", "estimated")}
    table = role.start(tensor(group["observed"]), tensor(group["uniform01"]))
    agrees(table, group["G"], 1e-6)
    agrees(torch.sigmoid(table), group["estimated"], 1e-6)


@pytest.mark.parametrize("name", ["role", "an"])
def test_four_steps_of_student_and_table_end_where_the_published_ones_did(golden_systems, name):
    """Rows of the table outside a batch move too, by their momentum."""
    group = {key.split("/")[-1]: golden_systems[key] for key in golden_systems if key.startswith(f"role_train/{name}/")}
    known = group["observed"].astype(np.int8)
    system = (role.Role if name == "role" else cross_entropy.Bce)(seen(known))
    if name == "role":
        system.table.data.copy_(tensor(group["G_0"]))
    layer = torch.nn.Linear(group["W_0"].shape[1], group["W_0"].shape[0])
    layer.load_state_dict({"weight": tensor(group["W_0"]), "bias": tensor(group["b_0"])})
    adam = torch.optim.Adam(layer.parameters(), lr=1e-3)
    for step, batch in enumerate(group["batches"]):
        rows = tensor(batch, torch.int64)
        logits = layer(tensor(group["features"])[rows])
        loss = system.loss(rows, logits)
        agrees(loss.detach(), group["loss"][step], 1e-5)
        adam.zero_grad()
        loss.backward()
        adam.step()
        system.after_step(rows, logits.detach())
        agrees(layer.weight.detach(), group[f"W_{step + 1}"], 1e-5)
        if name == "role":
            agrees(system.table.detach(), group[f"G_{step + 1}"], 1e-5)


def test_what_the_loss_of_role_asks_of_the_table_goes_on_after_it_was_saved():
    known = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    rows, logits = torch.tensor([0, 2]), torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    whole, again = role.Role(seen(known)), role.Role(seen(known, seed=1))
    whole.after_step(rows, logits)
    again.go_on(copy.deepcopy(whole.state()))
    for system in (whole, again):
        system.after_step(rows.flip(0), logits)
    assert torch.equal(whole.table, again.table)
    assert whole.table[1].tolist() == role.Role(seen(known)).table[1].tolist()  # no momentum yet, and none is made up


def test_identities():
    generator = torch.Generator().manual_seed(0)
    z, y = (
        torch.randn(6, 4, generator=generator, dtype=torch.float64),
        torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3, 0, 1]],
    )
    assert torch.equal(entries(z, smoothed(y, 0.0)), entries(z, y))
    two = y[:, :2]
    assert torch.equal(weak_negatives(two), torch.ones_like(two))
    assert float(expected_positives(torch.sigmoid(z), float(torch.sigmoid(z).sum(dim=1).mean()))) == 0
    half = entries(z, torch.sigmoid(z))
    assert torch.allclose(half, entries(z, 1 - torch.sigmoid(-z)))
    assert torch.allclose(entries(z, y), binary_cross_entropy_with_logits(z, y, reduction="none"), atol=1e-3)


@pytest.mark.parametrize(
    "make", [cross_entropy.Bce, cross_entropy.Smoothed, cross_entropy.WeakNegatives, epr.Epr, role.Role]
)
def test_order_one_class_and_numbers_that_are_none(make):
    known = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    system, order = make(seen(known)), torch.tensor([2, 0, 1])
    rows, logits = torch.arange(3), torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    value = system.loss(rows, logits)
    assert torch.allclose(system.loss(rows[order], logits[order]), value)
    assert system.rows().tolist() == [True, True, True, False]
    other = make(seen(known[:, order.numpy()]))
    if make is not role.Role:  # whose table starts from draws
        assert torch.allclose(other.loss(rows, logits[:, order]), value)
    assert make(seen(known[:, :1])).loss(rows, logits[:, :1]).isfinite()
    logits[1, 1] = torch.nan
    assert make(seen(known)).loss(rows, logits).isnan()


def test_a_table_that_says_what_the_student_says_learns_as_much_as_the_student():
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    positive = torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3, 0]]
    (_, of_student), (_, of_table) = (
        with_gradient(lambda own: role_loss(own, z, positive, 1.5), z),
        with_gradient(lambda own: role_loss(z, own, positive, 1.5), z),
    )
    agrees(of_student, of_table, 1e-12)
