"""The process that decodes for another one: what ends it ends no run. It imports no torch.

It gets the encoded files of a batch through one file in memory, and gives the pixels through others; what is said
about them goes over a connection. It ends when the connection does, so that it outlives nobody.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccd_fast.views.bad_samples import at_once, decode_each
from ccd_fast.views.decode_one import decode_one
from ccd_fast.views.header import Header

READY = "ready"
LONGEST = 1800
"""Seconds after which a batch ends the process by itself: what hangs would not hear that nobody waits any more."""

Picture = NDArray[np.uint8]


class Task(NamedTuple):
    """One file of a batch.

    Attributes:
        offset: of its bytes among those of the batch.
        size: in bytes.
        by: who is to decode it.
        header: what is known of it.
    """

    offset: int
    size: int
    by: Literal["dali", "pillow"]
    header: Header


class Done(NamedTuple):
    """One decoded file.

    Attributes:
        offset: of its pixels among those of the batch.
        height: in pixels.
        width: in pixels.
    """

    offset: int
    height: int
    width: int


class Batch(NamedTuple):
    """What is asked for.

    Attributes:
        tasks: the files.
        size: bytes of all files.
        slab: the place of the file in memory that takes the pixels.
        max_megapixels: more pixels, in 10^6, are refused.
    """

    tasks: list[Task]
    size: int
    slab: int
    max_megapixels: float


Answer = Done | str | None
"""The pixels, a reason, or nothing where DALI refuses a file."""


def main(connection: int, encoded: int, slabs: Sequence[int]) -> None:
    """Decode batch after batch until nobody is at the other end of the connection.

    Args:
        connection: file descriptor on which the number of threads comes first, of DALI and of Pillow; then batches
            come and answers go.
        encoded: file descriptor of the encoded files.
        slabs: file descriptors for pixels.
    """
    sys.modules["torch"] = None  # type: ignore[assignment]  # DALI loads it where it finds it, and does without
    _load_dali()
    other_end: Connection[Any, Any] = Connection(connection)
    try:
        threads: int = other_end.recv()
    except (EOFError, OSError):
        return
    pool = ThreadPoolExecutor(threads)
    read = np.empty(0, dtype=np.uint8)
    with other_end, _dali(threads) as decode_batch:
        other_end.send(READY)
        while True:
            signal.alarm(0)
            try:
                batch: Batch = other_end.recv()
            except (EOFError, OSError):
                return
            signal.alarm(LONGEST)
            if len(read) < batch.size:
                read = np.empty(batch.size, dtype=np.uint8)
            filled = 0
            while filled < batch.size:
                filled += os.preadv(encoded, [read[filled : batch.size].data], filled)
            try:
                other_end.send(_decoded(batch, read, decode_batch, at_once(threads), pool, slabs[batch.slab]))
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    return
                other_end.send(error)


def _decoded(
    batch: Batch,
    read: Picture,
    decode_batch: Callable[[list[Any]], list[Picture]],
    most: int,
    pool: ThreadPoolExecutor,
    slab: int,
) -> list[Answer]:
    """Decode a batch, and write its pixels behind each other; part by part, so that few lie in memory twice."""
    answers: list[Answer] = [None] * len(batch.tasks)
    offset = 0

    def keep(place: int, pixels: Picture) -> None:
        nonlocal offset
        content = np.ascontiguousarray(pixels).reshape(-1).data
        written = 0
        while written < len(content):
            written += os.pwrite(slab, content[written:], offset + written)
        answers[place] = Done(offset, *pixels.shape[:2])
        offset += len(content)

    def of_pillow(place: int) -> Picture | str:
        task = batch.tasks[place]
        found = decode_one(_bytes_of(task, read), task.header, batch.max_megapixels)
        return found if isinstance(found, str) else np.asarray(found)

    of_dali = [place for place, task in enumerate(batch.tasks) if task.by == "dali"]
    for start in range(0, len(of_dali), most):
        part = of_dali[start : start + most]
        decoded = decode_each([_bytes_of(batch.tasks[place], read) for place in part], decode_batch, most)
        for place, picture in zip(part, decoded, strict=True):
            if picture is not None:
                keep(place, picture)
    others = [place for place, task in enumerate(batch.tasks) if task.by == "pillow"]
    for place, found in zip(others, pool.map(of_pillow, others), strict=True):
        if isinstance(found, str):
            answers[place] = found
        else:
            keep(place, found)
    return answers


def _bytes_of(task: Task, read: Picture) -> Picture:
    return read[task.offset : task.offset + task.size]


def _load_dali() -> None:
    import nvidia.dali.experimental.dynamic  # noqa: F401  takes a second or two


@contextmanager
def _dali(threads: int) -> Iterator[Callable[[list[Any]], list[Picture]]]:
    """Open DALI on the host, for the thread that enters, and give what decodes a batch."""
    import nvidia.dali.experimental.dynamic as dali
    from nvidia.dali import types

    how = {"device": "cpu", "output_type": types.RGB, "jpeg_fancy_upsampling": True}

    def decode_batch(encoded: list[Any]) -> list[Picture]:
        decoded = dali.decoders.image(dali.as_batch(encoded), **how)
        return [np.asarray(tensor) for tensor in tensors_of(decoded.evaluate())]

    # Without the mode each call would be handed to another thread, and waited for.
    with dali.EvalContext(num_threads=threads), dali.EvalMode.sync_cpu:
        yield decode_batch


def tensors_of(batch: Any) -> list[Any]:
    """Give the tensors of an evaluated batch of DALI.

    A batch of DALI 2.4 keeps the tensors that it gave, and each of them keeps the batch. Such a ring stays in memory
    until Python's collector looks at its oldest objects, thousands of photographs later: so the batch forgets them.
    """
    tensors = [tensor.evaluate() for tensor in batch.tensors]
    batch._tensors = None
    return tensors
