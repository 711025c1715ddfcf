"""What holds a student back from one that is told the truth: which classes, and can their labels be mended?

``python benchmarks/held_back.py OUT.json NAME=RUN …``: RUNs as in ``ridge.py``, whose first head is solved on three
quarters of the training images, and its average precision is that on the others: five draws, no step of training, and
nothing is looked at that was kept for testing. It is solved from a run's first labels, from these mended by what the
student's backbone sees, and from the truth, of all classes or of :data:`WORST` only.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from ridge import DRAWS, maps_of

from ccd_fast.bench import measure
from ccd_fast.evaluation.metrics import average_precision
from ccd_fast.labels.neighbours import logits_of, nearest
from ccd_fast.outputs import origin
from ccd_fast.training.first_head import left_out, ridge_regression

WORST = 3
"""Classes whose labels are replaced by the truth: those that lose most."""
ENOUGH = 10
"""Training images that show a class, from which on its figure counts."""
Mended = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From labels, (N, C), and features, (N, F), of the training images alone, to logits, (N, C)."""


def drawn_together(count: int, weight: float) -> Mended:
    """Draw labels towards those of the nearest photographs."""

    def mended(labels: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        own = logits_of(labels)
        return (1 - weight) * own + weight * own[nearest(features, count)].mean(dim=1)

    return mended


def told_by_the_others(share: float) -> Mended:
    """Mix labels with what a head says that is solved on all other photographs."""

    def mended(labels: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        own = logits_of(labels)
        return (1 - share) * own + share * logits_of(torch.sigmoid(left_out(features, own)))

    return mended


WAYS: dict[str, Mended] = {
    "first labels": lambda labels, _: logits_of(labels),
    "drawn towards 10 neighbours by 0.3": drawn_together(10, 0.3),
    "drawn towards 30 neighbours by 0.5": drawn_together(30, 0.5),
    "half what a head of the others says": told_by_the_others(0.5),
    "four fifths what a head of the others says": told_by_the_others(0.8),
}


def precisions(features: torch.Tensor, labels: torch.Tensor, truth: torch.Tensor, mended: Mended) -> torch.Tensor:
    """Give each class's average precision on images that the head was not solved on, mean over draws, in %."""
    found = []
    for draw in range(DRAWS):
        order = torch.randperm(len(features), generator=torch.Generator().manual_seed(draw))
        test, train = order[: len(order) // 4], order[len(order) // 4 :]
        weights, biases = ridge_regression(features[train], mended(labels[train], features[train]))
        found.append(average_precision(features[test] @ weights.T + biases, truth[test]))
    return 100 * torch.stack(found).nanmean(dim=0)


def main() -> None:
    """Solve, print and write."""
    out, figures = Path(sys.argv[1]), {}
    for word in sys.argv[2:]:
        name, _, run = word.partition("=")
        maps, labels, truth, _ = maps_of(Path(run))
        features, classes = maps.float().mean(dim=(2, 3)), origin.class_names_of(Path(run))
        enough = truth.sum(dim=0) >= ENOUGH
        own = {way: precisions(features, labels, truth, mended) for way, mended in WAYS.items()}
        told = precisions(features, truth.float(), truth, WAYS["first labels"])
        lost = torch.where(enough, told - own["first labels"], -torch.inf)
        worst = lost.topk(WORST).indices
        partly = labels.clone()
        partly[:, worst] = truth[:, worst].float()
        told_some = f"the truth of {', '.join(classes[number] for number in worst)}"
        own |= {told_some: precisions(features, partly, truth, WAYS["first labels"]), "the truth": told}
        figures[name] = {
            "images": len(features),
            "classes_with_enough": int(enough.sum()),
            "test_map": {way: float(found[enough].mean()) for way, found in own.items()},
            "lost_by_class": {
                classes[number]: [float(own["first labels"][number]), float(told[number])]
                for number in lost.argsort(descending=True)[: int(enough.sum())]
            },
        }
        print(name, {way: round(value, 1) for way, value in figures[name]["test_map"].items()}, flush=True)
    measure.save({"benchmark": "what holds a student back", "draws": DRAWS, "sets": figures}, out)


if __name__ == "__main__":
    main()
