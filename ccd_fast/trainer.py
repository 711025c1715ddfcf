"""What takes the student's training steps: optimiser, precision, compilation (sections 3, 5 and 6)."""

import math
from typing import Any, Literal

import torch

from ccd_fast.config import Recipe
from ccd_fast.engines.precision import DTYPES, Precision
from ccd_fast.engines.torch_runtime import compiler_problem
from ccd_fast.errors import UserError
from ccd_fast.losses import consistency_loss, label_loss
from ccd_fast.student import Student

Wanted = Literal["auto", "fp32", "bf16", "fp16"]


class NotFiniteError(ArithmeticError):
    """The loss of a step is not finite; the student is as it was before the step."""


def adam(student: Student, recipe: Recipe) -> torch.optim.Adam:
    """Make the optimiser, with a learning rate of its own for the backbone and for the 1x1 convolution.

    It is the fused one: on the CPU 2 to 8 times as fast as torch's loop over the weights
    (``benchmarks/results/cpu-training.json``). A backbone with the learning rate 0 is frozen: no gradients are computed
    for it.
    """
    student.backbone.requires_grad_(not is_frozen(recipe))
    groups = [
        {"params": list(student.backbone.parameters()), "lr": recipe.train.backbone_learning_rate},
        {"params": list(student.head.parameters()), "lr": recipe.train.head_learning_rate},
    ]
    return torch.optim.Adam(groups, fused=True)


def is_frozen(recipe: Recipe) -> bool:
    """Tell whether the backbone stays as it is: weights and BatchNorm statistics."""
    return recipe.train.backbone_learning_rate == 0


def choose_precision(wanted: Wanted, device: torch.device) -> Precision:
    """Settle ``train.precision`` on a device.

    Args:
        wanted: ``"auto"`` is fp32 on a CPU, bf16 on a GPU that has it, and else fp16.
        device: of the student.

    Raises:
        UserError: the device does not have it.
    """
    if device.type != "cuda":
        if wanted == "fp16":
            raise UserError("train.precision = 'fp16': not on a CPU; use train.precision=auto (fp32 there) or bf16")
        return "fp32" if wanted == "auto" else wanted
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "bf16" and not has_bf16:
        raise UserError(f"train.precision = 'bf16': {torch.cuda.get_device_name(device)} has none; use auto or fp16")
    if wanted == "auto":
        return "bf16" if has_bf16 else "fp16"
    return wanted


class Trainer:
    """Owns all that a training step changes.

    The network runs under autocast in its precision; its logits and the loss are float32, and so are the weights. In
    fp16 the loss is scaled, and a step whose gradients overflow is left out.

    Attributes:
        student: trained in place.
        precision: of convolutions and products.
        compiled: whether the steps go through ``torch.compile``.
        frozen: whether the backbone stays as it is.
    """

    def __init__(self, student: Student, recipe: Recipe) -> None:
        """Make the optimiser for a student, on the device where the student is.

        Raises:
            UserError: the precision, or the compilation, cannot be had there.
        """
        self.student = student
        self.mu = recipe.consistency.mu
        self.frozen = is_frozen(recipe)
        self.device = student.mean.device
        self.precision = choose_precision(recipe.train.precision, self.device)
        self.compiled = recipe.train.compile
        problem = compiler_problem(self.device.type)
        if self.compiled and problem:
            raise UserError(f"train.compile: {problem}; install one, or use train.compile=false")
        self.optimizer = adam(student, recipe)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        # One graph a batch size: graphs of any size would depend on which size came first, and --resume with them.
        self._network: Any = torch.compile(student, dynamic=False) if self.compiled else student

    def begin_epoch(self) -> None:
        """Put the student into training mode; a frozen backbone stays in evaluation mode."""
        self.student.train()
        if self.frozen:
            self.student.backbone.eval()

    def step(
        self, first: torch.Tensor, second: torch.Tensor | None, labels: torch.Tensor, weights: torch.Tensor | None
    ) -> tuple[float, torch.Tensor]:
        """Take a step of the optimiser; the student is in training mode.

        Args:
            first: the first views, (B, S, S, 3) uint8.
            second: the second views, or None where section 5 does not apply.
            labels: y, (B, C) float32.
            weights: w, (B,) float32, or None for ones.

        Returns:
            The loss; and z of the first views before the step, (B, C) float32.

        Raises:
            NotFiniteError: the loss is not finite; no step was taken.
        """
        logits = self._logits(first)
        loss = label_loss(logits, labels, weights)
        if second is not None:
            loss = loss + self.mu * consistency_loss(self._logits(second), logits)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NotFiniteError(str(value))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value, logits.detach()

    def _logits(self, pixels: torch.Tensor) -> torch.Tensor:
        half = self.precision != "fp32"
        with torch.autocast(self.device.type, dtype=DTYPES[self.precision] if half else None, enabled=half):
            logits: torch.Tensor = self._network(pixels)[0]
        return logits

    def state(self) -> dict[str, Any]:
        """Give all that a step changes, the student's weights too; :meth:`go_on` takes it back."""
        return {"student": self.student.state_dict(), **self.state_dict()}

    def go_on(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state` gave."""
        self.student.load_state_dict(state["student"])
        self.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint keeps beside the student's weights."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
