"""What a run asks of its method, in one place: the first labels, what comes before an epoch, the loss."""

from typing import Protocol

from ccd_fast.student.losses import Loss
from ccd_fast.training.state import State


class Method(Protocol):
    """A way of making the targets that a student learns from."""

    def first_labels(self) -> State:
        """Make what the first epoch learns from."""
        ...

    def before_epoch(self, state: State, epoch: int) -> bool:
        """Change the targets before an epoch, where it is time to; tell whether anything was done."""
        ...

    def loss(self, state: State, epoch: int) -> Loss:
        """Give the loss of an epoch."""
        ...
