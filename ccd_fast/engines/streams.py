"""Calls on a GPU: fixed buffers, and a stream of their own that keeps its place in the caller's."""

from collections.abc import Callable

import torch

from ccd_fast.errors import UserError
from ccd_fast.machine import say_on_stderr


class FixedCall:
    """Runs something that reads and writes fixed buffers, as captured graphs and bound addresses need it.

    It runs on a stream that is not the default one, after what the caller's stream has queued and before what it
    queues next; the host waits for neither.

    Attributes:
        replays: whether ``launch`` replays a captured CUDA graph.
    """

    def __init__(self, batch_size: int, image_size: int, width: int, device: str) -> None:
        """Allocate the buffers: (B, S, S, 3) uint8 pixels, (B, D) float32 embeddings."""
        self.device = torch.device(device)
        self.pixels = torch.zeros((batch_size, image_size, image_size, 3), dtype=torch.uint8, device=self.device)
        self.embeddings = torch.empty((batch_size, width), device=self.device)
        self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.launch: Callable[[], object] = lambda: None
        self.replays = False

    def capture(self) -> None:
        """Turn ``launch`` into the replay of a CUDA graph; it must have run once before."""
        graph = torch.cuda.CUDAGraph()
        self.stream.synchronize()
        with torch.cuda.graph(graph, stream=self.stream):
            self.launch()
        self.launch = graph.replay

    def launch_times(self, runs: int) -> None:
        """Launch again and again on what the buffers hold, in the caller's order: what it costs without the moving."""
        callers = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(callers)
        with torch.cuda.stream(self.stream):
            for _ in range(runs):
                self.launch()
        callers.wait_stream(self.stream)

    def warm_up(self, runs: int) -> None:
        """Run on black pictures and wait: what is set up, or captured, at the first runs must not be so in a pass."""
        for _ in range(runs):
            self(torch.zeros_like(self.pixels))
        torch.cuda.synchronize(self.device)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Run one batch, (B, S, S, 3) uint8 on the device: (B, D) float32."""
        callers = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(callers)
        with torch.cuda.stream(self.stream):
            self.pixels.copy_(batch)
            self.launch()
            embeddings = self.embeddings.clone()
        batch.record_stream(self.stream)
        embeddings.record_stream(callers)
        callers.wait_stream(self.stream)
        return embeddings


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
