"""Calls of a fixed shape: fixed buffers, and on a GPU a stream of their own that keeps its place in the caller's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ccd_fast.errors import UserError
from ccd_fast.machine import say_on_stderr


class FixedCall:
    """Runs something that reads and writes fixed buffers, as captured graphs, bound addresses and guards need it.

    On a GPU it runs on a stream that is not the default one, after what the caller's stream has queued and before what
    it queues next; the host waits for neither. To whoever calls it is like an operator of torch: the batch is read, and
    the embeddings belong, on the caller's stream. A batch whose memory is not torch's own (DALI's, by DLPack) must
    outlive its reading on that stream, as with any operator; ``record_stream`` would not keep it.

    Attributes:
        pixels: (B, S, S, 3) uint8, which ``launch`` reads. It is the same tensor at every call, and not one of
            inference mode, so that what torch compiled for it is never compiled again.
        embeddings: (B, D) float32, which ``launch`` writes.
        stream: that it runs on; None on a CPU.
        launch: what is run.
        replays: whether ``launch`` replays a captured CUDA graph.
    """

    def __init__(self, batch_size: int, image_size: int, width: int, device: str) -> None:
        """Allocate the buffers for B pictures of side S and D-dimensional embeddings."""
        self.device = torch.device(device)
        with torch.inference_mode(mode=False):
            self.pixels = torch.zeros((batch_size, image_size, image_size, 3), dtype=torch.uint8, device=self.device)
            self.embeddings = torch.empty((batch_size, width), device=self.device)
        self.stream = _own_stream(self.device)
        self.launch: Callable[[], object] = lambda: None
        self.replays = False
        self._captured: Callable[[], object] | None = None

    def capture(self) -> None:
        """Turn ``launch`` into the replay of a CUDA graph; it must have run once before.

        What was captured is kept: the graph goes on using the memory of all that ``launch`` refers to, such as the
        execution context of a TensorRT plan, and does not hold it itself.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            self.launch()
        self._captured, self.launch = self.launch, graph.replay

    def launch_times(self, runs: int) -> None:
        """Launch again and again on what the buffers hold, in the caller's order: what it costs without the moving."""
        with self._in_the_callers_order():
            for _ in range(runs):
                self.launch()

    def warm_up(self, runs: int) -> None:
        """Run on black pictures and wait: what is set up, or captured, at the first runs must not be so in a pass."""
        for _ in range(runs):
            self(torch.zeros_like(self.pixels))
        if self.stream is not None:
            torch.cuda.synchronize(self.device)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Run up to B rows, (M, S, S, 3) uint8 on the device, black pictures in place of the rest: (M, D) float32."""
        if self.stream is not None:  # the buffer is free once the last launch has read it
            torch.cuda.current_stream(self.device).wait_stream(self.stream)
        self.pixels[: len(batch)].copy_(batch)
        self.pixels[len(batch) :].zero_()
        embeddings = torch.empty_like(self.embeddings)  # here, so that it is the caller's stream that it goes back to
        with self._in_the_callers_order():
            self.launch()
            embeddings.copy_(self.embeddings)
        return embeddings[: len(batch)]

    @contextmanager
    def _in_the_callers_order(self) -> Iterator[None]:
        """Queue a block's work on the own stream, behind what the caller has queued; the caller goes on behind it."""
        if self.stream is None:
            yield
            return
        callers = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(callers)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            callers.wait_stream(self.stream)


def _own_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Make a stream, where the device has some; torch hands out 32 in turn, so that two of many may be one."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]


def replaying(open_call: Callable[[bool], FixedCall], wanted: bool, what: str) -> FixedCall:
    """Open a call that replays a CUDA graph; where none can be captured, say so, and open one that does not.

    Args:
        open_call: opens it anew, with a graph or without.
        wanted: whether a graph is wanted.
        what: names the call, for the message.

    Raises:
        UserError: it cannot be opened at all.
        RunError: likewise.
    """
    if wanted:
        try:
            call = open_call(True)
        except (UserError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # noqa: BLE001  each runtime has errors of its own
            lines = str(error).strip().splitlines() or [type(error).__name__]
            say_on_stderr(f"{what} runs without a CUDA graph, which is slower where batches are small: {lines[0]}")
        else:
            call.replays = True
            return call
    return open_call(False)
