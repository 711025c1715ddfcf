"""Run and measure, on one NVIDIA card that is lent for minutes, everything of ccd_fast that says GPU.

``benchmarks/on_a_card.sh`` runs this. The parts run one after the other in one process, each within a limit of its own,
and every figure is on the disk before the next one is measured. This program starts that process, and another one for
the rest where it dies or hangs.
"""

import argparse
import datetime
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from card import children, page, photographs, pieces, plan, sensors, setting, worker
from card.ledger import FIGURES, Ledger
from card.limits import GRACE, Clock

START = time.monotonic()
"""A call counts from here: importing torch for the first time takes some of it."""
ROOT = plan.ROOT
WORKER = "card.worker"
WORKERS_GRACE = 4 * children.GRACE
"""Seconds that the process of the parts has to end a program that it has started itself."""


def options() -> argparse.ArgumentParser:
    """Give the command line."""
    parser = argparse.ArgumentParser(prog="on_a_card.sh", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N; or cpu, with --tiny, to try the script itself")
    parser.add_argument("--tiny", action="store_true", help="sizes that a CPU does in minutes")
    parser.add_argument("--dry-run", action="store_true", help="list the parts, their limits, and what is missing")
    parser.add_argument(
        "--minutes", type=float, default=plan.MINUTES, help="limit for all calls together (%(default)g)"
    )
    parser.add_argument(
        "--call", type=float, default=plan.CALL_MINUTES, metavar="MINUTES", help="limit for this call (%(default)g)"
    )
    parser.add_argument("--only", action="append", default=[], metavar="WORDS", help="parts whose name has these words")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="by default $OUT, or benchmarks/results/CARD-DATE where it is not set",
    )
    parser.add_argument("--bring", action="store_true", help="download what a machine for cards lacks, and cut it up")
    parser.add_argument(
        "--python", default="3.12", metavar="VERSION", help="with --bring: that machine's (%(default)s)"
    )
    parser.add_argument("--dali", action="store_true", help="with --bring: DALI too, 268 MB")
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="with --bring: some of these, 24 MiB")
    parser.add_argument(
        "--resume", action="store_true", help="go on behind the last part that was begun; with --only those parts again"
    )
    return parser


def main() -> int:
    """Run the parts; 0 if all went well, 1 if one did not, 2 if nothing could be begun."""
    given = options().parse_args()
    parts = plan.planned(given.tiny, given.only)
    if problem := refused(given, parts):
        print(f"on_a_card: {problem}", file=sys.stderr)
        return 2
    if given.bring:
        return bring(given)
    if given.dry_run:
        return listed(parts, given)
    out = given.out or Path(os.environ.get("OUT") or results_folder())
    kept = ROOT / setting.WORK / FIGURES
    if problem := begun(given.resume, kept, out / FIGURES):
        print(f"on_a_card: {problem}", file=sys.stderr)
        return 2
    return run_all(parts, given, out.resolve(), kept)


def bring(given: argparse.Namespace) -> int:
    """Download and cut up what is to be carried; 2 if something cannot be had."""
    try:
        if given.photographs:
            photographs.bring(given.photographs, ROOT / setting.PHOTOGRAPHS)
        pieces.bring(ROOT / setting.WHEELS, given.python, given.dali)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"on_a_card: {error}", file=sys.stderr)
        return 2
    return 0


def begun(resume: bool, kept: Path, figures: Path) -> str:
    """Begin the two files of figures, or go on with what one of them has; or say why not.

    Args:
        resume: go on.
        kept: stays on the machine.
        figures: comes back; each call may find it empty.
    """
    if not resume:
        if figures.exists():
            return f"{figures.parent} has figures: --resume goes on, --out takes another folder"
        kept.unlink(missing_ok=True)
        return ""
    there = sorted((file.read_bytes() for file in (kept, figures) if file.exists()), key=len)
    if there and not there[-1].startswith(there[0]):
        return f"{figures} is of another run than {kept}: --out takes another folder"
    for file in (kept, figures) if there else ():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(there[-1])
    return ""


def results_folder() -> Path:
    """Name the folder of results where nobody named one."""
    return ROOT / "benchmarks" / "results" / f"{sensors.name()}-{datetime.date.today()}"


def refused(given: argparse.Namespace, parts: tuple[plan.Part, ...]) -> str:
    """Say why nothing can be begun, or nothing."""
    if not parts:
        return f"--only {' '.join(given.only)}: no part has such a name; --dry-run lists them"
    if given.dry_run or given.bring:
        return ""
    if given.device == "cpu":
        return "" if given.tiny else "--device cpu needs --tiny"
    if not plan.is_installed("torch"):
        return f"torch is not installed, without which nothing runs (python {sys.executable})"
    import torch

    if not torch.cuda.is_available():
        built = f"torch {torch.__version__} finds none" if torch.version.cuda else "this torch has no CUDA"
        return f"no NVIDIA card here ({built}); try --dry-run, or --device cpu --tiny"
    return ""


def listed(parts: tuple[plan.Part, ...], given: argparse.Namespace) -> int:
    """Print what would be done, and what is missing; 1 if it does not fit, or can do nothing for want of a module."""
    comes = pieces.brought(ROOT / setting.WHEELS)
    missing = 0
    for number, part in enumerate(parts, 1):
        lacking = plan.lacking(part)
        never = [name for name in lacking if name not in comes]
        missing += bool(never)
        state = f"MISSING {', '.join(never)}" if never else "would run"
        state += f"; {len(lacking)} modules come from {setting.WHEELS}" if lacking and not never else ""
        role = ", must not be lost" if part.must else ", only in time that is left" if part.spare else ""
        print(f"{number:2} {part.name} [{part.limit:.0f} s at most{role}]: {state}")
    if sensors.name() == "cpu":
        print("no NVIDIA card is here: this lists what would be done on one; --device cpu --tiny tries the script")
    spare = sum(part.limit for part in parts if part.spare) / 60
    wanted, there = plan.wanted_seconds(parts) / 60, given.minutes * (plan.TINY_PATIENCE if given.tiny else 1)
    fits = wanted <= there
    print(f"wheels: {pieces.described(ROOT / setting.WHEELS)}")
    print(f"photographs: {photographs.described(ROOT / setting.PHOTOGRAPHS)}")
    more = f", and {spare:.1f} more for what only takes time that is left" if spare else ""
    print(
        f"{len(parts)} parts, {wanted:.1f} minutes by their limits{more}, in calls of {given.call:g}: "
        f"{'they fit' if fits else 'they do NOT fit'} into {there:g}"
    )
    return int(not fits or missing > 0)


def run_all(parts: tuple[plan.Part, ...], given: argparse.Namespace, out: Path, kept: Path) -> int:
    """Start processes for the parts until all had their time, or there is none left."""
    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(kept, out / FIGURES, card=sensors.card)
    if given.resume and given.only:
        for part in parts:
            ledger.part = part.name
            ledger.write("end", status="left out", why="it is asked for again", seconds=0)
    clock = Clock(60 * min(given.minutes - ledger.seconds() / 60, given.call) - (time.monotonic() - START))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for _ in range(2 * len(parts)):  # none dies more often than that
            if work(parts, given, ledger, clock, out) != worker.ANEW:
                break
    except KeyboardInterrupt:
        close(ledger, "interrupted", "it was asked to end")
    return finished(parts, ledger, out)


def work(parts: tuple[plan.Part, ...], given: argparse.Namespace, ledger: Ledger, clock: Clock, out: Path) -> int:
    """Let one process run parts; name the one that it died of, if it did. Give ``ANEW`` where another should go on."""
    words = [sys.executable, "-m", WORKER, "--device", given.device, "--seconds", str(clock.left())]
    words += ["--out", str(out), "--kept", str(ledger.files[0]), *(["--tiny"] if given.tiny else [])]
    words += [word for name in given.only for word in ("--only", name)]
    begin = (out / "log.txt").stat().st_size if (out / "log.txt").exists() else 0
    patience = max(clock.left(), 0) + 2 * GRACE
    code = children.run(words, out / "log.txt", patience, ROOT, setting.caches(ROOT), sys.stdout, WORKERS_GRACE)
    died = close(ledger, "died", f"{cause(code)}: {children.last_words(out / 'log.txt', begin)}")
    if code == 0 or all(ledger.is_over(part.name) for part in parts):
        return 0
    if died or code == worker.ANEW:
        return worker.ANEW
    print(f"on_a_card: {cause(code)}: {children.last_words(out / 'log.txt', begin)}", file=sys.stderr)
    return code


def cause(code: int) -> str:
    """Say how a process ended."""
    if code == children.OUT_OF_TIME:
        return "its process had to be ended"
    return f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"its process ended with {code}"


def close(ledger: Ledger, status: str, why: str) -> bool:
    """Write the end of a part that was begun and has none; tell whether there was one."""
    begun = ledger.unfinished()
    if begun is None:
        return False
    ledger.part = begun["part"]
    ledger.end(status, why, max(time.time() - begun["at"], 0))
    return True


def finished(parts: tuple[plan.Part, ...], ledger: Ledger, out: Path) -> int:
    """Write the page, and say what became of all; 1 if a part went wrong."""
    page.write(ledger, out)
    said = setting.keep_within(out)
    ends = ledger.ends()
    wrong = [part.name for part in parts if ends.get(part.name, {}).get("status", "never begun") not in page.GOOD]
    print(f"written to {out}: {', '.join(sorted(file.name for file in out.iterdir()))}")
    for line in said:
        print(f"on_a_card: {line}", file=sys.stderr)
    if wrong:
        print(f"on_a_card: {len(wrong)} of {len(parts)} parts went wrong: {'; '.join(wrong)}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
