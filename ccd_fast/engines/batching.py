"""Any number of rows through a runtime that always sees the same number."""

from collections.abc import Callable

import torch


def in_fixed_batches(
    pixels: torch.Tensor, batch_size: int, run: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Run rows through ``run`` in batches of exactly ``batch_size``, padding the last one with zeros.

    Args:
        pixels: (M, S, S, 3) uint8, M at least 1.
        batch_size: B.
        run: maps (B, S, S, 3) to (B, D).

    Returns:
        (M, D).
    """
    outputs = []
    for batch in pixels.split(batch_size):
        missing = batch_size - len(batch)
        if missing:
            batch = torch.cat([batch, batch.new_zeros((missing, *batch.shape[1:]))])
        outputs.append(run(batch))
    return torch.cat(outputs)[: len(pixels)]
