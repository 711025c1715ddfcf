"""The asymmetric loss, in its own form and over known entries, against the published code."""

import numpy as np
import pytest
import torch
from published import agrees, seen, tensor, with_gradient

from ccd_fast.systems.asl import Asl, asymmetric
from ccd_fast.systems.contrastive import known_bce

CASES = {
    "default": {"detached": True},
    "g0c0": {"positive_focus": 0.0, "negative_focus": 0.0, "clip": 0.0, "detached": True},
    "coco": {"positive_focus": 0.0, "detached": True},
    "not_detached": {},
    "g21c0_not_detached": {"negative_focus": 2.0, "clip": 0.0},
}
PARTIAL = {
    "default": {},
    "g0c0": {"positive_focus": 0.0, "negative_focus": 0.0, "clip": 0.0},
    "g21": {"negative_focus": 2.0},
}


@pytest.mark.parametrize("batch", ["C6", "C20", "C20x"])
@pytest.mark.parametrize("case", [*CASES, *(f"optimized_{case}" for case in CASES)])
def test_the_original_is_that_of_the_published_code(golden_systems, batch, case):
    logits, labels = golden_systems[f"asl/{batch}/logits"], golden_systems[f"asl/{batch}/labels"]
    knobs = dict(CASES[case.removeprefix("optimized_")])
    if case == "optimized_default":
        knobs["detached"] = False  # its default is another
    for dtype, suffix, tolerance in (
        (torch.float64, "_f64", 1e-10),
        (torch.float32, "", 2e-3 if batch == "C20x" else 1e-6),
    ):
        known = 2 * tensor(labels, dtype) - 1
        value, gradient = with_gradient(lambda z, k=known: asymmetric(z, k, **knobs).sum(), tensor(logits, dtype))
        np.testing.assert_allclose(value, golden_systems[f"asl/{batch}/{case}/loss{suffix}"], rtol=tolerance)
        moderate = np.abs(logits) < 15
        recorded = golden_systems[f"asl/{batch}/{case}/grad_logits{suffix}"]
        agrees(gradient[moderate], recorded[moderate], tolerance, case)


@pytest.mark.parametrize("batch", ["C6", "C20p10", "C20p50x", "C5none"])
@pytest.mark.parametrize("case", PARTIAL)
def test_over_known_entries_it_is_that_of_the_published_code(golden_systems, batch, case):
    group = f"hcp_asl/{batch}"
    logits, labels = golden_systems[f"{group}/logits"], golden_systems[f"{group}/labels"]
    forms = {case: torch.mean} | ({"default_sum": torch.sum} if case == "default" else {})
    for form, reduce in forms.items():
        for dtype, suffix, tolerance in (
            (torch.float64, "_f64", 1e-12),
            (torch.float32, "", 2e-3 if batch == "C20p50x" else 1e-6),
        ):
            loss = lambda z, d=dtype, r=reduce: r(asymmetric(z, tensor(labels, d), **PARTIAL[case]))  # noqa: E731
            value, gradient = with_gradient(loss, tensor(logits, dtype))
            np.testing.assert_allclose(
                value, golden_systems[f"{group}/{form}/loss{suffix}"], rtol=tolerance, atol=1e-12
            )
            moderate = np.abs(logits) < 15
            agrees(gradient[moderate], golden_systems[f"{group}/{form}/grad_logits{suffix}"][moderate], tolerance, form)
    if case == "default":
        of_each = asymmetric(tensor(logits, torch.float64), tensor(labels, torch.float64))
        agrees(of_each, golden_systems[f"{group}/default_elementwise/loss_f64"], 1e-12)


def test_it_is_the_mean_over_known_entries_and_an_unknown_nan_is_not_hidden():
    known = np.array([[1, 0, -1], [0, 0, 0], [0, 1, 0]])
    system, rows = Asl(seen(known)), torch.arange(3)
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    whole = asymmetric(logits, torch.from_numpy(known)).sum()
    assert torch.allclose(system.loss(rows, logits), whole / 3)
    assert float(system.loss(rows[1:2], logits[1:2])) == 0
    assert system.rows().all()
    logits[1, 1] = torch.nan
    assert system.loss(rows, logits).isnan()


def test_without_focus_and_clip_it_is_bce_over_the_known_entries():
    logits = 3 * torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    known = torch.tensor([1, 0, -1, 1, -1]).expand(4, 5)
    plain = asymmetric(logits, known, 0.0, 0.0, 0.0).sum() / (known != 0).sum()
    assert torch.allclose(plain, known_bce(logits, known.double()))
