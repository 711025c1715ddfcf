"""A network that asks for more memory than the device has gets fewer rows at a time."""

from collections.abc import Callable
from typing import Any

import torch

from ccd_fast.errors import RunError
from ccd_fast.machine.saying import say_on_stderr


class WithinMemory:
    """Calls a network, whose rows do not depend on each other, on as many of them as fit into memory.

    Attributes:
        rows: how many that is; None while all of them have fitted.
    """

    def __init__(self, call: Callable[[torch.Tensor], Any], what: str, say: Callable[[str], None] | None) -> None:
        """Wrap a call that maps (B, …) to a tensor, or a tuple of tensors, of B rows; ``what`` names it."""
        self.rows: int | None = None
        self._call = call
        self._what = what
        self._say = say or say_on_stderr

    def __call__(self, pixels: torch.Tensor) -> Any:
        """Call, in halves where memory runs out.

        Raises:
            RunError: it runs out on a single row.
        """
        while True:
            outputs = self._parts(pixels)
            if outputs is not None:
                break
            free_cached(pixels.device)
            self.rows = max(1, min(self.rows or len(pixels), len(pixels)) // 2)
            self._say(f"out of memory: {self._what} takes {self.rows} pictures at a time from here on")
        if len(outputs) == 1:
            return outputs[0]
        if isinstance(outputs[0], torch.Tensor):
            return torch.cat(outputs)
        return tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))

    def _parts(self, pixels: torch.Tensor) -> list[Any] | None:
        """Give the output of each part; None where memory ran out."""
        try:
            return [self._call(part) for part in torch.split(pixels, self.rows or max(len(pixels), 1))]
        except torch.OutOfMemoryError as error:
            if min(self.rows or len(pixels), len(pixels)) <= 1:
                raise RunError(f"out of memory on {pixels.device}: {self._what} does not fit one picture") from error
            return None


def free_cached(device: torch.device) -> None:
    """Give memory that torch holds and nothing uses back to a GPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
