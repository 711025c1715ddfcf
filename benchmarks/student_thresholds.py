"""How near do a student's thresholds, chosen without a label, come to the truth's, on images that are new to it?

``python benchmarks/student_thresholds.py OUT.json NAME=RUN,RUN …``: each RUN is a folder of a finished run whose test
images have known labels, a seed each. Thresholds are chosen on its training images, of which the student predicts
anew. CF1 and OF1 on its test images are shares of what thresholds by class reach that the truth chooses on one half of
these and that are measured on the other (mean of both ways, five splits), as ``benchmarks/thresholds.py`` has it.
"""

import statistics
import sys
from pathlib import Path
from typing import Any

import seen_again
import torch
from thresholds import by_truth, f1s

from ccd_fast.bench import measure
from ccd_fast.labels import limits

IN_USE = "one for each class (in use)"
Row = dict[str, float]


def of_run(run: Path) -> dict[str, Row]:
    """Measure the rules on one run."""
    seen = seen_again.of(run)
    raw, labels = seen.probabilities[seen.readable], seen.labels[seen.readable]
    rules = {
        IN_USE: limits.by_class(raw, labels, temperature=seen.temperature),
        "0.5": torch.full((raw.shape[1],), 0.5),
    }
    own, truth = seen.test.table[seen.test.known], seen.test.truth[seen.test.known].numpy()
    best = by_truth(own, truth)
    found = {"the truth's, of the other half": {"cf1": best[0], "of1": best[1], "labels": float(truth.sum(1).mean())}}
    for name, limit in rules.items():
        given = (own >= limit).numpy()
        cf1, of1 = f1s(given, truth)
        shares = {"cf1_share": cf1 / best[0], "of1_share": of1 / best[1]}
        found[name] = {"cf1": cf1, "of1": of1, **shares, "labels": float(given.sum(axis=1).mean())}
    return found


def over_seeds(records: list[dict[str, Row]]) -> dict[str, Any]:
    """Give the means over the seeds, and each seed's own."""
    mean = {
        row: {key: statistics.fmean(each[row][key] for each in records) for key in records[0][row]}
        for row in records[0]
    }
    return {"mean": mean, "by_seed": records}


def main(out: Path, sets: list[str]) -> None:
    """Measure, print a line a row, and write the figures."""
    found = dict[str, Any]()
    for name, _, runs in (word.partition("=") for word in sets):
        found[name] = over_seeds([of_run(Path(run)) for run in runs.split(",")])
        for row, figures in found[name]["mean"].items():
            shown = (f"{key} {value if key == 'labels' else 100 * value:.1f}" for key, value in figures.items())
            print(f"{name:10} {row:32}", *shown, flush=True)
    shares = [found[name]["mean"][IN_USE][key] for name in found for key in ("cf1_share", "of1_share")]
    facts = {"mean_share": statistics.fmean(shares), "least_share": min(shares)}
    print(f"{IN_USE}: mean {100 * facts['mean_share']:.1f}, least {100 * facts['least_share']:.1f}")
    measure.save({"benchmark": "thresholds of students, chosen without labels", **facts, "sets": found}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
