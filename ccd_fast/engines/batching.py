"""Any number of rows through something that always sees the same number."""

from collections.abc import Callable

import torch


def in_fixed_batches(
    rows: torch.Tensor, batch_size: int, run: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Put rows through ``run`` in batches of exactly ``batch_size``, padding the last one with zeros.

    Args:
        rows: (M, …), M may be 0.
        batch_size: B.
        run: maps (B, …) to (B, D).

    Returns:
        (M, D).
    """
    outputs = []
    for batch in torch.split(rows, batch_size):
        missing = batch_size - len(batch)
        padding = batch.new_zeros((missing, *batch.shape[1:]))
        outputs.append(run(torch.cat([batch, padding]) if missing else batch))
    return torch.cat(outputs)[: len(rows)]
