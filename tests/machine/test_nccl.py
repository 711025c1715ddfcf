"""One process that trains as several do: gloo on the host, NCCL on a GPU."""

import os
from copy import deepcopy

import pytest
import torch
from one_pass import step
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ccd_fast.machine.ranks import Ranks
from ccd_fast.recipes import config
from ccd_fast.student import network as student
from ccd_fast.training.steps import Trainer

card = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU"),
    ],
)


@pytest.fixture(params=["cpu", card])
def place(request):
    """A group of one process, which believes that there are two."""
    if distributed.is_initialized():
        pytest.skip("another test is in a group")
    backend = "gloo" if request.param == "cpu" else "cpu:gloo,cuda:nccl"
    place = None if request.param == "cpu" else torch.device("cuda", 0)
    store = distributed.HashStore()
    distributed.init_process_group(backend, store=store, rank=0, world_size=1, device_id=place)
    yield request.param
    distributed.destroy_process_group()


def test_a_step_of_one_in_a_group_is_a_step_alone(place):
    net = student.build("test_resnet", 4, 3.0, "none").to(place)
    recipe = config.load("folder", ["train.precision=fp32"])
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8, generator=generator) for _ in range(2))
    labels = torch.rand(6, 4, generator=generator)
    trained = []
    for ranks in (Ranks(), Ranks(0, 2)):
        trainer = Trainer(deepcopy(net), recipe.train, 64, ranks)
        trainer.begin_epoch()
        losses = [step(trainer, first.to(place), second.to(place), labels)[0] for _ in range(3)]
        trained.append((trainer, losses))
    (_, alone), (shared, together) = trained
    assert isinstance(shared._network, DistributedDataParallel)
    assert shared.batch_norm == ("of each process" if place == "cpu" else "of all processes")
    assert together == pytest.approx(alone, rel=1e-3)
    assert together[2] < together[0]


def test_sums_and_rows_go_through_the_host_whatever_the_device(place):
    ranks = Ranks(0, 1)
    ranks.size = 2  # the group has one process, so each exchange gives back what went in
    values = torch.arange(4)
    assert ranks.total(values).tolist() == [0, 1, 2, 3]
    assert ranks.highest(7) == 7
    if place == "cuda":
        there = torch.ones(3, device="cuda")
        distributed.all_reduce(there)
        assert there.tolist() == [1, 1, 1]
    assert os.environ.get("WORLD_SIZE", "1") == "1"
