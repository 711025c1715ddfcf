"""A device that runs out of memory: fewer pictures at a time, the same result, and a line that says so."""

import pytest
import torch
from one_pass import step

from ccd_fast import engines
from ccd_fast.engines import torch_runtime
from ccd_fast.errors import RunError
from ccd_fast.machine.within_memory import WithinMemory
from ccd_fast.recipes import config
from ccd_fast.student.network import build
from ccd_fast.teacher.clip import load_clip
from ccd_fast.training.steps import Trainer


def out_of_memory_above(rows, call):
    """Make a call that a device with room for so many rows would answer."""

    def limited(pixels, *others):
        if len(pixels) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return call(pixels, *others)

    return limited


@pytest.mark.parametrize("fits", [1, 2, 3, 5, 100])
def test_a_network_gets_as_many_rows_as_fit(fits):
    lines = []
    both = WithinMemory(out_of_memory_above(fits, lambda rows: (rows + 1, 2 * rows)), "it", lines.append)
    rows = torch.arange(20.0).reshape(10, 2)
    for _ in range(2):
        one, two = both(rows)
        assert torch.equal(one, rows + 1)
        assert torch.equal(two, 2 * rows)
    halved = {1: [5, 2, 1], 2: [5, 2], 3: [5, 2], 5: [5], 100: []}[fits]
    assert lines == [f"out of memory: it takes {n} pictures at a time from here on" for n in halved]
    assert both(rows[:0])[0].shape == (0, 2)


def test_a_picture_that_does_not_fit_alone_is_one_line():
    never = WithinMemory(out_of_memory_above(0, torch.neg), "the teacher", lambda line: None)
    with pytest.raises(RunError, match="out of memory on cpu: the teacher does not fit one picture"):
        never(torch.ones(4, 1))


def trained(limit, net="test_convnext"):
    lines = []
    recipe = config.load("folder", ["student.weights=none"])
    student = build(net, 3, 5.0, "none")
    trainer = Trainer(student, recipe.train, 32, say=lines.append)
    trainer._network.forward = out_of_memory_above(limit, trainer._network.forward)
    trainer.begin_epoch()
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(0, 256, (2, 6, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels, weights = torch.rand((6, 3), generator=generator), torch.rand(6, generator=generator)
    values = [step(trainer, first, second, labels, weights) for _ in range(2)]
    return trainer, values, lines


def test_a_batch_that_does_not_fit_is_trained_in_parts_with_the_gradients_of_the_whole():
    whole, values, nothing = trained(100)
    parts, cut, lines = trained(2)
    assert (whole.parts, parts.parts) == (1, 4)
    assert nothing == []
    assert [line.split(";")[0] for line in lines] == [
        f"out of memory: each batch is trained in {n} parts from here on, their gradients added up" for n in (2, 4)
    ]
    for (loss, logits), (other, others) in zip(values, cut, strict=True):
        assert other == pytest.approx(loss, rel=1e-3)
        torch.testing.assert_close(others, logits, rtol=1e-2, atol=1e-3)
    for ours, theirs in zip(parts.student.parameters(), whole.student.parameters(), strict=True):
        if theirs.grad is not None:
            assert (ours.grad - theirs.grad).norm() <= 1e-2 * theirs.grad.norm() + 1e-6
    assert parts.state_dict()["parts"] == 4


def test_a_student_that_does_not_fit_at_all_is_one_line():
    with pytest.raises(RunError, match=r"out of memory on cpu: set train\.batch_size below 6"):
        trained(0)


def test_the_teacher_goes_on_with_smaller_batches(tiny_clip, capsys):
    tower = load_clip(str(tiny_clip)).tower
    engine = torch_runtime.open_eager(tower, engines.EngineSettings("torch", batch_size=8), engines.Store())
    pixels = torch.randint(0, 256, (11, 64, 64, 3), dtype=torch.uint8)
    whole = engine.embed(pixels)
    engine._run._call = out_of_memory_above(2, engine._run._call)
    torch.testing.assert_close(engine.embed(pixels), whole)
    assert capsys.readouterr().err.splitlines() == [
        f"ccd-fast: out of memory: the teacher on torch takes {n} pictures at a time from here on" for n in (4, 2)
    ]
