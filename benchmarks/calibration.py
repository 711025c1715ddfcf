"""Which line makes a student's probabilities mean something, without a known label? And what is it worth?

``python benchmarks/calibration.py OUT.json NAME=RUN …``: each RUN is a folder of a finished run whose training and test
images have known labels. Lines are fitted to its label table on the training images, and chosen by the truth of those;
the test images confirm. Figures are expected calibration errors over all entries, in 15 bins of equal width.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import seen_again
import torch

from ccd_fast.bench import measure
from ccd_fast.evaluation import calibration
from ccd_fast.evaluation.calibration import Calibration
from ccd_fast.evaluation.metrics import average_precision

Line = Callable[[torch.Tensor, torch.Tensor, float], Calibration | None]
LINES: dict[str, Line] = {
    "the sigmoid alone": lambda p, y, t: Calibration(1.0, torch.zeros(p.shape[1])),  # noqa: ARG005
    "fitted to the labels as they are": lambda p, y, t: calibration.fit(p, y),  # noqa: ARG005
    "fitted to half the labels, sharpened": lambda p, y, t: calibration.fit(p, 0.5 * y ** ((1 + t) / 2)),
    "fitted to the labels, sharpened (in use)": lambda p, y, t: calibration.fit(p, y, temperature=t),
}


def of_run(run: Path) -> dict[str, Any]:
    """Fit each line to a run, and measure it."""
    seen = seen_again.of(run)
    images, kept, temperature = seen.images, seen.test, seen.temperature
    if images.truth is None:
        sys.exit(f"{run}: the labels of its training images must be known")
    there = seen.readable & torch.from_numpy(images.known)
    raw, labels, truth = seen.probabilities[there], seen.labels[there], torch.from_numpy(images.truth)[there]
    rows = dict[str, Any]()
    for name, fit in LINES.items():
        line = fit(raw, labels, temperature)
        if line is None:
            sys.exit(f"{run}: too few photographs")
        errors = {
            split: calibration.reliability(line(p), t).error
            for split, p, t in (("train", raw, truth), ("test", kept.table, kept.truth))
        }
        ranked = float(average_precision(line(kept.table), kept.truth).nanmean())
        rows[name] = {**errors, "test_map": ranked, "scale": line.scale, "shift": float(line.shift.mean())}
        print(f"{run.name:8} {name:42} train {100 * errors['train']:5.2f} test {100 * errors['test']:5.2f}", flush=True)
    return {"photographs": len(raw), "tested_on": len(kept.table), "temperature": temperature, "lines": rows}


if __name__ == "__main__":
    out, *runs = sys.argv[1:]
    found = {name: of_run(Path(run)) for name, _, run in (word.partition("=") for word in runs)}
    measure.save(
        {"benchmark": "calibration without known labels", "error": "expected, 15 bins", "runs": found}, Path(out)
    )
