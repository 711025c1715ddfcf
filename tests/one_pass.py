"""A relabel pass, and a training step, put together as a run puts them together, for tests of one of them alone."""

import torch

from ccd_fast.labels import Update, ViewChoice
from ccd_fast.labels.relabel import relabel as run_relabel
from ccd_fast.labels.view_choice import Cams
from ccd_fast.machine import ALONE
from ccd_fast.runs.tables import InMemory
from ccd_fast.student import Reading
from ccd_fast.student.losses import CcdLoss


def relabel(images, backend, judge, net, labels, tau, epoch, recipe, stage, objects=None, cache=None, ranks=ALONE):
    """Update labels by a recipe, as the passes of a run do."""
    size = (len(images), len(images.class_names))
    cams = Cams(recipe.student.relabel_size, tau)
    looks = ViewChoice(recipe.views, recipe.relabel, cams, size, (recipe.seed, epoch), objects)
    again = (recipe.labels.max_entropy, recipe.bias.min_count) if recipe.bias.debias and recipe.bias.again else None
    update = Update(recipe.labels.floor, recipe.weight_of_the_old(epoch), again)
    return run_relabel(images, Reading(backend, InMemory(ranks)), judge, net, labels, looks, update, stage, cache)


def step(trainer, first, second, labels, weights=None, share=1.0, mu=1.0):
    """Take a step on a batch with its labels, (B, C), and weights, (B,)."""
    return trainer.step(first, second, torch.arange(len(labels)), CcdLoss(labels, weights, mu), share)
