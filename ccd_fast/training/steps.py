"""What takes the student's training steps: optimiser, precision, compilation (sections 3, 5 and 6)."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from ccd_fast.engines import DTYPES, Precision
from ccd_fast.engines.torch_runtime import compiler_problem
from ccd_fast.errors import RunError, UserError
from ccd_fast.machine import ALONE, Ranks, free_cached, say_on_stderr
from ccd_fast.recipes.knobs import TrainKnobs
from ccd_fast.student import Student
from ccd_fast.student.losses import Loss

EACH = "of each process"
MOST_LEFT_OUT = 32
"""Steps in a row that fp16 may leave out: its loss scale, 2**16 at first, has then been halved to nothing."""
Wanted = Literal["auto", "fp32", "bf16", "fp16"]


class NotFiniteError(ArithmeticError):
    """The loss of a step, or a gradient, is not finite; the student is as it was before the step."""


def adam(student: Student, knobs: TrainKnobs, images: int) -> torch.optim.Adam:
    """Make the optimiser, with a learning rate of its own for the backbone and for the 1x1 convolution.

    It is the fused one: on the CPU 2 to 8 times as fast as torch's loop over the weights
    (``benchmarks/results/cpu-training.json``). A backbone with the learning rate 0 is frozen: no gradients are computed
    for it.
    """
    student.backbone.requires_grad_(not knobs.freezes_the_backbone)
    groups = [
        {"params": list(student.backbone.parameters()), "lr": knobs.backbone_rate},
        {"params": list(student.head.parameters()), "lr": knobs.head_rate(images)},
    ]
    return torch.optim.Adam(groups, fused=True)


def cosine(taken: int, steps: int) -> float:
    """Give the share of the learning rate after some steps: up over the first twentieth, then down to 0.

    A run takes fewer steps than there were to be where photographs cannot be read, and never more.
    """
    rising = max(steps // 20, 1)
    if taken < rising:
        return (taken + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (taken - rising) / max(steps - rising, 1)))


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


def has_idle_weights(student: Student, image_size: int) -> bool:
    """Tell whether weights get no gradient, as the last norm of ConvNeXt, which stands behind the features."""
    student.eval()
    black = torch.zeros((1, image_size, image_size, 3), dtype=torch.uint8, device=student.mean.device)
    student(black)[0].sum().backward()
    idle = any(p.grad is None for p in student.parameters() if p.requires_grad)
    student.zero_grad(set_to_none=True)
    return idle


Seen = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]


class BothViews(nn.Module):
    """A network that looks at one view, or two, in one call, as DistributedDataParallel wants it."""

    def __init__(self, network: Any) -> None:
        """Wrap a student, or its compiled form."""
        super().__init__()
        self.network = network

    def forward(self, first: torch.Tensor, second: torch.Tensor | None) -> Seen:
        """Give the logits of the first views, and of the second ones where there are any; and the first's maps."""
        logits, cam = self.network(first)
        return logits, None if second is None else self.network(second)[0], cam


class Trainer:
    """Owns all that a training step changes.

    The network runs under autocast in its precision; its logits and the loss are float32, and so are the weights. In
    fp16 the loss is scaled, and a step whose gradients overflow is left out.

    Attributes:
        student: trained in place.
        judged: what looks at photographs outside the steps, and is kept: the moving average of the student's weights
            (``train.ema``), or the student itself.
        precision: of convolutions and products.
        compiled: whether the steps go through ``torch.compile``.
        frozen: whether the backbone stays as it is.
        batch_size: images in a step, on all processes.
        ranks: the processes that share each batch.
        parts: into which a batch is cut where memory ran out; their gradients are added up before the step.
        keeps_maps: whether a step leaves the maps of its first views in :attr:`maps`.
        maps: CAMs of the last step's first views, before it, (B, C, h, w) float32; None where they are not kept.
        batch_norm: of several processes, what BatchNorm's statistics are of; empty for one, or where there is none.
    """

    def __init__(
        self,
        student: Student,
        knobs: TrainKnobs,
        image_size: int,
        ranks: Ranks = ALONE,
        say: Callable[[str], None] = say_on_stderr,
        images: int = 0,
    ) -> None:
        """Make the optimiser for a student, on the device where the student is.

        Of several processes each has a part of every batch: their gradients are averaged before the step.
        ``image_size`` is the side of the views, in pixels; ``images`` are those of an epoch, for rates and schedule.

        Raises:
            UserError: the precision, or the compilation, cannot be had there.
        """
        self.student = student
        self.frozen = knobs.freezes_the_backbone
        self.batch_size = knobs.batch_size
        self.ranks = ranks
        self.device = student.mean.device
        self.precision = choose_precision(knobs.precision, self.device)
        self.compiled = knobs.compile
        problem = compiler_problem(self.device.type)
        if self.compiled and problem:
            raise UserError(f"train.compile: {problem}; install one, or use train.compile=false")
        self.parts = 1
        self.keeps_maps = False
        self.maps: torch.Tensor | None = None
        self._left_out = 0
        self._say = say
        self.batch_norm = ""
        if ranks.size > 1 and not self.frozen and any(isinstance(m, _BatchNorm) for m in student.modules()):
            self.batch_norm = EACH if self.device.type == "cpu" else "of all processes"
            if self.device.type != "cpu":
                student.backbone = convert_sync_batchnorm(student.backbone)
        self.average = ModelEmaV3(student, knobs.ema, use_warmup=True) if knobs.ema else None
        self.judged: Student = student if self.average is None else self.average.module
        self.optimizer = adam(student, knobs, images)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._steps = knobs.epochs * math.ceil(images / knobs.batch_size) if knobs.schedule == "cosine" else 0
        self.taken = 0
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        # One graph a batch size: graphs of any size would depend on which size came first, and --resume with them.
        both = BothViews(torch.compile(student, dynamic=False) if self.compiled else student)
        self._network: nn.Module = both
        if ranks.size > 1:
            idle = has_idle_weights(student, image_size)
            self._network = DistributedDataParallel(both, find_unused_parameters=idle)

    def begin_epoch(self) -> None:
        """Put the student into training mode; a frozen backbone stays in evaluation mode."""
        self.student.train()
        if self.frozen:
            self.student.backbone.eval()

    def step(
        self,
        first: torch.Tensor,
        second: torch.Tensor | None,
        rows: torch.Tensor,
        loss: Loss,
        share: float = 1.0,
    ) -> tuple[float, torch.Tensor]:
        """Take a step of the optimiser; the student is in training mode.

        Args:
            first: the first views, (B, S, S, 3) uint8.
            second: the second views, or None where section 5 does not apply.
            rows: (B,) int64, their rows in the training set, on the host.
            loss: of the epoch.
            share: of several processes, this one's part of the batch over the mean part; 0 for a part that is empty,
                in whose place anything stands.

        Returns:
            The loss; and z of the first views before the step, (B, C) float32, on the host.

        Raises:
            NotFiniteError: the loss or a gradient is not finite; no step was taken.
            RunError: the device has not the memory for it.
        """
        self._set_rates()
        while (done := self._gradients(first, second, rows, loss, share)) is None:
            self._cut(len(first), loss.parts_add_up)
        value, logits = done
        norm = get_total_norm([p.grad for p in self.student.parameters() if p.grad is not None])
        if self.optimizer.defaults["fused"] and not self.scaler.is_enabled():
            # The optimiser itself leaves the step out, as it does for a scaler: the host need not look first.
            self.optimizer.found_inf = (~torch.isfinite(norm + value)).float()  # type: ignore[attr-defined]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.taken += 1
        if self.average is not None:
            self.average.update(self.student, self.taken)
        return self._read(value, norm, logits)

    def _set_rates(self) -> None:
        """Set the rates of the next step: a run that goes on as a longer one has the rates of the longer one."""
        share = cosine(self.taken, self._steps) if self._steps else 1.0
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share

    def _read(self, value: torch.Tensor, norm: torch.Tensor, logits: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Bring loss, norm and logits to the host, in one copy: the one moment at which a step waits for the device."""
        numbers = torch.cat([logits.flatten(), value.view(1), norm.view(1).to(value.dtype)]).cpu()
        loss, size = float(numbers[-2]), float(numbers[-1])
        if not math.isfinite(loss):
            raise NotFiniteError(f"the loss is {loss}")
        if math.isfinite(size):
            self._left_out = 0
        elif not self.scaler.is_enabled():
            raise NotFiniteError(f"the norm of the gradients is {size}")
        else:  # the scaler left the step out, and halves its scale
            self._left_out += 1
            if self._left_out > MOST_LEFT_OUT:
                raise NotFiniteError(f"{self._left_out} steps in a row had gradients that overflow in fp16")
        return loss, numbers[:-2].view_as(logits)

    def _gradients(
        self,
        first: torch.Tensor,
        second: torch.Tensor | None,
        rows: torch.Tensor,
        loss: Loss,
        share: float,
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Compute the gradients of a batch, in parts; give loss and logits, on the device; None without the memory."""
        self.optimizer.zero_grad(set_to_none=True)
        values, seen, maps = [], [], []
        try:
            size = math.ceil(len(first) / self.parts)
            for start in range(0, len(first), size):
                part = slice(start, start + size)
                logits, others, cam = self._logits(first[part], None if second is None else second[part])
                of_part = loss(rows[part], logits, others)
                of_batch = len(logits) / len(first)
                values.append(of_batch * of_part.detach())
                scale = share * of_batch
                self.scaler.scale(of_part if scale == 1 else scale * of_part).backward()  # type: ignore[no-untyped-call]
                seen.append(logits.detach())
                if self.keeps_maps:
                    maps.append(cam.detach())
        except torch.OutOfMemoryError:
            return None
        self.maps = torch.cat(maps) if maps else None
        return torch.stack(values).sum(), torch.cat(seen)

    def _cut(self, batch: int, parts_add_up: bool) -> None:
        """Cut batches into twice as many parts, and say so."""
        free_cached(self.device)
        if self.ranks.size > 1 or self.parts >= batch or not parts_add_up:
            raise RunError(f"out of memory on {self.device}: set train.batch_size below {batch}, or a smaller student")
        self.parts = min(2 * self.parts, batch)
        self._say(
            f"out of memory: each batch is trained in {self.parts} parts from here on, their gradients added up; "
            "BatchNorm sees the parts"
        )

    def _logits(self, first: torch.Tensor, second: torch.Tensor | None) -> Seen:
        half = self.precision != "fp32"
        with torch.autocast(self.device.type, dtype=DTYPES[self.precision] if half else None, enabled=half):
            seen: Seen = self._network(first, second)
        return seen

    def state(self) -> dict[str, Any]:
        """Give all that a step changes, the student's weights too; :meth:`go_on` takes it back."""
        return {"student": self.judged.state_dict(), **self.state_dict()}

    def go_on(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state` gave."""
        self.judged.load_state_dict(state["student"])
        self.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint keeps beside the weights of :attr:`judged`."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "parts": self.parts,
            "taken": self.taken,
            "trained": None if self.average is None else self.student.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.parts = state["parts"]
        self.taken = state.get("taken", 0)
        if self.average is not None:
            self.student.load_state_dict(state["trained"])


def could_differ(trainer: Trainer, ranks: Ranks) -> list[str]:
    """Say what would give other bits from the same seed, for ``run.json``."""
    found = ["other versions of torch, of the engine's runtime, of the image decoder", "another kind of processor"]
    if trainer.device.type == "cuda":
        found.append("the same again on this GPU: the order in which it adds up is not fixed")
    elif ranks.size == 1:
        found.append("another number of threads: torch adds up in another order")
    found.append("another number of processes: gradients are added up in another order")
    if trainer.batch_norm == EACH:
        found.append("one process, beyond rounding: BatchNorm's statistics are those of each process")
    return found
