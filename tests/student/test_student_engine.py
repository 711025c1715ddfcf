import onnx
import pytest
import torch

from ccd_fast.engines import Store, onnx_runtime
from ccd_fast.errors import RunError, UserError
from ccd_fast.recipes import config
from ccd_fast.student import engine as student_engine
from ccd_fast.student import network as student
from ccd_fast.student.engine import BATCH_SIZE, OUTPUTS, PAYS_FROM, choose, eager, noise, refuse_beyond_limit

SIZE = 64
BACKBONES = ["test_efficientnet", "test_resnet", "test_convnext"]


@pytest.fixture(scope="module")
def store(cache):
    return Store(cache)


def trained(backbone="test_efficientnet", seed=0):
    """A student after two steps, so that its BatchNorms have statistics of their own."""
    net = student.build(backbone, 5, 3.0, "none", seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        net.train()(noise(4, SIZE).roll(seed, 0))[0].square().sum().backward()
        optimizer.step()
    return net.eval()


def outputs(engine, pixels):
    return dict(zip(OUTPUTS, engine(pixels), strict=True))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_engine_gives_what_eager_pytorch_gives(backbone, store):
    net, pixels = trained(backbone), noise(BATCH_SIZE + 3, SIZE)
    engine = student_engine.open_student(net, "onnxruntime", SIZE, store)
    assert engine.classes == net.classes == 5
    errors = refuse_beyond_limit(outputs(engine, pixels), eager(net, pixels), "engine")
    assert set(errors) == {"logits", "cam"}


def test_a_refit_gives_the_outputs_of_the_new_weights_by_the_same_graph(store):
    first, second, pixels = trained(seed=0), trained(seed=1), noise(6, SIZE)
    file = student_engine.graph(first, SIZE, store)
    stamp = file.stat().st_mtime_ns
    assert student_engine.graph(second, SIZE, store) == file
    old, new = (
        outputs(student_engine.open_student(net, "onnxruntime", SIZE, store), pixels) for net in (first, second)
    )
    assert file.stat().st_mtime_ns == stamp
    refuse_beyond_limit(new, eager(second, pixels), "refit")
    with pytest.raises(RunError, match=r"differ from eager PyTorch by .* limit 0.0001"):
        refuse_beyond_limit(old, eager(second, pixels), "the old weights")


def test_the_weights_of_an_engine_are_those_of_the_moment_it_was_opened(store):
    net, pixels = trained(), noise(3, SIZE)
    engine = student_engine.open_student(net, "onnxruntime", SIZE, store)
    before = engine(pixels)[0].clone()
    with torch.no_grad():
        net.head.weight.add_(1)
    assert torch.equal(engine(pixels)[0], before)


def test_another_structure_size_or_boost_is_another_graph():
    def key(backbone="test_efficientnet", classes=5, alpha=3.0, size=SIZE):
        return str(student_engine.identity(student.build(backbone, classes, alpha, "none"), size))

    assert key() == key()
    assert len({key(), key("test_resnet"), key(classes=6), key(alpha=1.0), key(size=96)}) == 5


def test_the_kept_graph_holds_no_weights_and_cannot_run_without(store):
    file = student_engine.graph(trained(), SIZE, store)
    assert file.stat().st_size < sum(t.nbytes for t in trained().state_dict().values()) / 2
    with pytest.raises(Exception, match=r"backbone|head|mean|std"):
        onnx_runtime.open_session(file, "cpu", 1)


def test_every_batch_norm_is_folded_into_its_convolution(store, tmp_path):
    import onnxruntime

    model = student_engine.with_weights(student_engine.graph(trained(), SIZE, store), trained().state_dict())
    assert any(node.op_type == "BatchNormalization" for node in onnx.load_from_string(model).graph.node)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert "BatchNormalization" not in kinds
    assert "Conv" in kinds


def test_a_missing_renamed_or_misshapen_weight_is_an_error(store):
    net = trained()
    file, state = student_engine.graph(net, SIZE, store), net.state_dict()
    name = "backbone.blocks.1.0.bn1.running_var"
    without = {key: tensor for key, tensor in state.items() if key != name}
    for wrong in (without, {**without, f"{name}_": state[name]}):
        with pytest.raises(RunError, match=f"the student has no weight '{name}'"):
            student_engine.with_weights(file, wrong)
    for wrong in (state[name][:-1], state[name].double()):
        with pytest.raises(RunError, match=f"weight '{name}' is torch"):
            student_engine.with_weights(file, {**state, name: wrong})


def test_a_refit_that_took_other_weights_is_refused(store, monkeypatch):
    real = student_engine.with_weights
    monkeypatch.setattr(student_engine, "with_weights", lambda file, _: real(file, trained(seed=1).state_dict()))
    with pytest.raises(RunError, match="the student's engine, after a refit: the logits differ"):
        student_engine.open_student(trained(seed=0), "onnxruntime", SIZE, store)


def test_exchanged_rows_and_values_that_are_not_finite_fail_the_comparison(store):
    net, pixels = trained(), noise(student_engine.CHECKED, SIZE)
    reference = eager(net, pixels)
    with pytest.raises(RunError, match="logits differ"):
        refuse_beyond_limit({name: tensor.flip(0) for name, tensor in reference.items()}, reference, "exchanged")
    with pytest.raises(RunError, match="differ from eager PyTorch by nan"):
        refuse_beyond_limit({name: tensor * torch.nan for name, tensor in reference.items()}, reference, "NaN")


@pytest.mark.parametrize("rows", [0, 1, BATCH_SIZE, 2 * BATCH_SIZE + 1])
def test_a_row_never_depends_on_its_neighbours(rows, store):
    engine = student_engine.open_student(trained(), "onnxruntime", SIZE, store)
    pixels = noise(2 * BATCH_SIZE + 1, SIZE)
    everything, some = engine(pixels), engine(pixels.flip(0)[:rows])
    for all_rows, own in zip(everything, some, strict=True):
        assert torch.equal(all_rows.flip(0)[:rows], own)


def test_auto_is_a_rule(monkeypatch):
    assert choose("auto", PAYS_FROM) == "onnxruntime"
    assert choose("auto", PAYS_FROM - 1) == "torch"
    assert choose("auto", PAYS_FROM, "cuda") == "torch"
    assert choose("onnxruntime", 1) == "onnxruntime"
    assert choose("torch", PAYS_FROM) == "torch"
    monkeypatch.setattr(onnx_runtime, "installed", lambda: False)
    assert choose("auto", PAYS_FROM) == "torch"
    with pytest.raises(UserError, match=r"student.runtime = 'onnxruntime': not installed: pip install"):
        choose("onnxruntime", 1)


def test_the_label_updates_and_the_threshold_count_for_the_rule():
    every = config.load("folder", ["train.epochs=5", "train.warmup_epochs=2"])
    assert every.looks_of_the_student(10_000) == 40_000  # three updates, and tau
    assert every.looks_of_the_student(100) == 0  # features of so few photographs are kept
    assert config.load("folder", ["relabel.epochs=0"]).looks_of_the_student(100) == 0


def test_compat_mode_runs_eager_and_refuses_another_runtime():
    assert config.load("paper-voc12-official").student.runtime == "torch"
    with pytest.raises(UserError, match=r"set student\.runtime=torch"):
        config.load("paper-voc12-official", ["student.runtime=onnxruntime"])


def test_a_student_that_fits_no_onnx_file_is_refused(store, monkeypatch):
    monkeypatch.setattr(student_engine, "LARGEST", 1000)
    with pytest.raises(UserError, match="an ONNX file holds 2"):
        student_engine.open_student(trained(), "onnxruntime", SIZE, store)


def test_a_damaged_graph_is_refused_with_the_command_that_removes_it(tmp_path):
    store = Store(tmp_path)
    file = student_engine.graph(trained("test_resnet"), SIZE, store)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(
        UserError, match=f"cut short: remove it with `ccd-fast build-engines --remove {file.parent.name}`"
    ):
        student_engine.graph(trained("test_resnet"), SIZE, store)
