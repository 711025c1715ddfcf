"""Ranges on a profiler's timeline: what the host is at while a GPU works; nothing where nobody looks.

Nsight Systems shows them as NVTX ranges, PyTorch's profiler as its own.
"""

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.autograd import profiler

SESSION = "NSYS_PROFILING_SESSION_ID"
"""Set by Nsight Systems in the programs that it starts."""
WANTED = "CCD_NVTX"
"""Set to 1 under another tool that reads NVTX, such as Nsight Compute, and to 0 for no ranges."""
NOTHING: AbstractContextManager[None] = nullcontext()


def is_read() -> bool:
    """Tell whether NVTX ranges are wanted in this process, and can be had of this torch."""
    wanted = os.environ.get(WANTED, "1" if os.environ.get(SESSION) else "0")
    return wanted not in ("", "0") and hasattr(torch._C, "_nvtx")


IS_READ = is_read()
"""Asked once: a range costs nothing where there is none."""


def shown(stage: str, part: str) -> AbstractContextManager[object]:
    """Show a block on the timeline of whoever profiles this process, as ``stage: part``."""
    if profiler._is_profiler_enabled:
        return profiler.record_function(f"{stage}: {part}")
    return torch.cuda.nvtx.range(f"{stage}: {part}") if IS_READ else NOTHING
