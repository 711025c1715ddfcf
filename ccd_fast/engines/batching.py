"""Any number of rows through something that always sees the same number."""

from collections.abc import Callable, Iterator

import torch


def padded_batches(rows: torch.Tensor, batch_size: int) -> Iterator[torch.Tensor]:
    """Cut rows into batches of exactly ``batch_size``, the last one padded with zeros; no row is one batch of zeros.

    Args:
        rows: (M, …), M may be 0.
        batch_size: B.
    """
    for batch in torch.split(rows, batch_size):
        missing = batch_size - len(batch)
        padding = batch.new_zeros((missing, *batch.shape[1:]))
        yield torch.cat([batch, padding]) if missing else batch


def in_fixed_batches(rows: torch.Tensor, batch_size: int, run: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Put rows through ``run`` in batches of exactly ``batch_size``, padding the last one with zeros.

    Args:
        rows: (M, …), M may be 0.
        batch_size: B.
        run: maps (B, …) to (B, D).

    Returns:
        (M, D).
    """
    return torch.cat([run(batch) for batch in padded_batches(rows, batch_size)])[: len(rows)]
