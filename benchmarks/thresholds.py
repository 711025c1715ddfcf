"""Which thresholds by class come nearest to those that the truth would choose? No label is used to set them.

``python benchmarks/thresholds.py OUT.json NAME=RUN …``: each RUN is a folder of a run on photographs whose labels are
known for its *training* images; the test images are not looked at. For each table of scores (the first labels, which
``label`` gives; the labels after the updates; the student's probabilities) and each rule: CF1 and OF1, and what share
they are of those at the thresholds by class that the truth chooses, each for the best F1 of its class.

A rule sees the scores of the N photographs, (N, C), and the label table; never the truth. The one in use is
:func:`ccd_fast.labels.limits.by_class`.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ccd_fast.bench import measure
from ccd_fast.evaluation import scores
from ccd_fast.outputs import trained
from ccd_fast.runs.progress import Stage
from ccd_fast.student import Reading, predict
from ccd_fast.training.measures import FIRST, UPDATED
from ccd_fast.training.passes import evaluation_conditions

Table = NDArray[np.float64]
Truth = NDArray[np.bool_]
Rule = Callable[["Seen"], NDArray[np.float64]]
STUDENT = "student, train"


@dataclass(frozen=True)
class Seen:
    """What a rule sees.

    Attributes:
        own: (N, C) scores that are to be cut.
        labels: (N, C) the label table that belongs to them.
    """

    own: Table
    labels: Table


def tables_of(run: Path) -> tuple[dict[str, Table], Truth]:
    """Give the scores of a run's training images by name, and their truth."""
    model = trained.load(run)
    images = trained.origin(run)[0].load("train")
    found = {name: scores.read(run, name, model.class_names) for name in (FIRST, UPDATED)}
    kept = scores.common({name: table for name, table in found.items() if table is not None})
    first = next(iter(kept.values()))
    cache = run / "student-train.npy"
    if not cache.exists():
        backend, _ = evaluation_conditions(model.recipe)
        files = [images.root / path for path in first.paths]
        stage = Stage("train", len(files), lambda _: None)
        seen = predict(model.student, files, Reading(backend), model.recipe.student.image_size, stage)
        np.save(cache, seen.probabilities.numpy())
    tables = {name: table.table.numpy().astype(np.float64) for name, table in kept.items()}
    return {**tables, STUDENT: np.load(cache).astype(np.float64)}, first.truth.numpy()


def f1s(given: Truth, truth: Truth) -> tuple[float, float]:
    """Give CF1 and OF1 of decisions, (N, C) bool, as ``evaluate`` does."""
    hits, claims, there = ((each).sum(axis=0).astype(float) for each in (given & truth, given, truth))
    present = there > 0
    precision, recall = (hits / np.maximum(claims, 1))[present].mean(), (hits / np.maximum(there, 1))[present].mean()
    by_class = 2 * precision * recall / max(precision + recall, 1e-12)
    return float(by_class), float(2 * hits.sum() / max(claims.sum() + there.sum(), 1))


def best_by_truth(own: Table, truth: Truth) -> NDArray[np.float64]:
    """Give the limits that the truth chooses: the best F1 of each class; a class without positives is never given."""
    return expected_f1(own, truth.astype(float), floor=np.inf)


def expected_f1(own: Table, chance: Table, floor: float = 0.0) -> NDArray[np.float64]:
    """Give, by class, the limit on the scores at which F1 is best where an entry holds with its chance.

    Args:
        own: (N, C) scores that are cut.
        chance: (N, C) in [0, 1].
        floor: limit of a class without any chance.
    """
    order = np.argsort(-own, axis=0, kind="stable")
    hits = np.take_along_axis(chance, order, axis=0).cumsum(axis=0)
    ranked = np.take_along_axis(own, order, axis=0)
    f1 = 2 * hits / (np.arange(1, len(own) + 1)[:, None] + chance.sum(axis=0))
    last_of_equals = np.vstack([ranked[:-1] > ranked[1:], np.ones((1, own.shape[1]), dtype=bool)])
    at = np.where(last_of_equals, f1, -1).argmax(axis=0)
    limits = ranked[at, np.arange(own.shape[1])]
    return np.where(chance.sum(axis=0) > 0, limits, floor)


def constant(value: float) -> Rule:
    """Give one limit to all classes."""
    return lambda seen: np.full(seen.own.shape[1], value)


def counted(share: float) -> Rule:
    """Give each class to as many photographs as its labels' mass says, times a share."""

    def rule(seen: Seen) -> NDArray[np.float64]:
        mass = share * seen.labels.sum(axis=0)
        ranked = -np.sort(-seen.own, axis=0)
        return ranked[np.clip(np.round(mass).astype(int) - 1, 0, len(ranked) - 1), np.arange(len(mass))]

    return rule


def mixture(seen: Seen) -> NDArray[np.float64]:
    """Split the logits of each class into two normal parts (EM), and cut where they are equally likely."""
    z = np.log(np.clip(seen.own, 1e-6, 1 - 1e-6)) - np.log1p(-np.clip(seen.own, 1e-6, 1 - 1e-6))
    limits = []
    for column in z.T:
        low, high = np.quantile(column, [0.3, 0.98])
        means, deviations, weights = np.array([low, high]), np.full(2, column.std() + 1e-3), np.array([0.9, 0.1])
        for _ in range(100):
            density = weights * np.exp(-(((column[:, None] - means) / deviations) ** 2) / 2) / deviations
            part = density / np.maximum(density.sum(axis=1, keepdims=True), 1e-300)
            mass = part.sum(axis=0) + 1e-9
            weights, means = mass / mass.sum(), (part * column[:, None]).sum(axis=0) / mass
            deviations = np.sqrt((part * (column[:, None] - means) ** 2).sum(axis=0) / mass) + 1e-2
        grid = np.linspace(means.min(), means.max(), 200)
        density = weights * np.exp(-(((grid[:, None] - means) / deviations) ** 2) / 2) / deviations
        above = density[:, means.argmax()] >= density[:, means.argmin()]
        limits.append(1 / (1 + np.exp(-grid[above.argmax() if above.any() else -1])))
    return np.array(limits)


def otsu(seen: Seen) -> NDArray[np.float64]:
    """Cut each class where the parts' variance between them is largest."""
    ranked = np.sort(seen.own, axis=0)
    count = np.arange(1, len(ranked))[:, None]
    below = ranked.cumsum(axis=0)[:-1]
    above = ranked.sum(axis=0) - below
    between = count * (len(ranked) - count) * (below / count - above / (len(ranked) - count)) ** 2
    return ranked[between.argmax(axis=0) + 1, np.arange(ranked.shape[1])]


def halfway(seen: Seen) -> NDArray[np.float64]:
    """Half the expected F1 of each class, which is the best limit on chances."""
    own = seen.own
    ranked = -np.sort(-own, axis=0)
    hits = ranked.cumsum(axis=0)
    f1 = 2 * hits / (np.arange(1, len(own) + 1)[:, None] + ranked.sum(axis=0))
    return f1.max(axis=0) / 2


def towards(rule: Rule, other: Rule, share: float) -> Rule:
    """Mix two rules' limits geometrically."""
    return lambda seen: np.exp((1 - share) * np.log(rule(seen) + 1e-9) + share * np.log(other(seen) + 1e-9))


def pooled_f1(seen: Seen) -> NDArray[np.float64]:
    """One limit for all classes: the best expected F1 over all entries."""
    limit = expected_f1(seen.own.reshape(-1, 1), seen.own.reshape(-1, 1))
    return np.full(seen.own.shape[1], limit[0])


RULES: dict[str, Rule] = {
    "0.5": constant(0.5),
    **{f"{value:g}": constant(value) for value in (0.2, 0.25, 0.3, 0.35, 0.4)},
    "expected F1, own scores": lambda seen: expected_f1(seen.own, seen.own),
    "expected F1, the labels' mass": lambda seen: expected_f1(seen.own, seen.labels),
    "expected F1, both": lambda seen: expected_f1(seen.own, (seen.own + seen.labels) / 2),
    "expected F1, own scores, all classes": pooled_f1,
    "halfway to the expected F1": halfway,
    "half by class, half for all": towards(halfway, pooled_f1, 0.5),
    **{f"{share:g} of the labels' mass": counted(share) for share in (0.6, 0.8, 1.0, 1.3)},
    "mixture": mixture,
    "Otsu": otsu,
}


def main() -> None:
    """Try the rules, print them, and write the figures."""
    out, given = Path(sys.argv[1]), dict(word.split("=", 1) for word in sys.argv[2:])
    figures: dict[str, Any] = {}
    for name, run in given.items():
        tables, truth = tables_of(Path(run))
        for table, own in tables.items():
            labels = own if table != STUDENT else tables.get(UPDATED, tables[FIRST])
            best = f1s(own >= best_by_truth(own, truth), truth)
            rows = {
                "the truth's": {
                    "cf1": best[0],
                    "of1": best[1],
                    "labels": float((own >= best_by_truth(own, truth)).sum(1).mean()),
                }
            }
            for rule_name, rule in RULES.items():
                given_ = own >= rule(Seen(own, labels))
                cf1, of1 = f1s(given_, truth)
                rows[rule_name] = {"cf1": cf1, "of1": of1, "cf1_share": cf1 / best[0], "of1_share": of1 / best[1]}
                rows[rule_name]["labels"] = float(given_.sum(axis=1).mean())
            figures.setdefault(table, {})[name] = {"labels_there": float(truth.sum(1).mean()), "rules": rows}
    for table, by_set in figures.items():
        print(f"\n{table}: CF1 and OF1 as shares of the truth's, %; labels a photograph")
        print(f"{'':40}" + "".join(f"{name:>22}" for name in by_set) + "     mean   least")
        for rule_name in ["the truth's", *RULES]:
            cells, shares = [], []
            for each in by_set.values():
                row = each["rules"][rule_name]
                pair = [row.get("cf1_share", row["cf1"]), row.get("of1_share", row["of1"])]
                shares += pair
                cells.append(f"{100 * pair[0]:7.1f} {100 * pair[1]:5.1f} {row['labels']:6.2f}  ")
            print(
                f"{rule_name:40}"
                + "".join(f"{cell:>22}" for cell in cells)
                + f"   {100 * np.mean(shares):6.1f} {100 * min(shares):6.1f}"
            )
    measure.save({"benchmark": "thresholds", "tables": figures}, out)


if __name__ == "__main__":
    main()
