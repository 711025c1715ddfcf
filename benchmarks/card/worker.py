"""The process that runs the parts, one after the other, whatever becomes of them.

Where it cannot go on (a part that asked for a new process, a device that answers no more) it ends with ``ANEW``, and
whoever started it starts another one, which goes on behind the last part that was begun.
"""

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from card import limits, plan, sensors
from card.ledger import FIGURES, Ledger, LeftOut
from card.setting import Setting

ANEW = 75
"""Exit code: start another process for the rest."""
INTERRUPTED = 130


def options() -> argparse.ArgumentParser:
    """Give the command line; ``on_a_card.py`` fills it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(",")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, required=True, help="that are left")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kept", type=Path, required=True, help="the ledger that stays")
    return parser


def run_parts(parts: Sequence[plan.Part], setting: Setting, clock: limits.Clock) -> int:
    """Run the parts that had no time yet; give the exit code of the process."""
    for place, part in enumerate(parts):
        if setting.ledger.is_over(part.name):
            continue
        setting.ledger.part = part.name
        lacking = plan.lacking(part)
        limit, why = plan.grant(part, parts[place + 1 :], clock.left())
        if lacking or why:
            setting.ledger.end("left out", f"{', '.join(lacking)} not installed" if lacking else why)
            continue
        status = run(part, limit, setting)
        if status == "interrupted":
            return INTERRUPTED
        if (part.anew and status == "done") or not answers(setting.device):
            return ANEW
    return 0


def run(part: plan.Part, limit: float, setting: Setting) -> str:
    """Run a part within its limit; say what became of it. Nothing but its own words is lost."""
    start = time.monotonic()
    setting.ledger.begin(part.name, round(limit, 1))
    status, why = "done", ""
    try:
        with limits.within(limit):
            measure: Callable[[Setting], None] = importlib.import_module(f"card.{part.module}").measure
            measure(setting)
    except limits.OutOfTime as stop:
        status, why = "out of time", str(stop)
        traceback.print_exc()
    except LeftOut as reason:
        status, why = "left out", str(reason)
    except KeyboardInterrupt:
        status, why = "interrupted", "it was asked to end"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one part must not take the others with it
        lines = str(error).strip().splitlines()
        status, why = "failed", f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
        traceback.print_exc()
    setting.ledger.end(status, why, time.monotonic() - start)
    return status


def answers(device: str) -> bool:
    """Tell whether a card still works: one that met an address that is none refuses everything in this process."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return True
    try:
        torch.cuda.synchronize(device)
        return bool(torch.ones(8, device=device).sum().item() == 8)
    except Exception:  # noqa: BLE001 - whatever it is, it does not work
        return False


def main() -> int:
    """Run what is left to run."""
    given = options().parse_args()
    ledger = Ledger(given.kept, given.out / FIGURES, card=sensors.card)
    setting = Setting(given.device, given.tiny, given.out, ledger)
    return run_parts(plan.planned(given.tiny, given.only), setting, limits.Clock(given.seconds))


if __name__ == "__main__":
    sys.exit(main())
