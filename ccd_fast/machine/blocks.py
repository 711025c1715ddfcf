"""The rows of a long table, some at a time: whatever walks over all of them takes memory for a block alone."""

from collections.abc import Iterator

NUMBERS = 2**23
"""Numbers of a block: 32 MB of float32, which is long enough for one call and short beside any machine's memory."""


def blocks(rows: range, width: int) -> Iterator[slice]:
    """Cut contiguous rows of so many numbers each into blocks, in their order; of no row there is none."""
    size = max(NUMBERS // max(width, 1), 1)
    for start in range(rows.start, rows.stop, size):
        yield slice(start, min(start + size, rows.stop))
