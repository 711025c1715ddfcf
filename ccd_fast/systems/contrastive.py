"""What SARB and SST share beside the head: BCE over known entries, and a contrastive loss of the classes' vectors."""

from collections.abc import Sequence

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity

CONTRASTIVE = 0.05
"""Weight of the contrastive loss."""


class Draws:
    """What is drawn for a step; a function of a key alone: a run that is resumed draws the same."""

    def __init__(self, *key: int) -> None:
        """Begin with whole numbers >= 0, such as seed, epoch and step."""
        seed = 0
        for part in key:
            seed = (seed * 1_000_003 + part + 1) % (2**63 - 25)
        self.generator = torch.Generator().manual_seed(seed)

    def permutation(self, count: int) -> torch.Tensor:
        """Draw a permutation of 0 … count - 1."""
        return torch.randperm(count, generator=self.generator)

    def index(self, count: int) -> int:
        """Draw one of 0 … count - 1."""
        return int(torch.randint(count, (1,), generator=self.generator))

    def uniform(self, shape: Sequence[int]) -> torch.Tensor:
        """Draw numbers in [0, 1)."""
        return torch.rand(*shape, generator=self.generator)

    def weighted(self, weights: torch.Tensor) -> torch.Tensor:
        """Draw an index by weights, (n,): (1,) int64."""
        return torch.multinomial(weights, 1, generator=self.generator)


def known_bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the mean BCE over the known entries of a batch; 0 where there are none.

    Args:
        logits: z, (B, C).
        targets: above 0 positive, which may be soft; below 0 negative; 0 unknown. (B, C).
    """
    side = torch.where(targets < 0, -1.0, 1.0).to(logits.dtype)
    losses = binary_cross_entropy_with_logits(side * logits, side * targets, reduction="none")
    known = (targets != 0).to(logits.dtype)
    return (known * losses).sum() / known.sum().clamp(min=1)


def pairs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give i and j of all pairs i < j, in the order of rows."""
    i, j = torch.triu_indices(count, count, offset=1)
    return i, j


def contrastive(features: torch.Tensor, known: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Compute the mean of 1 - s over pairs of images that both have a class, and of 1 + s over other known pairs.

    s is the cosine of a class's vectors in two images. Of the pairs of one sign each and of two absent ones, twice as
    many as there are positive pairs are drawn, and as many more are those of the largest s; without a positive pair
    all count.

    Args:
        features: f, (B, C, F).
        known: (B, C) in {-1, 0, 1}.
        draws: of the pairs of two absent ones, and then of those of one sign each.

    Returns:
        A scalar; 0 where no pair is known.
    """
    i, j = pairs(len(features))
    similar = cosine_similarity(features[i], features[j], dim=-1)
    one, other = known[i], known[j]
    drawn_together = 1 - similar[(one == 1) & (other == 1)]
    count = len(drawn_together)
    found = [drawn_together]
    for kind in ((one == -1) & (other == -1), one * other == -1):
        pushed = 1 + similar[kind]
        if count and len(pushed):
            some = draws.permutation(len(pushed))[: 2 * count].to(pushed.device)
            pushed = torch.cat([pushed[some], pushed.topk(min(count, len(pushed))).values])
        found.append(pushed)
    terms = torch.cat(found)
    return terms.mean() if len(terms) else features.sum() * 0
