"""The student's last layer begins as the ridge regression of the first labels on its backbone's features."""

import numpy as np
import torch

from ccd_fast.training.first_head import RIDGE, left_out, ridge_regression


def examples(count: int = 60, features: int = 7, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 2 + torch.randn((count, features), generator=generator) * torch.arange(1, features + 1)
    return x, x @ torch.randn((features, classes), generator=generator) + 5 + torch.randn((count, classes))


def test_the_solution_is_that_of_least_squares_with_the_ridge_as_rows_of_examples() -> None:
    x, y = examples()
    weights, biases = ridge_regression(x, y, ridge=0.3)
    centred = (x - x.mean(dim=0)).double().numpy()
    root = np.sqrt(0.3 * centred.var(axis=0).mean() * len(x))
    rows = np.concatenate([centred, root * np.eye(x.shape[1])])
    targets = np.concatenate([(y - y.mean(dim=0)).double().numpy(), np.zeros((x.shape[1], y.shape[1]))])
    wanted = np.linalg.lstsq(rows, targets, rcond=None)[0]
    assert np.allclose(weights.numpy(), wanted.T, atol=1e-5)
    assert np.allclose((x.mean(dim=0) @ weights.T + biases).numpy(), y.mean(dim=0).numpy(), atol=1e-4)


def test_features_that_never_change_have_no_weight() -> None:
    y = torch.rand((4, 3))
    weights, biases = ridge_regression(torch.ones((4, 2)), y)
    assert weights.abs().max() < 1e-6 and torch.allclose(biases, y.mean(dim=0))


def test_what_is_left_out_is_foretold_by_the_head_of_all_others() -> None:
    x, y = examples()
    found = left_out(x, y)
    for row in (0, 17, 59):
        others = torch.arange(len(x)) != row
        all_of_it, rest = (len(part) * part.var(dim=0, correction=0).mean() for part in (x, x[others]))
        weights, biases = ridge_regression(x[others], y[others], ridge=RIDGE * float(all_of_it / rest))
        assert torch.allclose(found[row], x[row] @ weights.T + biases, atol=1e-3)
