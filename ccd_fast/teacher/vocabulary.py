"""The texts that views are compared with: the classes, their kinds, and what stands beside them (section 1)."""

import math
from collections.abc import Mapping
from copy import copy

import torch

Kinds = Mapping[int, torch.Tensor]
"""By the number of a class, the embeddings of its kinds, (K, D) float32, rows of length 1."""
NO_KINDS: Kinds = {}
POWER = 0.5
"""Of the number of a class's texts, that the sum of their odds is divided by: by the sum alone a class would win for
its many texts, and by their mean it would lose to what has one (``benchmarks/broad_names.py``)."""


class Vocabulary:
    """Embeddings of texts, on one device.

    Attributes:
        classes: t, (C, D) float32, rows of length 1.
        anchors: A, how many things stand beside the classes.
    """

    def __init__(self, classes: torch.Tensor, anchors: torch.Tensor | None = None, kinds: Kinds = NO_KINDS) -> None:
        """Put texts together.

        Args:
            classes: (C, D) float32.
            anchors: (A, D) float32, of what may be seen in place of the classes; None where nothing else may.
            kinds: of classes with broad names.
        """
        self.classes, self.anchors = classes, 0 if anchors is None else len(anchors)
        beside = [] if anchors is None else [anchors]
        self._texts = torch.cat([classes, *beside, *kinds.values()])
        self._columns: dict[int, list[int]] = {}
        first = len(classes) + self.anchors
        for number, own in kinds.items():
            self._columns[number] = [number, *range(first, first + len(own))]
            first += len(own)

    def to(self, device: str | torch.device) -> "Vocabulary":
        """Give the same texts on a device."""
        moved = copy(self)
        moved.classes, moved._texts = self.classes.to(device), self._texts.to(device)
        return moved

    def similarities(self, embeddings: torch.Tensor, scale: float) -> torch.Tensor:
        """Compute s_c = scale <e, t_c> of views, (M, D) float32: (M, C + A) float32, anchors last.

        Of a class with n texts, its own and those of its kinds, it is ln(sum of exp) less :data:`POWER` times ln(n):
        any of them will do.
        """
        found = scale * (embeddings @ self._texts.T)
        for number, columns in self._columns.items():
            found[:, number] = found[:, columns].logsumexp(dim=1) - POWER * math.log(len(columns))
        return found[:, : len(self.classes) + self.anchors]
