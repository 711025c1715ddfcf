"""What a pass can be run with and without, where this ccd_fast has it: asked of the code, not of its version."""

import os
import typing
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from card.ledger import LeftOut
from ccd_fast.machine import device_streams
from ccd_fast.recipes.knobs import ViewKnobs
from ccd_fast.student import Reading

PRIORITY = "CCD_STREAM_PRIORITY"
"""Environment variable: 0 gives all streams the same priority."""
MAPS = "maps"
"""Value of ``views.choice``: the teacher's own maps in place of crops."""


@contextmanager
def priorities(wanted: bool, device: str) -> Iterator[None]:
    """Let the streams that make what others wait for go first, or not.

    Raises:
        LeftOut: there are no streams, or this ccd_fast does so by itself, or has no such switch.
    """
    if not device.startswith("cuda"):
        raise LeftOut("streams are a card's")
    before, by_itself = os.environ.get(PRIORITY), _have_priorities(device)
    if wanted == by_itself:
        raise LeftOut("so it is without being told: see the first")
    os.environ[PRIORITY] = str(int(wanted))
    _forget_streams()
    try:
        if _have_priorities(device) != wanted:
            raise LeftOut(f"this ccd_fast does not heed {PRIORITY}")
        yield
    finally:
        os.environ.pop(PRIORITY) if before is None else os.environ.update({PRIORITY: before})
        _forget_streams()


def _have_priorities(device: str) -> bool:
    return bool(device_streams.stream_for("pass", torch.device(device)).priority < 0)


def _forget_streams() -> None:
    forget = getattr(device_streams._stream, "cache_clear", None)
    if forget is not None:
        forget()


@contextmanager
def load_batch(count: int) -> Iterator[None]:
    """Decode so many photographs at a time in a pass.

    Raises:
        LeftOut: this ccd_fast sets it elsewhere.
    """
    before = vars(Reading).get("batch_size")
    if before is None:
        raise LeftOut("this ccd_fast has no Reading.batch_size that could be set")
    Reading.batch_size = count  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Reading.batch_size = before  # type: ignore[method-assign]


def has_maps() -> bool:
    """Tell whether a pass can take the teacher's maps in place of crops."""
    return MAPS in typing.get_args(ViewKnobs.model_fields["choice"].annotation)
