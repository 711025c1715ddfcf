"""Labels and predictions over shards: the passes, one after the other, and what they came to.

First labels need two passes, as the bias is that of all photographs (section 2): scores, with integer sums that add up
over shards in any order, and then the division, which looks at no photograph again. Memory does not grow with the
number of photographs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ccd_fast.cluster import output, shards, table_files
from ccd_fast.cluster.shards import Shard
from ccd_fast.cluster.steps import Debias, Job, LookAgain, Predict, Score, Step, Verdict
from ccd_fast.cluster.worker import DAMAGED, FAILED, REFUSED
from ccd_fast.errors import RunError, UserError
from ccd_fast.labels.bias import UNNAMED, bias_of_what_is_beside, class_bias
from ccd_fast.recipes import Recipe

Over = Callable[[Sequence[Shard], Step], Iterator[dict[str, Any]]]
"""Does a step to shards and gives their reports in any order; see :func:`ccd_fast.cluster.pool.over`."""
TELLS = 10.0
"""Seconds between two lines of progress."""


class Run:
    """A run over shards: its shards, where it writes, and what has been found so far."""

    def __init__(self, job: Job, parts: Sequence[Shard], over: Over, say: Callable[[str], None]) -> None:
        """Nothing is done yet."""
        self.job, self.parts, self.over, self.say = job, parts, over, say
        self.damaged: dict[str, str] = {}
        self.passes: dict[str, dict[str, Any]] = {}

    def go(self, step: Step, title: str) -> set[str]:
        """Do a step to the shards that are not done, but for damaged ones; give those that are done now.

        Raises:
            UserError: what the step looks with cannot be had.
            RunError: a shard could not be done, and not by its own fault; what was done is kept.
        """
        out, before = self.job.out, output.done(self.job.out, step.writes)
        left = [shard for shard in self.parts if shard.name not in before and shard.name not in self.damaged]
        if kept := len(self.parts) - len(left) - len(self.damaged):
            self.say(f"{title}: {kept} of {len(self.parts)} shards are done already")
        start = told = time.perf_counter()
        counts, times, failed = Counter[str](), Counter[str](), dict[str, str]()
        for report in self.over(left, step) if left else ():
            if REFUSED in report:
                raise UserError(report[REFUSED])
            if DAMAGED in report:
                self.damaged[report["shard"]] = report[DAMAGED]
                self.say(f"damaged, left out: {report[DAMAGED]}")
            elif FAILED in report:
                failed[report["shard"]] = report[FAILED]
            else:
                record = report["record"]
                counts.update(shards=1, photographs=record["photographs"], unreadable=record["unreadable"])
                times.update({**record["parts"], "all": record["seconds"]})
            if time.perf_counter() - told > TELLS:
                told = time.perf_counter()
                self.say(_line(title, counts, len(left), told - start))
        seconds = time.perf_counter() - start
        if left:
            self.say(f"{_line(title, counts, len(left), seconds)} in {seconds:.1f} s")
        self.passes[step.writes] = _of_pass(counts, times, seconds)
        there = output.done(out, step.writes)
        lost = [shard.name for shard in left if shard.name not in there and shard.name not in self.damaged]
        if lost:
            why = next(iter(failed.values()), "its actor ended each time")
            raise RunError(
                f"{len(lost)} of {len(self.parts)} shards could not be done, for example {lost[0]}: {why}; the others "
                "are kept: go on with --incremental"
            )
        return there & {shard.name for shard in self.parts}

    def summary(self) -> dict[str, Any]:
        """Write down and give what the run came to, what was done in earlier ones included."""
        job, here = self.job, {shard.name for shard in self.parts}
        finished = output.done(job.out, table_files.LABELS) & here
        counts, by_class = Counter[str](), torch.zeros(len(job.prompt_names), dtype=torch.int64)
        for record in output.records(job.out, table_files.LABELS, finished):
            counts.update({name: record[name] for name in ("photographs", "unreadable", "labels")})
            by_class += torch.tensor(record["by_class"], dtype=torch.int64)
        found = {
            "shards": len(finished),
            **{name: counts[name] for name in ("photographs", "unreadable", "labels")},
            "by_class": dict(zip(job.class_names, by_class.tolist(), strict=True)),
            "damaged_shards": self.damaged,
            "passes": self.passes,
        }
        output.write_json(job.out, output.SUMMARY, found)
        return found


def first_labels(run: Run, recipe: Recipe, verdict: Verdict) -> dict[str, Any]:
    """Label by the teacher: both passes (section 2). Gives the summary.

    Raises:
        UserError: no photograph is confident, so that there is no bias.
    """
    out = run.job.out
    scored = run.go(Score(run.job, recipe), "scores")
    run.parts = [shard for shard in run.parts if shard.name in scored]
    bias = _bias(run, recipe, scored)
    told = {"bias": bias.tolist(), "classes": list(run.job.class_names)}
    if out.exists(output.BIAS) and output.read_json(out, output.BIAS) != told:
        for stale in (table_files.LABELS, f"{table_files.DONE}/{table_files.LABELS}"):
            out.remove(stale)  # shards have come, or gone
    output.write_json(out, output.BIAS, told)
    run.go(Debias(run.job, recipe, bias, verdict), "labels")
    return run.summary()


def _bias(run: Run, recipe: Recipe, scored: set[str]) -> torch.Tensor:
    """Give b, (C,) float32, of all shards that are scored: their sums are integers, in any order the same bits."""
    classes, readable = len(run.job.prompt_names), 0
    total = torch.tensor(0)
    for record in output.records(run.job.out, table_files.SCORES, scored):
        total = total + torch.tensor([record["bias_sums"], record["bias_counts"]])
        readable += record["photographs"] - record["unreadable"]
    if not readable:
        first = next(iter(run.damaged.values()), f"see {run.job.out.at}")
        raise UserError(f"{run.job.source.at}: no photograph can be read; {first}")
    if not recipe.bias.debias:
        return torch.ones(classes)
    sums, counts = total
    if not counts.any():
        raise UserError(
            "no photograph is confident: the entropy of its scores is above labels.max_entropy = "
            f"{recipe.labels.max_entropy} in all of them: check the class names and the teacher, or begin anew with a "
            "higher labels.max_entropy and --overwrite"
        )
    if counts[:classes].any():
        return class_bias(sums[:classes], counts[:classes], recipe.bias.min_count)
    run.say(UNNAMED)
    return bias_of_what_is_beside(sums, counts, classes)


def labels_by_run(run: Run, folder: Path, recipe: Recipe, verdict: Verdict) -> dict[str, Any]:
    """Label by a trained run, in one pass (section 4). Gives the summary.

    Raises:
        UserError: the run looks where the number of a photograph among all says, or measures the bias anew.
    """
    views = recipe.views
    if views.choice not in ("cam", "whole", "grid") or views.jitter or (recipe.bias.debias and recipe.bias.again):
        raise UserError(
            f"--run {folder}: its recipe needs all photographs at once (views.choice = {views.choice!r}, "
            f"views.jitter = {views.jitter:g}, bias.again = {recipe.bias.again}): label in one process, without --on"
        )
    run.go(LookAgain(run.job, folder, verdict), "labels")
    return run.summary()


def predictions(run: Run, folder: Path, checkpoint: str, verdict: Verdict) -> dict[str, Any]:
    """Predict with a trained student, in one pass (section 5). Gives the summary."""
    run.go(Predict(run.job, folder, checkpoint, verdict), "predictions")
    return run.summary()


def find(job: Job, dataset: str | None) -> list[Shard]:
    """List a job's shards; see :func:`ccd_fast.cluster.shards.find`."""
    return shards.find(job.source, dataset)


def _line(title: str, counts: Counter[str], total: int, seconds: float) -> str:
    bad = f", {counts['unreadable']:,} unreadable" if counts["unreadable"] else ""
    rate = counts["photographs"] / max(seconds, 1e-9)
    return f"{title}: {counts['shards']} of {total} shards, {counts['photographs']:,} photographs{bad}, {rate:.1f}/s"


def _of_pass(counts: Counter[str], times: Counter[str], seconds: float) -> dict[str, Any]:
    """Say of a pass of this run how fast it was, and where the actors' time went."""
    spent = times.pop("all", 0.0)
    share = {part: round(each / spent, 3) for part, each in times.items()} if spent else {}
    rate = round(counts["photographs"] / seconds, 2) if counts["photographs"] else 0.0
    return {
        "shards": counts["shards"],
        "photographs": counts["photographs"],
        "seconds": round(seconds, 3),
        "actor_seconds": round(spent, 3),
        "images_per_second": rate,
        "share": share,
    }
