"""Which thresholds, chosen without labels, come nearest to the truth's? And what do photographs of no class get?

``python benchmarks/thresholds.py OUT.json CLIP WORK NAME=ROOT …``: each ROOT is a folder with ``classes.txt`` and
``labels.csv``, whose *training* photographs are used; the test photographs are not looked at. The teacher embeds each
whole photograph and the cells of the recipe's grids once (``WORK/NAME.npz``); everything behind that is the library's.

*Rules*: for the labels that ``label`` gives, with all classes, CF1 and OF1 as shares of what thresholds by class reach
that the truth chooses on one half of the photographs and that are measured on the other (mean of both ways, five
splits): chosen and measured on the same photographs, thresholds of rare classes fit the noise. *None of these*: 2, 4
and 8 of the classes are kept, four draws each, with and without everyday nouns beside them; and how far the one
threshold for all classes gets that the truth chooses, which is what the labels' order allows.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ccd_fast import engines
from ccd_fast.bench import measure
from ccd_fast.datasets import ImageSet, Source
from ccd_fast.evaluation.metrics import average_precision
from ccd_fast.labels import FirstLabels, PseudoLabels, Update, limits, update_labels
from ccd_fast.labels.view_choice import grid_boxes
from ccd_fast.recipes import config
from ccd_fast.teacher import Clip, load_clip
from ccd_fast.teacher.words import vocabulary_of
from ccd_fast.views import open_backend, to_image_boxes

RECIPE = config.load("folder")
KEPT, DRAWS, SPLITS, BATCH, AT_LEAST = (2, 4, 8), 4, 5, 16, 10
NAMES_ALONE, EVERYDAY = "none", "everyday"
MOST_OF_NONE = 0.1
"""Of the photographs of none of the classes, the share of which fewer should get a label."""
Truth = NDArray[np.bool_]
Rule = Callable[[torch.Tensor], torch.Tensor]


def views_of(images: ImageSet, clip: Clip, cache: Path) -> torch.Tensor:
    """Embed the whole photographs and the cells of the grids, (N, 1 + cells, D) float32."""
    if cache.is_file():
        return torch.from_numpy(np.load(cache)["views"])
    backend, tower = open_backend("auto", torch.get_num_threads(), "cpu", RECIPE.views.max_megapixels), clip.tower
    engine = engines.open_engine(tower, engines.settings("auto", "auto", BATCH, "cpu"), engines.Store())
    cells, found = np.concatenate([grid_boxes(grid) for grid in RECIPE.labels.grids]), []
    for start in range(0, len(images), BATCH):
        rows = np.arange(start, min(start + BATCH, len(images)))
        photographs = backend.decode(images.files(rows), rows)
        if photographs.unreadable:
            sys.exit(f"{images.root}: {photographs.unreadable}")
        owner = np.repeat(np.arange(len(rows)), len(cells))
        boxes = to_image_boxes(np.tile(cells, (len(rows), 1)), photographs.sizes[owner], 1, None)
        whole = backend.whole(photographs, tower.image_size, tower.interpolation)
        crops = backend.crop(photographs, owner, boxes, tower.image_size, tower.interpolation)
        pixels = torch.cat([whole, crops])
        padded = torch.cat([pixels, pixels[:1].expand(-len(pixels) % BATCH, *pixels.shape[1:])])
        embedded = torch.cat([engine.embed(part) for part in padded.split(BATCH)])[: len(pixels)]
        found.append(torch.cat([embedded[: len(rows), None], embedded[len(rows) :].unflatten(0, (len(rows), -1))], 1))
    np.savez(cache, views=torch.cat(found).numpy())
    return torch.cat(found)


def labels_of(views: torch.Tensor, names: Sequence[str], clip: Clip, which: str, wide: bool = True) -> PseudoLabels:
    """Give the labels of ``label``: whole photographs and cells, with or without anchors, the bias divided out."""
    knobs, asked = RECIPE.labels, RECIPE.teacher if wide else RECIPE.teacher.model_copy(update={"names": "given"})
    words, _ = vocabulary_of(clip, names, asked, "everyday" if which == EVERYDAY else "none")
    similar = words.similarities(views.flatten(0, 1), clip.scale / RECIPE.teacher.temperature).unflatten(
        0, views.shape[:2]
    )
    first = FirstLabels(len(views), len(names), RECIPE.entropy_limit(similar.shape[2]), words.anchors)
    first.add(torch.arange(len(views)), similar[:, 0].contiguous())
    labels = first.finish(knobs.floor, RECIPE.bias.min_count, RECIPE.bias.debias)
    cells = similar[:, 1:].flatten(0, 1).softmax(dim=1)[:, : len(names)].contiguous()
    rows = torch.arange(len(views)).repeat_interleave(views.shape[1] - 1)
    update_labels(labels, rows, cells, Update(knobs.floor, knobs.whole_weight))
    return labels


def f1s(given: Truth, truth: Truth) -> tuple[float, float]:
    """Give CF1 and OF1 of decisions, (N, C) bool, as ``evaluate`` does."""
    hits, claims, there = (each.sum(axis=0).astype(float) for each in (given & truth, given, truth))
    present = there > 0
    precision, recall = ((hits / np.maximum(of, 1))[present].mean() for of in (claims, there))
    by_class = 2 * precision * recall / max(precision + recall, 1e-12)
    return float(by_class), float(2 * hits.sum() / max(claims.sum() + there.sum(), 1))


def by_truth(table: torch.Tensor, truth: Truth) -> tuple[float, float]:
    """Give CF1 and OF1 at the limits that the truth chooses on the other half of the photographs."""
    found = []
    for seed in range(SPLITS):
        given, half = np.zeros_like(truth), np.random.default_rng(seed).permutation(len(truth)) % 2 == 0
        for own, other in ((half, ~half), (~half, half)):
            told = torch.from_numpy(np.where(truth[other], 1, -1).astype(np.int8))
            chosen = limits.by_class(table[other], told=told, temperature=RECIPE.teacher.temperature)
            given[own] = (table[own] >= chosen).numpy()
        found.append(f1s(given, truth))
    return float(np.mean([cf1 for cf1, _ in found])), float(np.mean([of1 for _, of1 in found]))


def constant(value: float) -> Rule:
    """Give one limit to all classes."""
    return lambda table: torch.full((table.shape[1],), value)


def powered(share: float, power: float) -> Rule:
    """Give the rule in use with another share and another power."""
    return lambda table: limits.by_class(table, share * table**power / limits.HOLDS)


RULES: dict[str, Rule] = {
    **{f"{value:g} for all": constant(value) for value in (0.3, 0.5, 0.7)},
    **{
        f"a label's power of {power:g}, times {share:g}": powered(share, power)
        for power in (1.0, 1.5, 2.0, 2.5, 3.0)
        for share in (0.5, 1.0)
    },
    "in use": lambda table: limits.by_class(table, temperature=RECIPE.teacher.temperature),
}


def shares(given: Truth, truth: Truth) -> dict[str, float]:
    """Give what decisions are worth where many a photograph is of none of the classes."""
    none = ~truth.any(axis=1)
    hits = (given & truth).sum()
    return {
        "none_labelled": float(given.any(axis=1)[none].mean()),
        "recall": float(hits / truth.sum()),
        "precision": float(hits / max(given.sum(), 1)),
    }


def reach(table: torch.Tensor, truth: Truth, recall: float) -> dict[str, float]:
    """Give how far any one threshold for all classes gets, chosen by the truth itself: what the labels' order allows.

    Returns:
        ``none_labelled`` at the highest threshold that reaches a recall, and ``recall`` at the lowest one at which
        fewer than a tenth of the photographs of none of the classes get a label, 0 where labels of 1 are too many.
    """
    found = [shares((table >= limit).numpy(), truth) for limit in np.unique(table.numpy())]
    few = [one["recall"] for one in found if one["none_labelled"] < MOST_OF_NONE]
    return {
        "none_labelled": min(one["none_labelled"] for one in found if one["recall"] >= recall),
        "recall": max(few, default=0.0),
    }


def rules_on(table: torch.Tensor, truth: Truth) -> dict[str, Any]:
    """Try all rules on a table of labels."""
    best = by_truth(table, truth)
    rows = {"the truth's, of the other half": {"cf1": best[0], "of1": best[1]}}
    for name, rule in RULES.items():
        given = (table >= rule(table)).numpy()
        cf1, of1 = f1s(given, truth)
        rows[name] = {"cf1_share": cf1 / best[0], "of1_share": of1 / best[1], "labels": float(given.sum(1).mean())}
        print(
            f"  {name:36} {100 * cf1 / best[0]:6.1f} {100 * of1 / best[1]:6.1f} {given.sum(1).mean():6.2f}", flush=True
        )
    return rows


def none_on(views: torch.Tensor, images: ImageSet, clip: Clip, truth: Truth) -> dict[str, Any]:
    """Keep a few of the classes, and see what photographs of none of them get."""
    enough, found = np.flatnonzero(truth.sum(axis=0) >= AT_LEAST), dict[str, Any]()
    for kept in KEPT:
        for which in (NAMES_ALONE, EVERYDAY):
            rows = list[dict[str, Any]]()
            for seed in range(DRAWS):
                classes = sorted(np.random.default_rng(seed).choice(enough, kept, replace=False).tolist())
                own = labels_of(views, [images.prompt_names[c] for c in classes], clip, which).table
                ap = average_precision(own, torch.from_numpy(truth[:, classes])).nanmean()
                at = {"in use": RULES["in use"](own), "0.5": torch.tensor(0.5)}
                cut = {name: shares((own >= limit).numpy(), truth[:, classes]) for name, limit in at.items()}
                rows.append({"classes": [images.class_names[c] for c in classes], "map": float(ap), **cut})
                before = (found[f"{kept}, {NAMES_ALONE}"] if which == EVERYDAY else rows)[seed]["0.5"]["recall"]
                rows[seed]["the truth's, one for all"] = reach(own, truth[:, classes], before)
            found[f"{kept}, {which}"] = rows
            told = {key: np.mean([row["in use"][key] for row in rows]) for key in rows[0]["in use"]}
            print(f"  {kept} classes, anchors {which:9} mAP {np.mean([r['map'] for r in rows]):.3f} {told}", flush=True)
    return found


def main() -> None:
    """Try the rules, print them, and write the figures."""
    out, clip, work = Path(sys.argv[1]), load_clip(sys.argv[2]), Path(sys.argv[3])
    figures: dict[str, Any] = {}
    for name, root in (word.split("=", 1) for word in sys.argv[4:]):
        folder = Path(root)
        images = Source("folder", folder, folder / "classes.txt", folder / "labels.csv").load("train")
        assert images.truth is not None
        views, own = views_of(images, clip, work / f"{name}.npz"), dict[str, Any]()
        for which in (NAMES_ALONE, EVERYDAY):
            table = labels_of(views, list(images.prompt_names), clip, which).table
            ap = float(average_precision(table, torch.from_numpy(images.truth)).nanmean())
            print(f"{name}, anchors {which}, mAP {ap:.3f}: CF1 and OF1 as shares of the truth's, labels a photograph")
            own[f"all classes, {which}"] = {"map": ap, "rules": rules_on(table, images.truth)}
        own["a few classes"] = none_on(views, images, clip, images.truth)
        figures[name] = {"photographs": len(images), "labels_there": float(images.truth.sum(1).mean()), **own}
    measure.save({"benchmark": "thresholds", "recipe": "folder", "sets": figures}, out)


if __name__ == "__main__":
    main()
