"""Work ahead: the next batches are decoded while the present one is in use."""

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from ccd_fast.machine import Lent, stream_for

T = TypeVar("T")

CPU = torch.device("cpu")


def works_ahead(device: torch.device) -> bool:
    """Tell whether pictures are made while a network looks at others: not on a CPU, where both want the same cores.

    A relabel pass does so everywhere: its engine waits for less.
    """
    return device.type == "cuda"


class _End:
    """Comes behind the last item; carries what the producer raised, if anything."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Handover:
    """Hands what is made on the producer's stream to the consumer's; on a CPU it does nothing.

    The consumer may use an item on the stream that is its current one when it takes the item and asks for the next.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._lent = Lent(device)
        self._stream: Any = None
        if device.type == "cuda":
            self._stream = stream_for("ahead", device)
            self._stream.wait_stream(torch.cuda.current_stream(device))

    @contextmanager
    def making(self) -> Iterator[None]:
        """Be the producer: its work goes to a stream of its own."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield

    def made(self) -> Any:
        """Mark where on the producer's stream an item is ready."""
        if self._stream is None:
            return None
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record(self._stream)
        return ready

    def take(self, ready: Any) -> None:
        """Let the consumer's stream wait for an item; the host does not."""
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_event(ready)

    def give_back(self, item: object) -> None:
        """Keep an item that the consumer is done with on the host until it is so on its stream, too."""
        self._lent.keep(item)

    def settle(self) -> None:
        """Wait until the consumer's stream is done with all items."""
        self._lent.settle()


def prefetched(items: Iterable[T], depth: int, device: torch.device = CPU) -> Generator[T, None, None]:
    """Run an iterable in a thread of its own, up to ``depth`` items ahead of the consumer.

    What the producer raises is raised here, behind the items that came before it. When the consumer stops early, by
    ``close()``, by ``break``, or by an exception, the producer stops after the item that it is at, a generator is
    closed in its own thread, and no thread is left when this generator has ended. torch's modes (``inference_mode``)
    are those of a thread: the producer does not inherit the consumer's. On a GPU it has a stream of its own, and the
    consumer's stream waits for each item as it takes it.

    Args:
        items: produces; it is iterated in the other thread only, which starts with the first item asked for.
        depth: items that may wait, at least 1; one more may be in the making.
        device: where the items are made.

    Yields:
        The items, in order.

    Raises:
        ValueError: ``depth`` is less than 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, not {depth}")
    waiting: queue.Queue[tuple[T, Any] | _End] = queue.Queue(depth)
    stop = threading.Event()
    handover = _Handover(device)

    def produce() -> None:
        end = _End(None)
        try:
            with handover.making():
                for item in items:
                    waiting.put((item, handover.made()))
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
        while not isinstance(found := waiting.get(), _End):
            item, ready = found
            handover.take(ready)
            yield item
            handover.give_back(item)
        if found.error is not None:
            raise found.error
        handover.settle()
    finally:
        stop.set()
        while not waiting.empty():  # a producer that waits for room goes on, sees the sign, and ends
            waiting.get_nowait()
        producer.join()
