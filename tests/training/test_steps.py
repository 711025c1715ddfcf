"""What takes the training steps: precision, optimiser, compilation, and what a checkpoint keeps of it."""

import types
from copy import deepcopy

import pytest
import torch
from one_pass import step
from torch.utils._python_dispatch import TorchDispatchMode

from ccd_fast.engines import torch_runtime
from ccd_fast.errors import UserError
from ccd_fast.recipes import config
from ccd_fast.student import network as student
from ccd_fast.student.losses import consistency_loss, label_loss
from ccd_fast.training.steps import MOST_LEFT_OUT, NotFiniteError, Trainer, choose_precision, cosine, has_idle_weights

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(scope="module")
def net():
    return student.build("test_resnet", 4, 3.0, "none").train()


def trainer(net, *knobs):
    return Trainer(deepcopy(net), config.load("folder", knobs).train, 64)


def batch(count=6, size=64):
    draws = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (2, count, size, size, 3), dtype=torch.uint8, generator=draws)
    return pixels[0], pixels[1], torch.rand(count, 4, generator=draws), None


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_cpu_trains_in_fp32_unless_asked_and_refuses_fp16():
    assert choose_precision("auto", CPU) == "fp32"
    assert choose_precision("bf16", CPU) == "bf16"
    with pytest.raises(UserError, match=r"train\.precision = 'fp16': not on a CPU; use train.precision=auto"):
        choose_precision("fp16", CPU)


def test_a_gpu_trains_in_bf16_where_it_has_it_and_else_in_fp16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a small card")
    for has_it, chosen in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has_it=has_it: has_it)
        assert choose_precision("auto", GPU) == chosen
        assert choose_precision("fp32", GPU) == "fp32"
    with pytest.raises(UserError, match=r"train\.precision = 'bf16': a small card has none; use auto or fp16"):
        choose_precision("bf16", GPU)


def test_compilation_is_refused_where_there_is_no_compiler(net, monkeypatch):
    monkeypatch.setattr(torch_runtime.shutil, "which", lambda _: None)
    assert not trainer(net).compiled
    with pytest.raises(UserError, match=r"train.compile: torch.compile needs a C\+\+ compiler on a CPU; install one"):
        trainer(net, "train.compile=true")


def test_in_bf16_the_network_computes_in_it_and_weights_logits_and_loss_are_float32(net):
    ours, reference = trainer(net, "train.precision=bf16"), trainer(net)
    seen = []
    ours.student.head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    (loss, logits), (exact, exact_logits) = step(ours, *batch()), step(reference, *batch())
    assert seen == [torch.bfloat16] * 2
    assert logits.dtype == torch.float32
    assert {p.dtype for p in ours.student.parameters()} == {torch.float32}
    assert not torch.equal(logits, logits.bfloat16().float())  # the mean over positions was not rounded
    assert not torch.equal(logits, exact_logits)
    assert loss == pytest.approx(exact, abs=0.02)


def test_a_step_is_that_of_plain_adam_with_a_learning_rate_for_each_part(net):
    knobs = ("train.backbone_learning_rate=1e-3", "train.head_learning_rate=1e-2")
    ours, plain = trainer(net, *knobs), trainer(net, *knobs)
    rates = [(plain.student.backbone, 1e-3), (plain.student.head, 1e-2)]
    groups = [{"params": list(part.parameters()), "lr": rate} for part, rate in rates]
    plain.optimizer = torch.optim.Adam(groups, foreach=False)
    for _ in range(2):
        step(ours, *batch())
        step(plain, *batch())
    assert not same(ours.student, net)
    for a, b in zip(ours.student.parameters(), plain.student.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_the_loss_is_that_of_the_labels_and_mu_times_that_of_the_second_view(net):
    first, second, labels, weights = batch()
    alone = step(trainer(net), first, None, labels, weights)[0]
    losses = [step(trainer(net), first, second, labels, weights, mu=mu)[0] for mu in (1.0, 3.0)]
    assert losses[1] - alone == pytest.approx(3 * (losses[0] - alone), rel=1e-4)
    assert losses[0] > alone
    assert step(trainer(net), first, None, labels, torch.full((6,), 0.5))[0] == pytest.approx(alone / 2)


def test_the_second_view_is_drawn_to_the_first_and_not_the_first_to_the_second(net):
    ours, own = trainer(net), deepcopy(net)
    first, second, labels, _ = batch()
    loss, _ = step(ours, first, second, labels, mu=2.0)
    z, other = (own(view)[0] for view in (first, second))
    expected = label_loss(z, labels) + 2 * consistency_loss(other, z)
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    for a, b in zip(ours.student.head.parameters(), own.head.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-6)


PLAIN = ("train.ema=0", "train.schedule=constant")


@pytest.mark.parametrize("knobs", [PLAIN, ("train.precision=bf16", *PLAIN), ("train.ema=0.9", "train.schedule=cosine")])
def test_a_trainer_read_back_goes_on_with_the_same_bits(net, knobs, tmp_path):
    whole, stopped = trainer(net, *knobs), trainer(net, *knobs)
    for made in (whole, stopped):
        step(made, *batch())
    torch.save({"trainer": stopped.state_dict(), "student": stopped.judged.state_dict()}, tmp_path / "state.pt")
    stored = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed, forgetful = trainer(net, *knobs), trainer(net, *knobs)
    for made in (resumed, forgetful):
        made.judged.load_state_dict(stored["student"])
    resumed.load_state_dict(stored["trainer"])
    for made in (whole, resumed, forgetful):
        step(made, *batch())
    assert same(resumed.student, whole.student)
    assert same(resumed.judged, whole.judged)
    assert not same(forgetful.student, whole.student)  # without Adam's moments


def test_the_judged_student_is_the_moving_average_of_the_weights_whose_decay_grows_with_the_steps(net):
    ours = trainer(net, "train.ema=0.4", "train.head_learning_rate=0.1")
    averages = [ours.student.head.weight.detach().clone()]
    for number in range(4):
        step(ours, *batch())
        decay = min(0.4, 1 - (1 + number) ** (-2 / 3))
        averages.append(decay * averages[-1] + (1 - decay) * ours.student.head.weight.detach())
        torch.testing.assert_close(ours.judged.head.weight, averages[-1])
    assert not torch.equal(ours.judged.head.weight, ours.student.head.weight)
    assert trainer(net, *PLAIN).judged is not None
    plain = trainer(net, *PLAIN)
    assert plain.judged is plain.student


def test_the_cosine_rises_over_a_twentieth_of_the_steps_and_ends_at_nothing(net):
    shares = [cosine(taken, 100) for taken in range(100)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert shares[5:] == sorted(shares[5:], reverse=True)
    assert 0 < shares[-1] < 0.001
    assert cosine(0, 1) == 1
    knobs = config.load(
        "folder", ("train.schedule=cosine", "train.epochs=2", "train.batch_size=6", "train.head_learning_rate=1e-3")
    ).train
    ours = Trainer(deepcopy(net), knobs, 64, images=13)  # three steps an epoch
    for number in range(6):
        step(ours, *batch())
        rates = [group["lr"] for group in ours.optimizer.param_groups]
        assert rates == pytest.approx([cosine(number, 6) * rate for rate in (1e-4, 1e-3)])


def test_a_trainer_that_goes_on_as_a_longer_one_has_the_rates_of_the_longer_one(net):
    own = ("train.schedule=constant", "train.ema=0", "train.batch_size=6", "train.head_learning_rate=auto")
    short, long = (config.load("folder", (*own, f"train.epochs={epochs}")).train for epochs in (100, 200))
    ours, goes_on = (Trainer(deepcopy(net), knobs, 64, images=12) for knobs in (short, long))
    step(ours, *batch())
    goes_on.load_state_dict(ours.state_dict())
    step(goes_on, *batch())
    rates = [trainer.optimizer.param_groups[1]["lr"] for trainer in (ours, goes_on)]
    assert rates == pytest.approx([1.5 / 200, 1.5 / 400])


def test_a_loss_that_is_not_finite_takes_no_step(net):
    ours = trainer(net)
    weights = {name: p.clone() for name, p in ours.student.named_parameters()}
    first, second, labels, _ = batch()
    with pytest.raises(NotFiniteError, match="nan"):
        step(ours, first, second, labels * float("nan"))
    assert all(torch.equal(weights[name], p) for name, p in ours.student.named_parameters())
    assert all(float(state["step"]) == 0 for state in ours.optimizer.state.values())


def test_a_gradient_that_is_not_finite_takes_no_step(net):
    ours = trainer(net)
    weights = {name: p.clone() for name, p in ours.student.named_parameters()}
    ours.student.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NotFiniteError, match="gradients"):
        step(ours, *batch())
    assert all(torch.equal(weights[name], p) for name, p in ours.student.named_parameters())


@pytest.mark.parametrize(("backbone", "idle"), [("test_resnet", False), ("test_convnext", True)])
def test_weights_that_get_no_gradient_are_known_and_looking_for_them_leaves_nothing(backbone, idle):
    looked_at = student.build(backbone, 4, 3.0, "none")
    before = deepcopy(looked_at.state_dict())
    assert has_idle_weights(looked_at, 64) == idle
    assert all(torch.equal(tensor, before[name]) for name, tensor in looked_at.state_dict().items())
    assert all(p.grad is None for p in looked_at.parameters())


@pytest.mark.slow
@pytest.mark.skipif(bool(torch_runtime.compiler_problem("cpu")), reason=torch_runtime.compiler_problem("cpu"))
def test_a_compiled_step_is_nearly_that_of_eager_pytorch(net):
    ours, eager = trainer(net, "train.compile=true"), trainer(net)
    for count in (6, 6, 3):
        (loss, logits), (exact, exact_logits) = step(ours, *batch(count)), step(eager, *batch(count))
        assert loss == pytest.approx(exact, abs=1e-3)
        torch.testing.assert_close(logits, exact_logits, rtol=1e-2, atol=5e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU here")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_gpu_takes_steps_in_half_precision(net, precision):
    ours, reference = (
        Trainer(deepcopy(net).cuda(), config.load("folder", [f"train.precision={p}"]).train, 64)
        for p in (precision, "fp32")
    )
    first, second, labels, _ = batch()
    views = (first.cuda(), second.cuda(), labels.cuda(), None)
    for _ in range(3):
        assert step(ours, *views)[0] == pytest.approx(step(reference, *views)[0], abs=0.02)
    assert (ours.scaler.get_scale() != 1) == (precision == "fp16")


def test_a_step_asks_the_device_for_numbers_once_and_only_after_the_optimiser(net):
    ours, events = trainer(net), []
    take = ours.optimizer.step
    ours.optimizer.step = lambda *a, **k: events.append("optimiser") or take(*a, **k)

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            if function is torch.ops.aten._local_scalar_dense.default:  # the host waits for a number
                events.append("wait")
            return function(*arguments, **(options or {}))

    with Watched():
        step(ours, *batch())
    assert events.index("optimiser") == 0
    assert events.count("wait") == 2  # the loss and the norm, from the one copy on the host


def test_fp16_that_leaves_out_one_step_after_another_is_an_error(net):
    ours = trainer(net)
    ours.scaler = types.SimpleNamespace(
        is_enabled=lambda: True, scale=lambda loss: loss * float("inf"), step=lambda _: None, update=lambda: None
    )
    for _ in range(MOST_LEFT_OUT):
        step(ours, *batch())
    with pytest.raises(NotFiniteError, match="33 steps in a row had gradients that overflow in fp16"):
        step(ours, *batch())
