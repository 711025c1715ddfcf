"""Are the classes that `label` calls probably missed really missed, where one threshold for all is given?

``python benchmarks/missed.py OUT.json NAME=RUN …``: each RUN is a folder of a run whose training images have known
labels; its first labels are cut at each of :data:`THRESHOLDS`, and at the thresholds of the classes' own. A class is
missed where it is given to at most half of the photographs that show it, and to five fewer at least. The test images
are not looked at.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ccd_fast.bench import measure
from ccd_fast.evaluation import scores
from ccd_fast.labels.limits import by_class
from ccd_fast.outputs import decisions, origin, trained
from ccd_fast.outputs.labelling import Labelled, chosen
from ccd_fast.training.measures import FIRST

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)


def counted(run: Path) -> dict[str, dict[str, int]]:
    """Count the classes that are named, those of them that are missed, and all that are missed, by threshold."""
    model = trained.load(run)
    kept = scores.read(run, FIRST, model.class_names)
    if kept is None:
        sys.exit(f"{run}: no first labels with their truth are kept there")
    images = replace(origin.origin(run)[0].load("train"), paths=tuple(kept.paths))
    own = by_class(kept.table).numpy()
    labelled = Labelled(images, kept.table, kept.table.new_ones(len(kept.table)).bool(), {}, "the teacher", own)
    there, found = kept.truth.numpy().sum(axis=0), {}
    for name, limits in {"own": own, **{f"{cut:g}": np.full_like(own, cut) for cut in THRESHOLDS}}.items():
        decided = chosen(labelled, limits)
        given = decided.sum(axis=0)
        lacking = (2 * given <= there) & (there - given >= decisions.AT_LEAST)
        missed = {name for name, lacks in zip(model.class_names, lacking, strict=True) if lacks}
        named = {each.name for each in decisions.probably_missed(labelled, decided)}
        found[name] = {"named": len(named), "right": len(named & missed), "missed": len(missed)}
    return found


if __name__ == "__main__":
    out, *runs = sys.argv[1:]
    figures = {name: counted(Path(run)) for name, _, run in (word.partition("=") for word in runs)}
    for name, rows in figures.items():
        print(*(f"{name:10} threshold {cut:4} {row}" for cut, row in rows.items()), sep="\n")
    measure.save({"benchmark": "classes that are probably missed, training images", "classes": figures}, Path(out))
