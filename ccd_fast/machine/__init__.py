"""The machine: devices, streams, memory, processes that share a run, and what of the hub is here.

Imports the ground only: errors, prompts, randomness.
"""

from ccd_fast.machine.device_streams import Lane, Lent, on_stream_for, stream_for
from ccd_fast.machine.devices import check_device, choose_device
from ccd_fast.machine.facts import describe, keep_freed_memory
from ccd_fast.machine.ranks import ALONE, Ranks
from ccd_fast.machine.within_memory import WithinMemory, free_cached, say_on_stderr

__all__ = [
    "ALONE",
    "Lane",
    "Lent",
    "Ranks",
    "WithinMemory",
    "check_device",
    "choose_device",
    "describe",
    "free_cached",
    "keep_freed_memory",
    "on_stream_for",
    "say_on_stderr",
    "stream_for",
]
