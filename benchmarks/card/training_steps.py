"""Steps of training: images a second beside a matrix product, and how often a step makes the host wait for the card."""

import warnings

import torch

from card import timing
from card.setting import Setting
from card.teacher_engines import crops
from ccd_fast.bench.train import operations
from ccd_fast.engines import DTYPES
from ccd_fast.recipes import config
from ccd_fast.student import network
from ccd_fast.student.losses import CcdLoss
from ccd_fast.training.steps import Trainer

CLASSES = 80


def measure(setting: Setting) -> None:
    """Measure each student and batch size on random views that lie on the device."""
    for student, size, batch, compiled in setting.sizes.steps:
        one(setting, student, size, batch, compiled)


def one(setting: Setting, student: str, size: int, batch: int, compiled: bool) -> None:
    """Measure the steps of one student."""
    device = setting.device
    overrides = [f"train.batch_size={batch}", f"train.compile={str(compiled).lower()}"]
    recipe = config.load("folder", [*overrides, f"student.image_size={size}", f"student.backbone='''{student}'''"])
    net = network.build(student, CLASSES, recipe.student.alpha, "none").to(device)
    work = operations(net, size)
    trainer = Trainer(net, recipe.train, size)
    loss = CcdLoss(torch.rand(batch, CLASSES))
    views, rows = crops(batch, size, device), torch.arange(batch)
    trainer.begin_epoch()

    def step() -> None:
        trainer.step(views, None, rows, loss)

    rates = [batch / each for each in timing.steady(step, device, setting.sizes.work)]
    product = timing.product(device, DTYPES[trainer.precision], setting.sizes.matrix, setting.sizes.work)
    share = min(rates) * work * len(product) / sum(product)
    setting.ledger.figure(
        f"{student} at {size}, batch {batch}, {trainer.precision}{', compiled' if compiled else ''}",
        min(rates),
        "images/s",
        f"{share:.1%} of a matrix product; the slower repeat; views are made beforehand",
        repeats=rates,
        flop_per_image=work,
        host_waits_a_step=waits(step) if setting.on_card else None,
    )


def waits(step: object) -> int:
    """Count how often the host waits for the card in a call."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()  # type: ignore[operator]
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum("synchroniz" in str(warning.message) for warning in caught)
