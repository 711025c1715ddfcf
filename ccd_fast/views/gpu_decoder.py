"""How a GPU decodes JPEGs through DALI: which of its two decoders takes a file, in what batches, with what memory.

A file's pixels must be a property of the file. The decoder in hardware (NVJPG) and the one on the multiprocessors round
differently, so which of them takes a file must depend neither on the others of its batch nor on earlier batches.
"""

import os
from typing import Any

from ccd_fast.errors import UserError
from ccd_fast.views.files import Encoded

HW_DECODER_LOAD = 1.0
"""Share of a batch's JPEGs that the decoder in hardware takes, of those that it can: all of them (1) or none (0).

In between, it takes the first so many of the batch, sorted by colour subsampling and size. All is the choice because
the other decoder takes multiprocessors from the networks.
"""

HW_DECODER_LOAD_BY = "CCD_HW_DECODER_LOAD"
"""Environment variable that sets another share, to measure it."""

THREADS = 7
"""Most threads of the host beside it: they read headers, and decode what the GPU cannot. 7 make batches of 32."""

LEAST_AT_ONCE = 8
"""It gets no fewer files at once: few sizes of batches make few decoders, each of which has memory of its own."""

MEMORY = {"device_memory_padding": 4 * 2**20, "host_memory_padding": 2 * 2**20}
"""Bytes that a decoder sets aside for each thread, on the host twice; it takes more where a picture needs more."""


def arguments() -> dict[str, Any]:
    """Give the decoder's arguments.

    Its threads are not tied to cores: the decoders of two processes would tie theirs to the same ones.

    Raises:
        UserError: the environment sets a share that is not a number from 0 to 1.
    """
    return {"device": "gpu", "hw_decoder_load": _load(), "affine": False, **MEMORY}


def most_at_once(safe: int) -> int:
    """Give the largest power of two that is not above ``safe``."""
    return 1 << (safe.bit_length() - 1)


def filled_up(encoded: list[Encoded]) -> list[Encoded]:
    """Repeat the files of a batch until there are as many as a power of two.

    DALI keeps a decoder for each power of two, and its library (nvImageCodec) lets the first batch that a decoder gets
    say how many files the hardware takes of every later one, whatever the load. So all batches of a decoder have one
    size: else a larger one would be shared between the two, and a file's pixels would depend on its neighbours.
    """
    size = max(LEAST_AT_ONCE, 1 << (len(encoded) - 1).bit_length())
    return [encoded[index % len(encoded)] for index in range(size)]


def _load() -> float:
    given = os.environ.get(HW_DECODER_LOAD_BY, str(HW_DECODER_LOAD))
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UserError(f"{HW_DECODER_LOAD_BY}={given}: must be a number from 0 to 1; without it, {HW_DECODER_LOAD:g}")
    return share
