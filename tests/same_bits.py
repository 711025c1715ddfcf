"""What two runs that ended alike have in common, to the bit."""

from pathlib import Path
from typing import Any

import torch

from ccd_fast.runs.folder import RunFolder

OFTEN = "train.save_minutes=0.00000001"
"""A checkpoint after every batch."""


def remains(out: Path) -> dict[str, Any]:
    """Give all that must be the same: weights, optimiser, labels, metrics."""
    state = RunFolder(out).load_state()
    return {name: state[name] for name in ("student", "trainer", "labels", "tau", "agreement", "metrics", "test_maps")}


def assert_equal(ours: Any, theirs: Any) -> None:
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert_equal(value, theirs[name])
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs)
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_equal(a, b)
    else:
        assert ours == theirs or (ours != ours and theirs != theirs)  # NaN
