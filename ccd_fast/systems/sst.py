"""SST: structured semantic transfer (Chen et al., AAAI 2022).

Unknown labels become positive in two ways: within an image, where the classes that it is known to have occur together
with another one; and across images, where a class's vector is near those of images that have the class.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from ccd_fast.systems.asl import asymmetric
from ccd_fast.systems.class_features import ClassFeatures, LinearAClass
from ccd_fast.systems.contrastive import CONTRASTIVE, Draws, contrastive, known_bce, pairs
from ccd_fast.systems.system import Seen, System

CO_OCCURRENCE = 10.0
"""Weight of the loss of the pairs."""
PAIR_FOCUS = 2.0
"""Focus of its negatives."""
START = 5 / 20
"""Pseudo-labels begin at epoch 5 of 20: here at the same share of the epochs."""
MARGIN, LOWER, LEAST = 0.95, 0.025, 0.75
"""What a pseudo-label asks for at first, how much less after each epoch that makes any, and at least."""
BANK = 100
"""Vectors kept a class."""


class PairHead(ClassFeatures):
    """The head with a logit for each pair of classes: whether both are in the image."""

    def __init__(self, features: int, words: torch.Tensor, edges: torch.Tensor, width: int = 0, inner: int = 0) -> None:
        """Draw weights; see :class:`ccd_fast.systems.class_features.ClassFeatures`."""
        super().__init__(features, words, edges, width, inner)
        width = self.fc.out_features
        half = inner or width // 2
        self.first, self.second = pairs(len(words))
        self.pair_1 = nn.Linear(width, half)
        self.pair_2 = nn.Linear(2 * half, width)
        self.pair_3 = nn.Linear(width, width)
        self.pair_classifiers = LinearAClass(len(self.first), width)

    def pair_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Compute s_ij for all pairs i < j, (B, P), from the vectors of the classes, (B, C, F).

        The first layer of a pair is linear in each of the two, and the last two layers are one linear map a pair: both
        are computed so, which is the same sum with far fewer products.
        """
        own = self.pair_1(features)
        of_first, of_second = self.pair_2.weight.chunk(2, dim=1)
        left, right = own @ of_first.T, own @ of_second.T + self.pair_2.bias
        both = torch.relu(left[:, self.first] + right[:, self.second])
        last = self.pair_classifiers
        offset = last.weight @ self.pair_3.bias + last.bias
        return (both * (last.weight @ self.pair_3.weight)).sum(dim=-1) + offset


def co_occurrence_loss(pair_logits: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Compute the asymmetric loss of the pairs, whose target is 1 where both are known positives and 0 elsewhere.

    Args:
        pair_logits: s, (B, P).
        known: (B, C) in {-1, 0, 1}.

    Returns:
        A scalar; 0 where there is one class and so no pair.
    """
    if not pair_logits.numel():
        return pair_logits.sum()
    first, second = pairs(known.shape[1])
    both = (known[:, first] == 1) & (known[:, second] == 1)
    return asymmetric(pair_logits, torch.where(both, 1, -1), negative_focus=PAIR_FOCUS).mean()


def within_image(pair_logits: torch.Tensor, known: torch.Tensor, margin: float) -> torch.Tensor:
    """Find the unknown classes whose mean sigma(s) with the known positives of their image is at or above a margin.

    Args:
        pair_logits: s, (B, P).
        known: (B, C) in {-1, 0, 1}.
        margin: at 1 there is none.

    Returns:
        (B, C) bool.
    """
    first, second = pairs(known.shape[1])
    together = torch.zeros((*known.shape, known.shape[1]), dtype=pair_logits.dtype, device=pair_logits.device)
    together[:, first, second] = together[:, second, first] = torch.sigmoid(pair_logits)
    positive = (known == 1).to(together)
    mean = (together @ positive[..., None])[..., 0] / positive.sum(dim=1, keepdim=True).clamp(min=1)
    return (known == 0) & (mean >= margin) & (margin < 1)


def across_images(features: torch.Tensor, known: torch.Tensor, bank: torch.Tensor, margin: float) -> torch.Tensor:
    """Find the unknown classes whose vector has a mean cosine with the bank's at or above a margin, (B, C) bool.

    Args:
        features: f, (B, C, F).
        known: (B, C) in {-1, 0, 1}.
        bank: (C, K, F); rows that are not filled yet are 0, and count.
        margin: at 1 there is none.
    """
    similar = cosine_similarity(features[:, :, None], bank, dim=-1).mean(dim=-1)
    return (known == 0) & (similar >= margin) & (margin < 1)


def filled(bank: torch.Tensor, features: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Put the vectors of a batch's known positives before a bank's, (C, K, F), and keep the first K of each class."""
    found = [torch.cat([features[known[:, c] == 1, c], own])[: len(own)] for c, own in enumerate(bank)]
    return torch.stack(found)


def sst_loss(
    head: PairHead,
    logits: torch.Tensor,
    known: torch.Tensor,
    bank: torch.Tensor,
    margins: tuple[float, float] | None,
    grown: float,
    draws: Draws,
) -> torch.Tensor:
    """Compute the loss of the batch that a head has just seen.

    Args:
        head: of the student.
        logits: z, (B, C).
        known: (B, C) in {-1, 0, 1}.
        bank: (C, K, F), the batch's own vectors in it.
        margins: of pseudo-labels within an image and across images; None where there are none yet.
        grown: share of the losses of pairs and vectors; it grows over the first epoch.
        draws: of the step.
    """
    features = head.of_the_last()
    pair_logits = head.pair_logits(features)
    of_pairs, apart = co_occurrence_loss(pair_logits, known), contrastive(features, known, draws)
    total = known_bce(logits, known) + grown * (CO_OCCURRENCE * of_pairs + CONTRASTIVE * apart)
    if margins is None:
        return total
    with torch.no_grad():
        found = within_image(pair_logits, known, margins[0]), across_images(features, known, bank, margins[1])
    for added in found:
        total = total + known_bce(logits, known + added.to(known))
    return total


class Sst(System):
    """BCE over the known labels, over both kinds of pseudo-labels, the loss of the pairs, and the contrastive loss."""

    def __init__(self, seen: Seen, head: PairHead) -> None:
        """Take the head, whose vectors the losses look at; the bank is empty."""
        super().__init__(seen)
        self.head = head
        self.bank = torch.zeros(head.out_channels, BANK, head.fc.out_features)
        self.start = round(START * seen.epochs)
        self.epoch = self.step = 0

    def rows(self) -> torch.Tensor:
        """Give all images, as the published trainer does."""
        return self.seen.readable

    @property
    def margin(self) -> float:
        """Give the margin of this epoch; both kinds have the same."""
        made = max(self.epoch - self.start, 0)
        return max(MARGIN - LOWER * made, LEAST)

    def before_epoch(self, epoch: int) -> None:
        """Count the steps anew."""
        self.epoch, self.step = epoch, 0

    def loss(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch; its vectors are in the bank before pseudo-labels are made of it."""
        known, features = self.known_of(rows, logits), self.head.of_the_last().detach()
        self.bank = filled(self.bank.to(features), features, known)
        margins = (self.margin, self.margin) if self.epoch >= self.start else None
        grown = self.step / self.seen.steps if self.epoch == 0 else 1.0
        return sst_loss(
            self.head, logits, known, self.bank, margins, grown, Draws(self.seen.seed, self.epoch, self.step)
        )

    def after_step(self, rows: torch.Tensor, logits: torch.Tensor) -> None:  # noqa: ARG002
        """Count it."""
        self.step += 1

    def state(self) -> dict[str, Any]:
        """Give the bank; the margin follows from the epoch."""
        return {"bank": self.bank.cpu(), "step": self.step}

    def go_on(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.bank, self.step = state["bank"], state["step"]
