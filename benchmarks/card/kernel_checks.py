"""The three kernels: that they agree with their twins, how fast they are, and that a captured call outlives others."""

import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch

from card.plan import ROOT, is_installed
from card.setting import Setting
from ccd_fast import kernels
from ccd_fast.bench import kernels as bench
from ccd_fast.engines.streams import FixedCall

CHECKED = 2000
"""Rows of a comparison; the twins take their time."""
REPLAYS = 200
AGREES = "agrees"


def measure(setting: Setting) -> None:
    """Check, measure, and replay a captured call; on a CPU the twins stand in for the kernels."""
    ledger, device, differ = setting.ledger, torch.device(setting.device), []
    if setting.on_card and not is_installed("cupy"):
        ledger.left_out("kernels", "cupy is not installed")
    else:
        for what, check in checks(setting):
            found = agrees(check)
            ledger.figure(what, found, note="" if setting.on_card else "of the twins with themselves")
            differ += [what] if found != AGREES else []
        for classes in setting.sizes.kernel_classes:
            rows = max(setting.sizes.kernel_entries // classes, 1)
            for rate in bench.bench(device, rows, classes, repeats=3):
                ledger.figure(
                    f"{rate.case.name}, {classes} classes",
                    rate.bytes_a_second / 1e9,
                    "GB/s",
                    f"{rate.share_of_copy:.0%} of a copy",
                    **rate.record(),
                )
    if setting.on_card:
        wrong = replay_among_others(setting.device)
        ledger.figure("a captured call among other allocations", wrong, f"wrong of {REPLAYS} replays", "wanted: 0")
        differ += ["a captured call"] if wrong else []
    else:
        ledger.left_out("a captured call among other allocations", "streams and graphs are a card's")
    if differ:
        raise AssertionError(f"wrong: {', '.join(differ)}")


def agrees(check: Callable[[], object]) -> str:
    """Run a comparison; say that it agrees, or what differs."""
    try:
        check()
    except AssertionError as error:
        return " ".join(str(error).split())[:200] or "differs"
    return AGREES


def checks(setting: Setting) -> Iterator[tuple[str, Any]]:
    """Give comparisons with the twins, each of which raises an AssertionError where they differ."""
    sys.path.insert(0, str(ROOT / "tests" / "kernels"))
    import agreement

    rows = 50 if setting.tiny else CHECKED
    for dtype in agreement.HALF_AND_FLOAT:
        name = str(dtype).removeprefix("torch.")
        for classes in setting.sizes.kernel_classes:
            seen = agreement.similarities(rows, classes, dtype, seed=classes).to(setting.device)
            yield f"score {name}, {classes} classes", lambda seen=seen: agreement.check_score(kernels, seen)
            case = [t.to(setting.device) for t in agreement.update_case(rows, classes, dtype, seed=classes)]
            yield f"update {name}, {classes} classes", lambda case=case: agreement.check_update(kernels, *case)
        maps = agreement.cams(rows, 7, 7, dtype, seed=7).to(setting.device)
        yield f"cam_boxes {name}", lambda maps=maps: agreement.check_cam_boxes(kernels, maps, 224)


@torch.inference_mode()
def replay_among_others(device: str, batch: int = 16, side: int = 64, width: int = 256) -> int:
    """Replay a captured call again and again while memory is taken and given back; count the wrong results.

    What the graph reads belongs to the captured function alone, so that it is gone if the call forgets that function.
    """
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * side * side, width), torch.nn.Tanh())
    layers = layers.eval().requires_grad_(False).to(device)
    call = captured(deepcopy(layers), batch, side, width, device)
    wrong = 0
    for number in range(REPLAYS):
        generator = torch.Generator(device).manual_seed(number)
        pixels = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8, device=device, generator=generator)
        others = [torch.full_like(layers[1].weight, float("nan")) for _ in range(4)]
        found = call(pixels)
        del others
        wrong += not torch.allclose(found, layers(pixels.float() / 255), atol=1e-3)
    return wrong


def captured(layers: torch.nn.Module, batch: int, side: int, width: int, device: str) -> FixedCall:
    """Give a call that replays some layers, of which it alone knows."""
    call = FixedCall(batch, side, width, device)
    call.launch = lambda: call.embeddings.copy_(layers(call.pixels.float() / 255))
    call.warm_up(2)
    call.capture()
    return call
