"""What the tests of the systems share: arrays as tensors, and losses with their gradients."""

import numpy as np
import torch

from ccd_fast.systems.system import Seen


def tensor(array, dtype=torch.float32):
    return torch.from_numpy(np.asarray(array)).to(dtype)


def with_gradient(loss, at):
    """The value of a loss, and its gradient at some point."""
    at = at.clone().requires_grad_()
    value = loss(at)
    value.backward()
    return value.detach().numpy(), at.grad.numpy()


def agrees(ours, recorded, tolerance, err=""):
    np.testing.assert_allclose(ours, recorded, rtol=tolerance, atol=tolerance, err_msg=err)


def seen(known, **knobs):
    """What a system is told, of a small made-up training."""
    whole = {"soft": None, "readable": torch.ones(len(known), dtype=torch.bool), "positives": 1.5, "rejection": 0.005}
    whole |= {"epochs": 10, "steps": 4, "learning_rate": 1e-3, "seed": 0}
    return Seen(known=np.asarray(known, dtype=np.int8), **{**whole, **knobs})


NAMES = {
    "changeChannel": "change",
    "SemanticDecoupling": "attention",
    "GraphNeuralNetwork": "graph",
    "fc_1_w": "update_w",
    "fc_1_u": "update_u",
    "fc_2_w": "reset_w",
    "fc_2_u": "reset_u",
    "fc_3_w": "state_w",
    "fc_3_u": "state_u",
    "intra_fc_1": "pair_1",
    "intra_fc_2": "pair_2",
    "intra_fc_3": "pair_3",
    "intra_classifiers": "pair_classifiers",
}
"""The published code's names of the head's parts, with ours."""


def ours(name):
    """Our name of a weight."""
    return ".".join(NAMES.get(part, part) for part in name.split("."))


def weights(golden, group, dtype=torch.float32):
    """The weights of a group, by our names."""
    found = {key.removeprefix(f"{group}/"): golden[key] for key in golden if key.startswith(f"{group}/")}
    return {ours(name): tensor(array, dtype) for name, array in found.items() if "Matrix" not in name}


def gradients_agree(golden, group, module, tolerance, suffix=""):
    """Compare the gradients that were recorded with a module's."""
    parameters = dict(module.named_parameters())
    found = [key.removeprefix(f"{group}/") for key in golden if key.startswith(f"{group}/")]
    checked = 0
    for name in found:
        plain = name.removesuffix("_f64")
        if (name != plain) != bool(suffix) or plain.endswith("fc4.bias"):  # whose gradient is 0 but for rounding
            continue
        recorded = golden[f"{group}/{name}"]
        scale = max(1.0, float(np.abs(recorded).max()))
        agrees(parameters[ours(plain)].grad.numpy() / scale, recorded / scale, tolerance, name)
        checked += 1
    assert checked, group


class Recorded:
    """Draws that were recorded, in their order; see :class:`ccd_fast.systems.contrastive.Draws`."""

    def __init__(self, golden, group, suffix=""):
        def all_of(name):
            found = [key for key in golden if key.startswith(f"{group}/{name}_{suffix}")]
            return [golden[key] for key in sorted(found, key=lambda key: int(key.split("_")[-1]))]

        self.left = {name: all_of(name) for name in ("randperm", "randint", "rand")}

    def permutation(self, count):
        order = self.left["randperm"].pop(0)
        assert len(order) == count
        return tensor(order, torch.int64)

    def index(self, count):
        found = int(self.left["randint"].pop(0).squeeze())
        assert found < count
        return found

    def uniform(self, shape):
        found = tensor(self.left["rand"].pop(0))
        assert found.shape == shape
        return found
