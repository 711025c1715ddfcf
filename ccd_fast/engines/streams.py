"""Calls on a GPU: fixed buffers, and a stream of their own that keeps its place in the caller's."""

from collections.abc import Callable

import torch


class FixedCall:
    """Runs something that reads and writes fixed buffers, as captured graphs and bound addresses need it.

    It runs on a stream that is not the default one, after what the caller's stream has queued and before what it
    queues next; the host waits for neither.
    """

    def __init__(self, batch_size: int, image_size: int, width: int, device: str) -> None:
        """Allocate the buffers: (B, S, S, 3) uint8 pixels, (B, D) float32 embeddings."""
        self.device = torch.device(device)
        self.pixels = torch.zeros((batch_size, image_size, image_size, 3), dtype=torch.uint8, device=self.device)
        self.embeddings = torch.empty((batch_size, width), device=self.device)
        self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.launch: Callable[[], object] = lambda: None

    def capture(self) -> None:
        """Turn ``launch`` into the replay of a CUDA graph; it must have run once before."""
        graph = torch.cuda.CUDAGraph()
        self.stream.synchronize()
        with torch.cuda.graph(graph, stream=self.stream):
            self.launch()
        self.launch = graph.replay

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
