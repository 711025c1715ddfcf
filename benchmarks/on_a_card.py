"""Run and measure, on one NVIDIA card and within a limit of time, everything of ccd_fast that says GPU.

``benchmarks/on_a_card.sh`` runs this. Each step is a process of its own with a limit of its own, the most telling
first; one that fails or hangs is named, and the others go on. What was found is written after each step.
"""

import argparse
import datetime
import importlib.util
import sys
from pathlib import Path

from card import planning, results
from card.running import Clock, Record, run_step, why_not
from card.steps import Step

ROOT = Path(__file__).parents[1]
MINUTES = 20.0
NEEDED = ("torch", "numpy", "PIL", "rich", "typer")
"""Without these not a single step runs."""


def options() -> argparse.ArgumentParser:
    """Give the command line."""
    parser = argparse.ArgumentParser(prog="on_a_card.sh", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N; or cpu, with --tiny, to try the script itself")
    parser.add_argument(
        "--tiny", action="store_true", help="sizes that a CPU does in minutes: to try the script itself"
    )
    parser.add_argument("--dry-run", action="store_true", help="list the steps, and check that each command exists")
    parser.add_argument(
        "--data-root", type=Path, metavar="FOLDER", help="photographs; by default scenes of the demo world"
    )
    parser.add_argument(
        "--mini-clip", type=Path, metavar="FOLDER", help="a small trained CLIP in open_clip's folder form"
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="limit for all steps together (%(default)g)")
    parser.add_argument(
        "--only", action="append", metavar="WORDS", help="steps whose name has these words; may be repeated"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="by default benchmarks/results/CARD-DATE")
    parser.add_argument(
        "--resume", action="store_true", help="go on in --out: steps that are done there are not run again"
    )
    return parser


def main() -> int:
    """Run the steps; 0 if none failed, 1 if one did, 2 if nothing could be begun."""
    given = options().parse_args()
    if problem := refused(given):
        print(f"on_a_card: {problem}", file=sys.stderr)
        return 2
    steps = planning.plan(given.device, given.tiny, given.data_root, given.mini_clip)
    steps = [step for step in steps if not given.only or any(words in step.name for words in given.only)]
    if not steps:
        print(
            f"on_a_card: --only {' '.join(given.only)}: no step has such a name; --dry-run lists them", file=sys.stderr
        )
        return 2
    if given.dry_run:
        return listed(steps, given)
    out = given.out or ROOT / "benchmarks" / "results" / f"{results.card_name(given.device)}-{datetime.date.today()}"
    report = results.Report(out, given.device)
    if given.resume:
        report.go_on()
    elif report.exists():
        print(f"on_a_card: {out} is there already: --resume goes on with it, --out takes another", file=sys.stderr)
        return 2
    return run_all(steps, given, report)


def refused(given: argparse.Namespace) -> str:
    """Say why nothing can be begun, or nothing."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed, without which nothing runs (python {sys.executable})"
    for folder in (given.data_root, given.mini_clip):
        if folder is not None and not folder.is_dir():
            return f"{folder}: no such folder"
    if given.dry_run or given.device == "cpu":
        return "" if given.dry_run or given.tiny else "--device cpu needs --tiny"
    import torch

    if not torch.cuda.is_available():
        built = f"torch {torch.__version__} finds none" if torch.version.cuda else "this torch has no CUDA"
        return f"no NVIDIA card here ({built}); try --dry-run, or --device cpu --tiny"
    return ""


def listed(steps: list[Step], given: argparse.Namespace) -> int:
    """Print what would be done; 1 if a command does not exist."""
    broken = 0
    for number, step in enumerate(steps, 1):
        problem = planning.missing_command(step)
        broken += bool(problem)
        left_out = why_not(step, given.device)
        state = f"BROKEN: {problem}" if problem else f"left out: {left_out}" if left_out else "would run"
        print(f"{number:2} {step.name} [{step.limit:.0f} s at most] {state}\n     {step.shown()}")
    longest = sum(step.limit for step in steps) / 60
    print(f"{len(steps)} steps; {broken} commands do not exist")
    print(
        f"{given.minutes:g} minutes at most in all: should every step need its limit ({longest:.0f} minutes together), "
        "the last ones are left out"
    )
    return int(broken > 0)


def run_all(steps: list[Step], given: argparse.Namespace, report: results.Report) -> int:
    """Run the steps one after the other, and write after each."""
    clock = Clock(60 * given.minutes)
    for step in steps:
        if report.has(step.name):
            continue
        record = run_step(step, given.device, clock, report.folder)
        report.add(record)
        print(said(record), flush=True)
        if record.status == "interrupted":
            break
    print(f"written to {report.folder}: {', '.join(sorted(file.name for file in report.folder.iterdir()))}")
    failed = [record.name for record in report.records if record.status not in ("done", "left out")]
    if failed:
        print(f"on_a_card: {len(failed)} of {len(report.records)} steps failed: {'; '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def said(record: Record) -> str:
    """Give a step's line for the terminal."""
    why = f": {record.why}" if record.why else ""
    return f"[{record.seconds:5.0f} s] {record.name}: {record.status}{why}"


if __name__ == "__main__":
    sys.exit(main())
