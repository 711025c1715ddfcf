"""Which parts there are, in which order, how long each may take, and which give way when time is short."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINUTES = 11.0
"""Of all calls together: a card is lent for 15, of which its start and the pieces take some."""
CALL_MINUTES = 9.5
"""Of one call: it may take 10, and what is written last must still come back."""
SHORTEST = 10.0
"""Seconds below which no part is begun."""
TINY_PATIENCE = 4.0
"""Times as long as on a card: a CPU of two cores compiles and imports more slowly."""

LIBRARY = ("msgspec", "filelock", "onnx", "onnxscript")
"""What importing anything of ccd_fast that opens an engine or a photograph takes beside torch."""
TEACHER = (*LIBRARY, "open_clip", "timm", "safetensors", "pydantic", "tomli", "tomli_w")
RUN = (*TEACHER, "pyarrow")

BROUGHT = {
    "open_clip": "open_clip_torch",
    "ftfy": "ftfy",
    "wcwidth": "wcwidth",
    "pydantic": "pydantic",
    "pydantic_core": "pydantic_core",
    "annotated_types": "annotated_types",
    "typing_inspection": "typing_inspection",
    "typing_extensions": "typing_extensions",
    "msgspec": "msgspec",
    "tomli": "tomli",
    "tomli_w": "tomli_w",
    "nvidia.dali": "nvidia_dali_cuda130",
}
"""Modules that a machine for cards lacks, and the wheels that bring them."""


@dataclass(frozen=True)
class Part:
    """One part of the work.

    Attributes:
        name: for people, and for ``--only``.
        module: of this folder; its function ``measure`` takes a :class:`card.setting.Setting`.
        limit: seconds after which it is stopped.
        needs: modules without which it is left out.
        must: others give way to it.
        spare: it is run only where all of its limit is left.
        anew: what comes after it wants a process of its own.
    """

    name: str
    module: str
    limit: float
    needs: tuple[str, ...] = ()
    must: bool = False
    spare: bool = False
    anew: bool = False


PARTS = (
    Part("install", "pieces", 50, must=True, anew=True),
    Part("what works here", "works_here", 20, ("torch",)),
    Part("rates of the card", "rates", 15, ("torch",), must=True),
    Part("kernels", "kernel_checks", 45, LIBRARY),
    Part("decoding", "decoding", 40, LIBRARY),
    Part("engines of the teacher", "teacher_engines", 130, TEACHER, must=True),
    Part("relabel passes", "relabel_passes", 150, RUN, must=True),
    Part("profile of a pass", "profile_pass", 30, RUN, must=True),
    Part("tests for a GPU", "gpu_tests", 100, ("pytest", "pytest_timeout", *RUN)),
    Part("training steps", "training_steps", 40, RUN),
    Part("sanitizer", "sanitizer", 40, RUN),
    Part("demo world, CPU and card", "demo_drift", 60, RUN, spare=True),
)
"""In their order. The engines, the passes and the profile share one teacher in one process and must not be lost; what
stands last is what is left out first: the demo world, the sanitizer, the training, the tests."""


def planned(tiny: bool = False, only: Sequence[str] = ()) -> tuple[Part, ...]:
    """Give the parts whose name has one of some words, or all; ``tiny`` gives each more time, for a CPU."""
    parts = tuple(part for part in PARTS if not only or any(words in part.name for words in only))
    return tuple(replace(part, limit=TINY_PATIENCE * part.limit) for part in parts) if tiny else parts


def wanted_seconds(parts: Sequence[Part]) -> float:
    """Give the limits of all parts together, without those that only take time that is left."""
    return sum(part.limit for part in parts if not part.spare)


def grant(part: Part, later: Sequence[Part], left: float) -> tuple[float, str]:
    """Say how long a part may take.

    Args:
        part: the next one.
        later: those after it.
        left: seconds that there are.

    Returns:
        Seconds, and nothing; or 0, and why it is left out.
    """
    kept = 0.0 if part.must else sum(other.limit for other in later if other.must)
    limit = min(part.limit, left - kept)
    if part.spare and limit < part.limit:
        return 0.0, f"no {part.limit:.0f} s are left for it"
    if limit < min(SHORTEST, part.limit):
        return 0.0, "its time is kept for what must not be lost" if kept else "no time was left for it"
    return limit, ""


def is_installed(module: str) -> bool:
    """Tell whether a module can be found; one that is found may still fail."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return module in sys.modules


def lacking(part: Part) -> list[str]:
    """Name the modules that a part needs and that are not here."""
    return [name for name in part.needs if not is_installed(name)]
