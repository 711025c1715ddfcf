"""The machine: devices, streams, memory, processes that share a run, and what of the hub is here.

Imports the ground only: errors, prompts, randomness. Names are handed on
when they are asked for.
"""

from typing import TYPE_CHECKING

from ccd_fast.handing import handed_on

if TYPE_CHECKING:
    from ccd_fast.machine.device_names import refuse_at_once
    from ccd_fast.machine.device_streams import Lane, Lent, on_stream_for, stream_for
    from ccd_fast.machine.devices import check_device, choose_device
    from ccd_fast.machine.facts import describe, keep_freed_memory
    from ccd_fast.machine.in_the_making import folder_in_the_making
    from ccd_fast.machine.ranks import ALONE, Ranks
    from ccd_fast.machine.saying import say_on_stderr, say_once_on_stderr
    from ccd_fast.machine.within_memory import WithinMemory, free_cached

__all__ = [
    "ALONE",
    "Lane",
    "Lent",
    "Ranks",
    "WithinMemory",
    "check_device",
    "choose_device",
    "describe",
    "folder_in_the_making",
    "free_cached",
    "keep_freed_memory",
    "on_stream_for",
    "refuse_at_once",
    "say_on_stderr",
    "say_once_on_stderr",
    "stream_for",
]

WHERE = {
    "device_streams": (
        "Lane",
        "Lent",
        "on_stream_for",
        "stream_for",
    ),
    "device_names": ("refuse_at_once",),
    "devices": (
        "check_device",
        "choose_device",
    ),
    "facts": (
        "describe",
        "keep_freed_memory",
    ),
    "in_the_making": ("folder_in_the_making",),
    "ranks": (
        "ALONE",
        "Ranks",
    ),
    "within_memory": (
        "WithinMemory",
        "free_cached",
    ),
    "saying": ("say_on_stderr", "say_once_on_stderr"),
}
__getattr__ = handed_on(__name__, WHERE)
