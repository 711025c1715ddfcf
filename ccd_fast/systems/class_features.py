"""The head that SARB and SST share: a feature vector a class, gathered by attention and passed along a graph.

From maps to logits in four steps: a 1 x 1 convolution; attention of each class over the positions, led by a vector of
the class's name; a gated graph network whose edges are how often classes occur together; a linear layer a class. The
published code takes GloVe vectors of the names, which are not public with it; here they are the teacher's text
embeddings. Features are half as wide as the backbone's, as theirs with a ResNet-101; behind a narrower backbone an
eighth, as the graph would otherwise take longer than the photographs.
"""

import math

import torch
from torch import nn
from torch.amp.autocast_mode import is_autocast_available

from ccd_fast.student import Student

GRAPH_STEPS = 3
WIDE = 2048
"""Channels of a backbone from which on the head has half of them, and below which an eighth."""


def width_behind(features: int) -> int:
    """Give the width of the classes' vectors behind a backbone of so many channels."""
    return features // 2 if features >= WIDE else max(features // 8, 16)


def co_occurrence(known: torch.Tensor) -> torch.Tensor:
    """Compute A_ij, the share of the images with a known positive i that have a known positive j too.

    Args:
        known: (N, C) int8.

    Returns:
        (C, C) float64; NaN in the row of a class without a known positive.
    """
    positive = (known == 1).double()
    together = positive.T @ positive
    return together / together.diagonal()[:, None]


class ClassAttention(nn.Module):
    """Gathers a vector a class from the positions of a map."""

    def __init__(self, features: int, words: int, inner: int) -> None:
        """Draw weights for maps of so many features and vectors of so many words' dimensions."""
        super().__init__()
        self.fc1 = nn.Linear(features, inner, bias=False)
        self.fc2 = nn.Linear(words, inner, bias=False)
        self.fc3 = nn.Linear(inner, inner)
        self.fc4 = nn.Linear(inner, 1)

    def forward(self, maps: torch.Tensor, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute f_c = sum_w a_cw f_w, (B, C, F), and a, (B, h, w, C).

        ``fc4`` follows ``fc3`` without anything between: their product is taken first, once for all positions.

        Args:
            maps: f, (B, F, h, w).
            words: x, (C, D).
        """
        batch, _, height, width = maps.shape
        places = maps.flatten(2).transpose(1, 2)
        led = torch.tanh(self.fc1(places)[:, :, None] * self.fc2(words))
        both = self.fc4.weight @ self.fc3.weight
        scores = (led @ both[0]) + self.fc4(self.fc3.bias)
        attention = torch.softmax(scores, dim=1)
        return attention.transpose(1, 2) @ places, attention.view(batch, height, width, -1)


class GatedGraph(nn.Module):
    """Lets classes hear of each other, along the edges of a graph and against them."""

    def __init__(self, features: int) -> None:
        """Draw weights."""
        super().__init__()
        self.update_w, self.update_u = nn.Linear(2 * features, features), nn.Linear(features, features)
        self.reset_w, self.reset_u = nn.Linear(2 * features, features), nn.Linear(features, features)
        self.state_w, self.state_u = nn.Linear(2 * features, features), nn.Linear(features, features)

    def forward(self, first: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """Take three steps from h = f, (B, C, F), over the edges A, (C, C)."""
        h = first
        for _ in range(GRAPH_STEPS):
            heard = torch.cat([edges @ h, edges.T @ h], dim=-1)
            update = torch.sigmoid(self.update_w(heard) + self.update_u(h))
            reset = torch.sigmoid(self.reset_w(heard) + self.reset_u(h))
            state = torch.tanh(self.state_w(heard) + self.state_u(reset * h))
            h = (1 - update) * h + update * state
        return h


class LinearAClass(nn.Module):
    """A linear map to one number, of its own for each row."""

    def __init__(self, rows: int, features: int) -> None:
        """Draw weights within 1 / sqrt(features)."""
        super().__init__()
        bound = 1 / math.sqrt(features)
        self.weight = nn.Parameter(torch.empty(rows, features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(rows).uniform_(-bound, bound))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (B, R, F) to (B, R)."""
        return (inputs * self.weight).sum(dim=-1) + self.bias


class ClassFeatures(nn.Module):
    """The whole head.

    Attributes:
        out_channels: C.
        seen: f of the last maps in training, (B, C, F), for the losses that look at it.
    """

    words: torch.Tensor
    edges: torch.Tensor

    def __init__(self, features: int, words: torch.Tensor, edges: torch.Tensor, width: int = 0, inner: int = 0) -> None:
        """Draw weights.

        Args:
            features: of the backbone's maps.
            words: a fixed vector of each class's name, (C, D).
            edges: A, (C, C); NaN becomes 0: one class without a known positive would make all logits NaN.
            width: F; by default :func:`width_behind` the backbone.
            inner: of the attention; by default half of that.
        """
        super().__init__()
        width = width or width_behind(features)
        self.out_channels = len(words)
        self.register_buffer("words", words.float())
        self.register_buffer("edges", edges.float().nan_to_num())
        self.change = nn.Sequential(nn.Conv2d(features, width, kernel_size=1, bias=False), nn.BatchNorm2d(width))
        self.attention = ClassAttention(width, words.shape[1], inner or width // 2)
        self.graph = GatedGraph(width)
        self.fc = nn.Linear(2 * width, width)
        self.classifiers = LinearAClass(len(words), width)
        self.seen: torch.Tensor | None = None

    def forward(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits, (B, C), and what each class looked at, (B, C, h, w)."""
        features, attention = self.vectors(maps)
        if self.training:
            self.seen = features
        return self.classify(features), attention.permute(0, 3, 1, 2)

    def vectors(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the vectors of the classes, f, (B, C, F), and the attention, (B, h, w, C)."""
        found: tuple[torch.Tensor, torch.Tensor] = self.attention(self.change(maps), self.words)
        return found

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Compute logits, (B, C), from the vectors of the classes, (B, C, F)."""
        heard = self.graph(features, self.edges)
        logits: torch.Tensor = self.classifiers(torch.tanh(self.fc(torch.cat([heard, features], dim=-1))))
        return logits

    def of_the_last(self) -> torch.Tensor:
        """Give f of the batch that is being trained on."""
        assert self.seen is not None, "the student has not been trained yet"
        return self.seen


class ClassFeatureStudent(Student):
    """A student with such a head; what it gives as CAM is where each class looked."""

    head: ClassFeatures

    @classmethod
    def of(cls, student: Student, head: ClassFeatures) -> "ClassFeatureStudent":
        """Put a head in the place of a student's own; the backbone is the same."""
        made = cls(student.backbone, student.classes, student.alpha, [0.0] * 3, [1.0] * 3)
        made.head = head
        made.mean, made.std = student.mean, student.std
        return made.to(student.mean.device)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits and attention maps; see :meth:`ccd_fast.student.network.Student.forward`."""
        maps = self.features(pixels)
        kind = maps.device.type
        with torch.autocast(kind if is_autocast_available(kind) else "cpu", enabled=False):
            logits, attention = self.head(maps.float())
        return logits, attention
