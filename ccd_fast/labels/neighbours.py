"""Labels are drawn towards those of the photographs that look most alike (not in the paper).

The teacher errs on a photograph, and less on all that look like it: the student's backbone, which has learned from
other labels, says which those are. What is common to them is kept, and what a photograph's labels say alone gives way
(docs/RESULTS.md has what it gains).
"""

import torch
from torch.nn.functional import normalize

from ccd_fast.labels.table import PseudoLabels, shape_of
from ccd_fast.machine import Ranks
from ccd_fast.machine.blocks import blocks
from ccd_fast.runs.tables import IN_MEMORY, Tables

WEIGHT = 0.3
"""Of the neighbours' labels."""
SURE = 0.9
"""From here on a label counts as sure where labels are drawn together, so that hardly one is 1."""
SOFTENED = 0.002
"""Labels are softened by so much at 0 and 1, where they have no logit."""


def logits_of(labels: torch.Tensor) -> torch.Tensor:
    """Give the logits of labels in [0, 1], softened at both ends."""
    return torch.logit(labels.float().clamp(SOFTENED, 1 - SOFTENED))


LEAST, MOST = 0.5, 0.95
"""Quantiles of a class's guessed labels: as sure is a known one, absent or there, where labels are regressed. They and
that its own guess counts as much were chosen on training photographs, told at random and in doubt."""


def targets_of(labels: PseudoLabels, rows: torch.Tensor) -> torch.Tensor:
    """Give what the labels of some photographs are to a regression: their logits, and of known ones what is like them.

    The logits of 0 and 1 lie far from all that is guessed: a few known labels would outweigh the others, and the
    student be worse for what it was told. A known label counts as the surest twentieth of the guesses of its class, an
    absent one as their middle, or as its own guess where that is beyond; and half of it is its own guess.

    Args:
        labels: of N images and C classes.
        rows: (M,) int64.

    Returns:
        (M, C) float32.
    """
    guesses = logits_of(labels.guessed()[rows])
    if labels.told is None or not len(rows):
        return guesses
    least, most = (guesses.kthvalue(1 + round(q * (len(rows) - 1)), dim=0).values for q in (LEAST, MOST))
    told = labels.told[rows]
    there, absent = torch.maximum(guesses, most), torch.minimum(guesses, least)
    return (guesses + torch.where(told > 0, there, torch.where(told < 0, absent, guesses))) / 2


def nearest(features: torch.Tensor, count: int) -> torch.Tensor:
    """Find the rows whose features are most alike, by the cosine once the mean is taken away.

    Args:
        features: (M, F) float32.
        count: k.

    Returns:
        (M, k) int64, the nearest first and never the row itself; fewer than k where there are not so many others.
    """
    directions = normalize(features - features.mean(dim=0), dim=1)
    count = min(count, len(directions) - 1)
    found = []
    for block in blocks(range(len(directions)), len(directions)):
        alike = directions[block] @ directions.T
        alike[torch.arange(len(alike)), torch.arange(block.start, block.stop)] = -torch.inf
        found.append(alike.topk(count, dim=1).indices)
    return torch.cat(found)


def know_each_other(labels: PseudoLabels, rows: torch.Tensor, features: torch.Tensor, count: int, ranks: Ranks) -> None:
    """Let labels remember which photographs are nearest to each.

    Args:
        labels: get ``near``, the leader's in all processes: on another machine the same sums may round otherwise.
        rows: (M,) int64, of the photographs that were looked at.
        features: (M, F) float32, what a network sees in them.
        count: k.
        ranks: the processes.
    """
    found = nearest(features, count) if ranks.leads else torch.zeros((len(rows), min(count, len(rows) - 1)))
    labels.near = torch.full((len(labels.table), found.shape[1]), -1)
    labels.near[rows] = rows[ranks.total(found.long())]


def draw_together(labels: PseudoLabels, tables: Tables = IN_MEMORY) -> None:
    """Draw the labels of photographs towards those of their neighbours.

    logit y_i becomes 0.7 logit y_i + 0.3 times the mean of logit y_j over the k nearest photographs j. What is known of
    the labels stays, and draws with the others, by :func:`targets_of`.

    Args:
        labels: which :func:`know_each_other`; get their next table, the same on all processes, and keep the one before
            as ``alone``: how many photographs a class has is to be seen there.
        tables: make the next table.
    """
    assert labels.near is not None, "first the nearest photographs are found"
    if not labels.near.shape[1]:
        return
    rows = torch.nonzero(labels.near[:, 0] >= 0).flatten()
    near, guessed = labels.near[rows], labels.guessed()
    own, shown = logits_of(guessed[rows]), logits_of(guessed)
    shown[rows] = targets_of(labels, rows)
    of_others = torch.cat(
        [shown[near[block]].mean(dim=1) for block in blocks(range(len(near)), near[0].numel() * shown.shape[1])]
    )
    # all at once in every process, as the last bits of a row go by where it stands
    drawn = torch.sigmoid((1 - WEIGHT) * own + WEIGHT * of_others)
    place = torch.full((len(guessed),), -1)
    place[rows] = torch.arange(len(rows))

    def made(block: slice) -> torch.Tensor:
        table, among = guessed[block].to(torch.float32, copy=True), place[block]
        table[among >= 0] = drawn[among[among >= 0]]
        return table

    labels.table, labels.guess, labels.alone = tables.made(shape_of(guessed), made), None, guessed
    labels.pin(tables)
