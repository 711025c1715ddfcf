"""Views wait for each other, so that the teacher's engine always works on full batches."""

from collections.abc import Callable

import torch

from ccd_fast.machine import Lane
from ccd_fast.teacher import Teacher


class FullBatches:
    """Puts views through the teacher in full batches of its engine, whatever number comes from each batch of images.

    On a GPU the teacher has a stream of its own: the next views are made while it works on the last ones.
    """

    def __init__(self, teacher: Teacher, take: Callable[[torch.Tensor], object]) -> None:
        """Start with no view waiting; ``take`` gets the similarities, (M, C) float32, in the order of the views."""
        self.teacher = teacher
        self._take = take
        self._lane = Lane("teacher", teacher.classes.device)
        self._waiting: list[torch.Tensor] = []

    def add(self, views: torch.Tensor) -> None:
        """Take views, (M, S, S, 3) uint8, and score all full batches."""
        self._waiting.append(views)
        ready = sum(map(len, self._waiting))
        if ready >= self.teacher.batch_size:
            pixels = torch.cat(self._waiting)
            full = ready - ready % self.teacher.batch_size
            self._score(pixels[:full])
            self._waiting = [pixels[full:].clone()]  # a copy, so that the scored ones can go

    def flush(self) -> None:
        """Score what waits; the current stream goes on behind all of it."""
        if self._waiting and sum(map(len, self._waiting)):
            self._score(torch.cat(self._waiting))
        self._waiting = []
        self._lane.join()

    def _score(self, views: torch.Tensor) -> None:
        with self._lane.working_on(views):
            self._take(self.teacher.similarities(views))
