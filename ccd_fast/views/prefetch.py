"""Work ahead: the next batches are decoded while the present one is in use."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


class _End:
    """Comes behind the last item; carries what the producer raised, if anything."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetched(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """Run an iterable in a thread of its own, up to ``depth`` items ahead of the consumer.

    What the producer raises is raised here, behind the items that came before it. When the consumer stops early, by
    ``close()``, by ``break``, or by an exception, the producer stops after the item that it is at, a generator is
    closed in its own thread, and no thread is left when this generator has ended. torch's modes (``inference_mode``)
    and its current CUDA stream are those of a thread: the producer does not inherit the consumer's.

    Args:
        items: produces; it is iterated in the other thread only, which starts with the first item asked for.
        depth: items that may wait, at least 1; one more may be in the making.

    Yields:
        The items, in order.

    Raises:
        ValueError: ``depth`` is less than 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, not {depth}")
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()

    def produce() -> None:
        end = _End(None)
        try:
            for item in items:
                waiting.put(item)
                if stop.is_set():
                    break
        except BaseException as error:  # noqa: BLE001  it is raised again where the consumer stands
            end = _End(error)
        try:
            if isinstance(items, Generator):
                items.close()
        except BaseException as error:  # noqa: BLE001
            end = end if end.error else _End(error)
        if not stop.is_set():
            waiting.put(end)

    producer = threading.Thread(target=produce, name="prefetch", daemon=True)
    producer.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        while not waiting.empty():  # a producer that waits for room goes on, sees the sign, and ends
            waiting.get_nowait()
        producer.join()
