"""What a page says of a run, read from the run's folder."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ccd_fast.errors import UserError
from ccd_fast.labels import limits, on_disk
from ccd_fast.outputs import meaning, trained
from ccd_fast.outputs.meaning import Meaning
from ccd_fast.recipes import config
from ccd_fast.report import headlines
from ccd_fast.report.charts import Bar, Curve
from ccd_fast.report.headlines import HEADLINE, Line
from ccd_fast.runs import RunFolder
from ccd_fast.runs.folder import BIAS, SUMMARY
from ccd_fast.runs.told import by_people
from ccd_fast.studies import notes
from ccd_fast.training import CHOSEN, FIRST, HELD_OUT, TEACHER

QUARANTINED = 200
"""Unreadable photographs that are listed; the file lists them all."""


@dataclass(frozen=True)
class Facts:
    """All that the page says but for the gallery.

    Attributes:
        name: of the run's folder.
        teacher: its name, of a folder the last part.
        run: ``run.json``.
        summary: ``summary.json``.
        headline: metrics of teacher, labels and student; empty where no truth is known.
        said: what the headline amounts to, and what it rests on; sentences.
        epochs: how many there were.
        curves: by epoch, against the known labels; empty where there are none.
        agreement: by epoch, how well the student has learned the labels that are certain.
        bias: by class, the teacher's mean top score, and the mean label that became of it.
        by_class: average precision of the teacher and of the student on the test images.
        knobs: where the recipe differs from the built-in one that is nearest to it.
        nearest: that recipe's name.
        quarantine: path and reason of unreadable photographs.
        quarantined: how many there are.
        machine: what it ran on.
        debiased: whether the bias was divided out.
        meaning: what the student's probabilities mean on the test photographs; None where no truth is known.
        told: what people told the run of the labels, in words; nothing where they told it nothing.
        counts: of each class, the photographs that the last labels give it, and the label from which on they do.
    """

    name: str
    teacher: str
    run: dict[str, Any]
    summary: dict[str, Any]
    headline: list[Line]
    said: list[str]
    epochs: int
    curves: list[Curve]
    agreement: list[Curve]
    bias: list[Bar]
    by_class: list[Bar]
    knobs: dict[str, object]
    nearest: str
    quarantine: list[tuple[str, str]]
    quarantined: int
    machine: dict[str, str]
    debiased: bool
    told: str
    counts: list[Bar]
    meaning: Meaning | None = None

    @property
    def foretells(self) -> bool:
        """Tell whether a first head was measured on photographs that it was not solved on."""
        return HELD_OUT in self.summary["metrics"]

    @property
    def of_ccd(self) -> bool:
        """Tell whether the labels are CCD's: those of the systems to compare with come from no crops."""
        return bool(self.run.get("system", "ccd") == "ccd")


def read(run: Path, min_positives: int = 0) -> Facts:
    """Read a run's folder.

    Args:
        run: its folder.
        min_positives: classes with fewer positives are left out of the figures.

    Raises:
        UserError: it is not a run, has not ended, or has no classes with so many positives.
    """
    folder = RunFolder(run)
    description, summary = folder.read_json("run.json"), folder.summary()
    if summary is None:
        raise UserError(
            f"{run}: the run has not ended (no {SUMMARY}); go on with `ccd-fast train --resume --out {run}`"
        )
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    epochs = [record for record in records if "loss" in record]
    knobs, nearest = _knobs(run)
    headline, said = headlines.read(run, summary["metrics"], description["class_names"], min_positives)
    with (run / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        quarantine = [(row["path"], row["reason"]) for row in csv.DictReader(file)]
    return Facts(
        name=run.resolve().name,
        teacher=_short(description["teacher"]),
        run=description,
        summary=summary,
        headline=headline,
        said=said,
        epochs=summary["epochs"],
        curves=_curves(epochs, summary["metrics"]),
        agreement=_agreement(epochs),
        bias=_bias(folder),
        by_class=_by_class(headline),
        knobs=knobs,
        nearest=nearest,
        quarantine=quarantine[:QUARANTINED],
        quarantined=len(quarantine),
        machine=_machine(description["machine"]),
        debiased=config.of_run(run).bias.debias,
        told=by_people(description),
        counts=_counts(run, description["class_names"]),
        meaning=meaning.measured(run, trained.load_late(run)),
    )


def _short(teacher: str) -> str:
    return Path(teacher).name if Path(teacher).is_absolute() or Path(teacher).is_dir() else teacher


def _machine(described: dict[str, Any]) -> dict[str, str]:
    packages = ", ".join(f"{name} {version}" for name, version in described["packages"].items())
    others = {name: str(value) for name, value in described.items() if name != "packages" and value is not None}
    return {**others, "packages": packages}


def _curves(epochs: list[dict[str, Any]], metrics: dict[str, Any]) -> list[Curve]:
    """Gather what the known labels say of each epoch: of the student, and of the pseudo-labels."""
    found = []
    test = [(e["epoch"], e["test"]["mean_average_precision"]) for e in epochs if e.get("test")]
    first = metrics.get(FIRST, {}).get("mean_average_precision")
    labels = [(e["epoch"], e.get("pseudo_label_map", first)) for e in epochs]
    if test:
        found.append(Curve("student, test mAP", test))
    if first is not None:
        found.append(Curve("pseudo-labels, training mAP", [(e, v) for e, v in labels if v is not None]))
    teacher = metrics.get(f"{TEACHER}, test", {}).get("mean_average_precision")
    if teacher is not None and epochs:
        found.append(Curve("zero-shot teacher, test mAP", [(e["epoch"], teacher) for e in epochs], dashed=True))
    return [curve for curve in found if curve.points]


def _agreement(epochs: list[dict[str, Any]]) -> list[Curve]:
    """Gather the agreement of the student with the labels that are 1, where there were any."""
    points = [(e["epoch"], e["agreement"]) for e in epochs if e["agreement"] is not None]
    return [Curve("the student, measured by its own labels", points)] if points else []


def _bias(folder: RunFolder) -> list[Bar]:
    if not (folder.path / BIAS).is_file():
        return []  # a run of an older version
    found = [
        Bar(name, {"score": facts["mean_top_score"], "label": facts["mean_top_label"]}, _images(facts["images"]))
        for name, facts in folder.read_json(BIAS).items()
    ]
    return sorted(found, key=lambda bar: -(bar.values["score"] or 0))


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _by_class(headline: list[Line]) -> list[Bar]:
    """Put the student's average precision of each class beside the teacher's, the best first."""
    measured = {line.name: line.metrics["average_precision"] for line in headline}
    student, teacher = (measured.get(HEADLINE[name], {}) for name in (CHOSEN, f"{TEACHER}, test"))
    found = [Bar(name, {"teacher": teacher.get(name), "student": value}) for name, value in student.items()]
    return sorted(found, key=lambda bar: -(bar.values["student"] or 0))


def _counts(run: Path, names: list[str]) -> list[Bar]:
    """Count as `label` does: from the recipe's threshold on, or from that of each class."""
    last = on_disk.files(run)[-1]
    table = on_disk.of_classes(last, len(names))
    readable = torch.from_numpy(table[np.array(on_disk.words(last, "status")) == "labelled"])
    recipe = config.of_run(run)
    own, temperature = recipe.evaluate.threshold, recipe.teacher.temperature
    least = limits.by_class(readable, temperature=temperature) if own == "auto" else torch.full((len(names),), own)
    counts = (readable >= least).sum(dim=0).tolist()
    found = zip(names, counts, least.tolist(), strict=True)
    return [Bar(n, {"photographs": float(count), "least": at}) for n, count, at in sorted(found, key=lambda f: -f[1])]


def _knobs(run: Path) -> tuple[dict[str, object], str]:
    """Give the knobs that differ from the built-in recipe which is nearest, and that one's name."""
    own = config.of_run(run)
    differing = {name: notes.changed(own, config.load(name)) for name in config.built_in()}
    nearest = min(differing, key=lambda name: len(differing[name]))
    return differing[nearest], nearest
