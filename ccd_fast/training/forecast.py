"""How long a run still takes: said after its first stage, and corrected by each that ends, also after ``--resume``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ccd_fast.recipes import Recipe
from ccd_fast.runs.durations import in_words
from ccd_fast.student.training_views import flips
from ccd_fast.training.first_head import MOST

Record = Mapping[str, Any]
BEFORE = -1
"""Stands for the epoch of a stage before the first one."""
READ, DECODED = 0.05, 0.25
"""What a photograph takes that no network has to see again, as a share of what a view takes: its map is read, or it is
decoded and its features are found."""


@dataclass(frozen=True)
class Planned:
    """A stage that a run will go through.

    Attributes:
        name: of the stage.
        epoch: :data:`BEFORE` the first.
        images: N.
        views: of an image that each network sees, on average.
    """

    name: str
    epoch: int
    images: int
    views: Mapping[str, float]


@dataclass(frozen=True)
class Forecast:
    """What a run will do, and what is known of the speed of the networks beforehand.

    Attributes:
        recipe: of the run.
        images: for training.
        test: images that the student is tested on; 0 where there are none.
        least: by stage and network, the seconds that a view takes at least (:mod:`ccd_fast.engines.ceilings`).
        looks_once: whether the teacher looks once for all updates (:mod:`ccd_fast.teacher.maps`).
        keeps_features: whether the student's backbone sees no view twice (:mod:`ccd_fast.training.memory`).
    """

    recipe: Recipe
    images: int
    test: int
    least: Mapping[str, Mapping[str, float]]
    looks_once: bool = False
    keeps_features: bool = False

    def remaining(self, records: Sequence[Record]) -> float | None:
        """Give the seconds that are left after the stages of some records, in order.

        A stage takes as long as the last one of its kind did, view for view. One of a kind that has not been yet takes
        as long as its networks' work does at the nearness to the hardware that the stages so far had; where only the
        student's head learns, as long as the first look of its backbone did.

        Returns:
            None where a kind of stage has not been yet and nothing is known of its networks' speed.
        """
        found = [self._seconds(planned, records) for planned in self._left(records)]
        known = [seconds for seconds in found if seconds is not None]
        return None if len(known) < len(found) else sum(known)

    def said(self, records: Sequence[Record]) -> str:
        """Say it in a few words; nothing where it is not known, or nothing is left."""
        seconds = self.remaining(records)
        return f"about {in_words(seconds)} to go in this run" if seconds is not None and seconds >= 1 else ""

    def plan(self) -> Iterator[Planned]:
        """List the stages of the whole run, in order."""
        recipe = self.recipe
        yield Planned("first labels", BEFORE, self.images, {"teacher": 1})
        if self.test:
            yield Planned("zero-shot on the test images", BEFORE, self.test, {"teacher": 1})
        if recipe.is_ccd and recipe.labels.grids:
            yield Planned("cells", BEFORE, self.images, {"teacher": sum(side**2 for side in recipe.labels.grids)})
        if recipe.begins_with_a_ridge(self.images):
            yield Planned("first head", BEFORE, min(self.images, MOST), {"student": 1})
        looks = not recipe.boxes_of_the_training(self.images)
        has_tau = has_updated = has_tested = False
        for epoch in range(recipe.train.epochs):
            if recipe.updates_labels(epoch):
                if looks and (not has_tau or recipe.relabel.tau == "every"):
                    yield Planned("activity threshold", epoch, self.images, {"student": 1})
                again = (
                    {"maps": READ if has_updated else 1.0} if self.looks_once else {"teacher": recipe.relabel.k + 1.0}
                )
                yield Planned("relabel", epoch, self.images, again | ({"student": 1.0} if looks else {}))
                has_tau = has_updated = True
            yield Planned("train", epoch, self.images, {"training": self._views_of(epoch)})
            if self.test:
                yield Planned("evaluate", epoch, self.test, {"student": self._share_of(not has_tested)})
                has_tested = True

    def _views_of(self, epoch: int) -> float:
        """Give how many views of an image are trained on: two with the consistency loss, of which no second is kept."""
        return self._share_of(self._new_views[epoch]) + self.recipe.is_consistent(epoch)

    def _share_of(self, new: float) -> float:
        """Give what a view takes of which a share is new."""
        return DECODED + (1 - DECODED) * new if self.keeps_features else 1.0

    @cached_property
    def _new_views(self) -> list[float]:
        """Give the share of each epoch's first views that were neither trained on before nor seen by the first head."""
        seen = np.zeros((self.images, 2), dtype=bool)
        seen[:, 0] = self.recipe.begins_with_a_ridge(self.images)
        shares = []
        for epoch in range(self.recipe.train.epochs):
            view = np.arange(self.images), flips(self.recipe.seed, epoch, self.images)[:, 0].astype(np.int64)
            shares.append(1 - float(seen[view].mean()))
            seen[view] = True
        return shares

    def _left(self, records: Sequence[Record]) -> list[Planned]:
        done = {(record["stage"], record.get("epoch", BEFORE)) for record in records if "stage" in record}
        trained = max((epoch for name, epoch in done if name == "train"), default=BEFORE)
        plan = list(self.plan())
        has_settled = any(p.name == "relabel" and p.epoch <= trained and (p.name, p.epoch) not in done for p in plan)
        ended = ("relabel", "activity threshold") if has_settled else ()
        behind = {p.epoch for p in plan if p.epoch < trained} if trained != BEFORE else set()
        return [p for p in plan if (p.name, p.epoch) not in done and p.epoch not in behind and p.name not in ended]

    def _seconds(self, planned: Planned, records: Sequence[Record]) -> float | None:
        last = _last(planned.name, records)
        if last is None and self.keeps_features and planned.name in ("train", "evaluate"):
            last = _last("first head", records)
        if last is not None:
            same = (p for p in self.plan() if (p.name, p.epoch) == (last["stage"], last.get("epoch", BEFORE)))
            then = next(same, planned)  # none in a run that was shortened
            views = sum(planned.views.values()) / sum(then.views.values())
            return float(planned.images * views * last["seconds"] / last["images"])
        least = self.least.get(planned.name, {})
        near = next((r["of_matmul"] for r in reversed(records) if r.get("of_matmul")), None)
        if near is None or any(network not in least for network in planned.views):
            return None
        views = sum(count * least[network] for network, count in planned.views.items())
        return float(planned.images * views / near)


def _last(stage: str, records: Sequence[Record]) -> Record | None:
    return next((r for r in reversed(records) if r.get("stage") == stage and r["images"]), None)
