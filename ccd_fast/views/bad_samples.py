"""A batch of which some samples cannot be decoded: they are found, and the others are decoded without them."""

import re
from collections.abc import Callable, Sequence
from typing import Any

_FAILED_SAMPLE = re.compile(r"sample #(\d+)")
"""How DALI names the sample that it could not decode; it does so in some errors only."""


def decode_each(
    encoded: Sequence[Any], decode_batch: Callable[[list[Any]], list[Any]], at_once: int
) -> list[Any | None]:
    """Decode files by DALI, one bad sample of which fails its whole batch.

    The others are decoded again in two parts: before and behind the bad one where DALI says which it is, else in halves
    until it is found.

    Args:
        encoded: M files.
        decode_batch: decodes some of them, or raises ``RuntimeError``: DALI has no narrower class for it.
        at_once: most files of a batch.

    Returns:
        M pictures; None for what cannot be decoded.
    """
    if len(encoded) > at_once:
        parts = [encoded[start : start + at_once] for start in range(0, len(encoded), at_once)]
        return [picture for part in parts for picture in decode_each(part, decode_batch, at_once)]
    try:
        return [*decode_batch(list(encoded))] if encoded else []
    except RuntimeError as error:
        named = _FAILED_SAMPLE.search(str(error))
    if len(encoded) == 1:
        return [None]
    bad = int(named[1]) % len(encoded) if named else len(encoded) // 2  # on a GPU files stand in it more than once
    behind = bad + 1 if named else bad
    before = decode_each(encoded[:bad], decode_batch, at_once)
    return [*before, *([None] if named else []), *decode_each(encoded[behind:], decode_batch, at_once)]


def at_once(threads: int) -> int:
    """Give how many files DALI 2.4 may decode at once where one of them may be damaged.

    Beyond this number its decoder shares the reading of headers among its threads. A header that cannot be read then
    leaves the others at work on what is gone already, and ends the process with SIGABRT or SIGSEGV.
    """
    return 4 * (threads + 1)
