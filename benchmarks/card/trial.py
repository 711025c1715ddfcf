"""``make card-trial``: the whole script on a CPU, in an environment that has only what a machine for cards has.

The wheels it lacks are downloaded, cut into pieces, and installed from these, with no network from there on; every part
runs in small sizes, and the trial fails if one broke. It takes minutes and is no part of the tests.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from card import bare, photographs, pieces, plan, setting
from card.ledger import FIGURES, Ledger

MINUTES = "60"
SMALL_PIECES = {"folder_mib": 2, "piece_mib": 1}
"""Of the small wheels, which would lie whole in one folder otherwise."""
OFFLINE = ("unshare", "--map-root-user", "--net")
"""Takes the network from a program, where the system allows it."""


def options() -> argparse.ArgumentParser:
    """Give the command line."""
    parser = argparse.ArgumentParser(prog="make card-trial", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dali", action="store_true", help="bring DALI too: 268 MB to download")
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="by default scenes of the demo world")
    parser.add_argument("--only", action="append", default=[], metavar="WORDS", help="parts whose name has these words")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "ccd-fast-card-trial", help="(%(default)s)"
    )
    return parser


def main() -> int:
    """Try everything; 0 if no part broke."""
    given = options().parse_args()
    start = time.monotonic()
    work: Path = given.work.resolve()
    python, absent = bare.build(work / "bare")
    print(f"bare environment: {python}; not here either: {', '.join(absent) or 'nothing'}", flush=True)
    tree = copied(work / "tree")
    wheels = downloaded(work / f"wheels{'-dali' if given.dali else ''}", given.dali)
    folders = pieces.cut(wheels, tree / setting.WHEELS, **({} if given.dali else SMALL_PIECES))
    print(f"{pieces.described(tree / setting.WHEELS)}, in {len(folders)} folders", flush=True)
    if given.photographs:
        photographs.bring(given.photographs, tree / setting.PHOTOGRAPHS)
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    only = [word for words in given.only for word in ("--only", words)]
    codes = [call(python, tree, out, work, *words, *only) for words in (["--dry-run"], [], ["--resume"])]
    wrong = [f"call {number} ended with {code}" for number, code in enumerate(codes, 1) if code] + broken(
        out, given.only
    )
    print(f"{time.monotonic() - start:.0f} s in all; {'; '.join(wrong) or 'every part is done'}")
    return int(bool(wrong))


def copied(tree: Path) -> Path:
    """Copy what git knows of the working tree, and what it does not ignore, as a card's machine gets it."""
    shutil.rmtree(tree, ignore_errors=True)
    words = ["git", "-C", str(plan.ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0"):
        source, target = plan.ROOT / name, tree / name
        if name and os.path.lexists(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return tree


def downloaded(folder: Path, dali: bool) -> list[Path]:
    """Give the wheels for this Python, downloaded once."""
    if not folder.is_dir():
        unfinished = folder.with_name(f".{folder.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        pieces.download("{}.{}".format(*sys.version_info), dali, unfinished)
        unfinished.rename(folder)
    return sorted(folder.glob("*.whl"))


def call(python: Path, tree: Path, out: Path, work: Path, *words: str) -> int:
    """Run the script as a person on a card's machine would, with small sizes; give its exit code."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(work / "home"),
        "PYTHON": str(python),
        "OUT": str(out),
        "PIP_NO_INDEX": "1",
        "HF_HUB_OFFLINE": "1",
    }
    (work / "home").mkdir(exist_ok=True)
    script = [str(tree / "benchmarks" / "on_a_card.sh"), "--device", "cpu", "--tiny", "--minutes", MINUTES]
    print(f"--- {' '.join(script[1:] + list(words))}", flush=True)
    return subprocess.run([*offline(), *script, "--call", MINUTES, *words], cwd=work, env=environment).returncode


def offline() -> tuple[str, ...]:
    """Give what takes the network from a program; nothing, in words, where that is not allowed."""
    look = "import socket, sys; sys.exit(any(name != 'lo' for _, name in socket.if_nameindex()))"
    try:
        done = subprocess.run([*OFFLINE, sys.executable, "-c", look], capture_output=True)
    except OSError:
        done = None
    if done is None or done.returncode:
        print("the network cannot be taken away here: only pip and the hub are told to do without", flush=True)
        return ()
    return OFFLINE


def broken(out: Path, only: list[str]) -> list[str]:
    """Name the parts that are not done, and what else is wrong with the results."""
    ends = Ledger(out / FIGURES).ends()
    wrong = []
    for part in plan.planned(only=only):
        end = ends.get(part.name, {"status": "never begun", "why": "", "seconds": 0})
        print(f"{end['seconds']:6.1f} s  {part.name}: {end['status']} {end['why']}")
        wrong += [] if end["status"] == "done" else [f"{part.name}: {end['status']}"]
    return wrong + setting.keep_within(out)


if __name__ == "__main__":
    sys.exit(main())
