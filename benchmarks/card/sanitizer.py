"""compute-sanitizer over the kernels, and over two rounds of a relabel pass: does anything reach beyond its memory?

Run as a program it is what is looked at; without a card that runs plain, so that it is known to run.
"""

import argparse
import sys
from pathlib import Path

from card import children
from card.plan import ROOT
from card.setting import Setting

TOOL = "compute-sanitizer"
WORDS = (TOOL, "--tool", "memcheck", "--error-exitcode", "9", "--print-limit", "5")
WHAT = ("kernels", "pass")
EACH = 30.0
"""Seconds of each."""
ROUNDS, BATCH = 2, 4
"""Of the pass: photographs are decoded so many at a time, by Pillow, as nothing of ccd_fast is in DALI's decoder."""


def measure(setting: Setting) -> None:
    """Start each under the tool."""
    tool = children.find_tool(TOOL)
    if setting.on_card and not tool:
        setting.ledger.left_out(TOOL, "it is not here")
        return
    words = [str(tool), *WORDS[1:]] if setting.on_card else []
    failed = []
    for what in WHAT:
        begin = setting.log.stat().st_size if setting.log.is_file() else 0
        command = [*words, sys.executable, "-m", "card.sanitizer", what, "--device", setting.device]
        own_memory = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # each tensor is an allocation, so that its end is one
        code = children.run(command, setting.log, EACH, ROOT, own_memory)
        said = summary(setting.log.read_bytes()[begin:].decode(errors="replace"))
        if code == children.OUT_OF_TIME:
            setting.ledger.left_out(what, f"it was stopped after {EACH:.0f} s; {said}")
            continue
        setting.ledger.figure(
            what, said or f"exit code {code}", note="" if words else "without the tool, which needs a card"
        )
        failed += [f"{what}: exit code {code}: {children.last_words(setting.log, begin)}"] if code else []
    if failed:
        raise AssertionError("; ".join(failed))


def summary(text: str) -> str:
    """Give what the tool says at its end."""
    return "; ".join(line.strip("= ") for line in text.splitlines() if "SUMMARY" in line)


def main() -> None:
    """Be looked at."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    (kernels_once if given.what == "kernels" else pass_once)(given.device)


def kernels_once(device: str) -> None:
    """Run the three kernels on a few shapes each, against their twins."""
    sys.path.insert(0, str(ROOT / "tests" / "kernels"))
    import agreement

    from ccd_fast import kernels

    for dtype in agreement.HALF_AND_FLOAT:
        for classes in (1, 81, 600):
            agreement.check_score(kernels, agreement.similarities(70, classes, dtype, seed=classes).to(device))
        for classes in (3, 80, 129):
            case = [tensor.to(device) for tensor in agreement.update_case(60, classes, dtype, seed=classes)]
            agreement.check_update(kernels, *case)
        for height, width, size in ((1, 1, 16), (7, 7, 224), (9, 12, 5), (120, 120, 640)):
            agreement.check_cam_boxes(kernels, agreement.cams(24, height, width, dtype, seed=size).to(device), size)
    print("all three agree with their twins")


def pass_once(device: str) -> None:
    """Run a relabel pass with the demo's CLIP, from files to labels."""
    from card import relabel_passes, switches
    from card.ledger import Ledger

    setting = Setting(device, True, Path(), Ledger(ROOT / ".card" / "sanitized.jsonl"))
    files, _ = setting.photographs
    way = relabel_passes.Way("test_resnet", 64, "pillow", BATCH)
    with switches.load_batch(BATCH):
        load, _ = relabel_passes.opened(setting, way, setting.best_engine(), files[: ROUNDS * BATCH])
        table, _ = load.update()
    print(f"a table of {tuple(table.shape)}")


if __name__ == "__main__":
    main()
