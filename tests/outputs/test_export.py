"""A trained student leaves the house: the file is used here as a stranger would, without ccd_fast."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import safetensors.torch
import timm
import torch

from ccd_fast.datasets import Source
from ccd_fast.engines import onnx_export, tensorrt_runtime
from ccd_fast.errors import RunError, UserError
from ccd_fast.evaluation.calibration import Calibration
from ccd_fast.outputs import export, model_card, trained, triton
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stage
from ccd_fast.student import Reading, predict
from ccd_fast.student import engine as student_engine
from ccd_fast.student import network as student
from ccd_fast.student.network import piecewise_boost
from ccd_fast.views import open_backend

NAMES = ("cat", "dog", "traffic light", "boat")
OWN = dict(zip(NAMES, (0.1, 0.2, 0.3, 0.4), strict=True))
LINE = Calibration(1.5, torch.tensor([-1.0, 0.0, 0.5, -2.0], dtype=torch.float64))
SIZE = 64

STRANGER = """
import json, sys
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
facts = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
side = facts["image_size"]
picture = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
pixels = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))[None]
probabilities, logits, cam = session.run(["probabilities", "logits", "cam"], {"pixels": pixels})
print(json.dumps(dict(zip(facts["class_names"], probabilities[0].tolist()))))
assert not {"torch", "ccd_fast"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def model(photo_folder):
    recipe = config.load(
        "folder", [f"student.image_size={SIZE}", "student.backbone=test_efficientnet", "views.backend=pillow"]
    )
    net = student.build("test_efficientnet", len(NAMES), 3.0, "none", seed=4)
    for _ in range(20):  # BatchNorms with statistics of their own
        net.train()(student_engine.noise(8, SIZE))
    source = Source("folder", photo_folder, photo_folder / "classes.txt", None)
    return trained.Trained(recipe, NAMES, source, net.eval, OWN, calibration=LINE)


@pytest.fixture(scope="module", autouse=True)
def exported_once(model, tmp_path_factory):
    """The student's graph, made once for all tests: that takes PyTorch seconds."""
    graph = tmp_path_factory.mktemp("graph") / "raw.onnx"
    onnx_export.export(export.ExportedStudent(model.student, LINE), SIZE, export.OUTPUTS, graph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_export, "export", lambda module, size, outputs, file: shutil.copy(graph, file))
        yield


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("exported") / "student.onnx"
    return file, export.export_onnx(model, file)


def test_a_stranger_with_onnxruntime_numpy_and_pillow_gets_what_predict_gives(model, written, photo_folder):
    files = sorted((photo_folder / "images" / "part1").iterdir())[:3]
    seen = predict(model.student, files, Reading(open_backend("pillow", 1)), SIZE, Stage("test", 3, lambda _: None))
    for file, expected in zip(files, model.calibrated(seen.probabilities).numpy(), strict=True):
        command = [sys.executable, "-c", STRANGER, str(written[0]), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        got = json.loads(done.stdout)
        assert list(got) == list(NAMES)
        np.testing.assert_allclose(list(got.values()), expected, atol=1e-5)


def test_the_file_was_compared_with_pytorch(written):
    assert set(written[1].errors) == {"probabilities", "logits", "cam"}
    assert max(written[1].errors.values()) < student_engine.LIMIT


def test_the_metadata_say_all_that_a_program_needs(model, written):
    found = {entry.key: json.loads(entry.value) for entry in onnx.load(written[0]).metadata_props}
    assert tuple(found["class_names"]) == NAMES
    assert (found["image_size"], found["threshold"]) == (SIZE, "auto")
    assert found["thresholds"] == pytest.approx(LINE(torch.tensor([0.1, 0.2, 0.3, 0.4])).tolist(), abs=1e-6)
    assert found["calibration"] == {"scale": 1.5, "shift": [-1.0, 0.0, 0.5, -2.0]}
    assert found["resize"]["filter"] == "bilinear"
    assert found["teacher"] == model.recipe.teacher.model
    assert found["recipe"]["train"]["epochs"] == model.recipe.train.epochs


def test_folders_of_this_machine_do_not_travel(model, tmp_path):
    (tmp_path / "my-clip").mkdir()
    recipe = config.load("folder", [f"teacher.model='{tmp_path}/my-clip'", f"student.weights='{tmp_path}/w.pth'"])
    described = export.facts(trained.Trained(recipe, NAMES, model.source, model.read, OWN))
    assert described["teacher"] == "my-clip"
    assert str(tmp_path) not in json.dumps(described)


def test_an_existing_file_is_kept_unless_it_may_be_replaced(model, tmp_path):
    file = tmp_path / "student.onnx"
    file.write_bytes(b"precious")
    with pytest.raises(UserError, match="already exists; replace it with --overwrite"):
        export.export_onnx(model, file)
    assert file.read_bytes() == b"precious"
    export.export_onnx(model, file, overwrite=True)
    assert file.stat().st_size > 1000


def test_a_file_that_differs_is_not_written(model, tmp_path, monkeypatch):
    real = student_engine.eager
    monkeypatch.setattr(student_engine, "eager", lambda *a: {name: tensor.flip(0) for name, tensor in real(*a).items()})
    with pytest.raises(RunError, match=r"the exported file: the \w+ differ from eager PyTorch by .* limit 0.0001"):
        export.export_onnx(model, tmp_path / "student.onnx")
    assert list(tmp_path.iterdir()) == []


def test_timm_reads_the_backbone_and_the_head_gives_the_rest(model, tmp_path):
    done = export.export_safetensors(model, tmp_path / "mine.safetensors")
    assert [file.name for file in done.files] == ["mine.safetensors", "mine.head.safetensors"]
    backbone = timm.create_model("test_efficientnet", num_classes=0, checkpoint_path=str(done.files[0])).eval()
    head = safetensors.torch.load_file(done.files[1])
    with safetensors.safe_open(done.files[1], "pt") as opened:
        facts = {name: json.loads(text) for name, text in opened.metadata().items()}
    pixels = student_engine.noise(2, SIZE)
    mean, std = (torch.tensor(facts[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        features = backbone.forward_features((pixels.permute(0, 3, 1, 2) - mean) / std)
        maps = torch.nn.functional.conv2d(features, head["weight"], head["bias"])
    expected = student_engine.eager(model.student, pixels)["cam"]
    torch.testing.assert_close(piecewise_boost(maps, facts["alpha"]), expected, rtol=1e-4, atol=1e-5)


def test_a_trained_run_is_exported_by_the_command(model, tmp_path, monkeypatch, capsys):
    from ccd_fast.cli import main

    def ccd(*arguments):
        monkeypatch.setattr(sys, "argv", ["ccd-fast", "export", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code or 0, *capsys.readouterr()

    monkeypatch.setattr(trained, "load", lambda run, checkpoint: model)
    RunFolder(tmp_path).write_json("run.json", {"root": "photos", "images": {"train": 30, "test": 12}})
    code, out, _ = ccd(tmp_path)
    assert code == 0
    assert "student.onnx" in out
    assert "largest relative difference from PyTorch: logits " in out
    assert (tmp_path / "student.onnx").is_file()
    assert "photos: 30 photographs to train on" in (tmp_path / "student.md").read_text()
    for arguments, said in (
        ((tmp_path,), "already exists; replace it with --overwrite"),
        (
            (tmp_path, "--format", "onx"),
            "--format onx: must be one of onnx, plan, safetensors, triton; did you mean 'onnx'?",
        ),
        ((tmp_path, "--out", "mine.pt"), "must end in .onnx"),
        ((tmp_path, "--out", tmp_path / "nowhere" / "a.onnx"), "no folder"),
    ):
        code, _, err = ccd(*arguments)
        assert code == 2
        assert said in err
        assert err.count("\n") == 1
    assert ccd(tmp_path, "--overwrite")[0] == 0  # its own card may be replaced
    assert ccd(tmp_path, "--format", "triton")[0] == 0
    assert (tmp_path / "triton" / "student" / "card.md").is_file()
    (tmp_path / "model.md").write_text("my notes")
    code, _, err = ccd(tmp_path, "--out", tmp_path / "model.onnx")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{tmp_path / 'model.md'}: the model card would be written here, and something else is there" in err
    assert (tmp_path / "model.md").read_text() == "my notes"
    assert not (tmp_path / "model.onnx").exists()
    monkeypatch.undo()
    code, _, err = ccd(tmp_path / "no-run")
    assert (code, err.count("\n")) == (2, 1)
    assert "not a run" in err


def test_a_folder_for_triton_has_the_checked_file_and_what_it_takes_and_gives(model, tmp_path):
    folder = tmp_path / "models" / "beasts"
    written = triton.export_triton(model, folder)
    assert max(written.errors.values()) < 1e-4
    assert {file.relative_to(folder).as_posix() for file in written.files} == {
        "1/model.onnx",
        "config.pbtxt",
        "labels.txt",
    }
    assert sorted(path.name for path in folder.parent.iterdir()) == ["beasts"]
    assert (folder / "labels.txt").read_text().splitlines() == list(NAMES)
    assert re.search(r"^dynamic_batching \{ max_queue_delay", (folder / "config.pbtxt").read_text(), re.MULTILINE)
    with pytest.raises(UserError, match="already exists; replace it with --overwrite"):
        triton.export_triton(model, folder)
    (folder / "config.pbtxt").unlink()
    with pytest.raises(UserError, match=r"holds no config\.pbtxt, so it is no model of Triton"):
        triton.export_triton(model, folder, overwrite=True)


def test_triton_s_own_protobuf_reads_the_configuration(model, written):
    protobuf = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    session = onnxruntime.InferenceSession(written[0])
    told = {"thresholds": [0.5], "image_size": SIZE, "resize": {"filter": 'a "b" \\ é\n'}}
    read = text_format.Parse(triton.config(onnx.load(written[0]), told), protobuf.ModelConfig())
    assert (read.name, read.backend, read.max_batch_size) == ("", "onnxruntime", 64)
    assert read.dynamic_batching.max_queue_delay_microseconds == 1000
    types = {"tensor(uint8)": protobuf.TYPE_UINT8, "tensor(float)": protobuf.TYPE_FP32}
    for ours, theirs in ((read.input, session.get_inputs()), (read.output, session.get_outputs())):
        expected = [(each.name, types[each.type], list(each.shape[1:])) for each in theirs]
        assert [(each.name, each.data_type, list(each.dims)) for each in ours] == expected
    assert [each.label_filename for each in read.output] == ["labels.txt", "labels.txt", ""]
    assert {key: json.loads(value.string_value) for key, value in read.parameters.items()} == told


def elsewhere(file):
    """Pictures, and what onnxruntime makes of them."""
    pixels = student_engine.noise(3, SIZE).numpy()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return pixels, dict(zip(export.OUTPUTS, session.run(export.OUTPUTS, {"pixels": pixels}), strict=True))


def test_openvino_gives_the_same(written):
    openvino = pytest.importorskip("openvino")
    pixels, expected = elsewhere(written[0])
    found = openvino.Core().compile_model(written[0], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(pixels)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)


IN_WEB_ASSEMBLY = """
const ort = require("onnxruntime-web");
const { readFileSync } = require("fs");
const [file, bytes, side] = process.argv.slice(1);
ort.env.wasm.numThreads = 1;
ort.InferenceSession.create(readFileSync(file)).then(async (session) => {
  const pixels = new Uint8Array(readFileSync(bytes));
  const count = pixels.length / (side * side * 3);
  const found = await session.run({ pixels: new ort.Tensor("uint8", pixels, [count, +side, +side, 3]) });
  console.log(JSON.stringify(Object.fromEntries(session.outputNames.map((name) => [name, [...found[name].data]]))));
});
"""


def test_onnxruntime_web_gives_the_same(written, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    if subprocess.run([node, "-e", "require.resolve('onnxruntime-web')"], capture_output=True, check=False).returncode:
        pytest.skip("no onnxruntime-web here: npm install --no-save onnxruntime-web, or set NODE_PATH to where it is")
    pixels, expected = elsewhere(written[0])
    (tmp_path / "pixels").write_bytes(pixels.tobytes())
    command = [node, "-e", IN_WEB_ASSEMBLY, str(written[0]), str(tmp_path / "pixels"), str(SIZE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array.ravel(), rtol=1e-4, atol=1e-5)


def test_weights_that_are_exported_again_are_the_same_bytes(model, tmp_path):
    files = [export.export_safetensors(model, tmp_path / f"{n}.safetensors").files for n in range(4)]
    for same in zip(*files, strict=True):
        assert len({file.read_bytes() for file in same}) == 1
        with safetensors.safe_open(same[0], "pt") as opened:
            assert list(opened.metadata())


def test_a_full_disk_is_a_line(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        export.export_safetensors(model, tmp_path / "student.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_without_onnxruntime_the_file_cannot_be_checked_and_is_not_written(model, tmp_path, monkeypatch):
    from ccd_fast.engines import onnx_runtime

    monkeypatch.setattr(onnx_runtime, "installed", lambda: False)
    with pytest.raises(UserError, match="export checks the ONNX file with onnxruntime: not installed"):
        export.export_onnx(model, tmp_path / "student.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_built_from_the_file_that_was_checked(model, tmp_path):
    if why := tensorrt_runtime.can_build("cuda"):
        pytest.skip(why)
    file = tmp_path / "student.plan"
    written = export.export_plan(model, file)
    assert written.files == (file, tmp_path / "student.json")
    assert file.stat().st_size > 10_000
    assert max(written.errors.values()) < 1e-4
    described = json.loads((tmp_path / "student.json").read_text())
    assert described["class_names"] == list(NAMES)
    assert described["batch_sizes"] == [1, 16, 64]
    assert described["tensorrt"].startswith("tensorrt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student.json", "student.plan"]
    with pytest.raises(UserError, match="already exists"):
        export.export_plan(model, file)


def test_a_plan_without_tensorrt_is_one_line(model, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorrt_runtime, "MODULES", ("no_such_tensorrt",))
    with pytest.raises(UserError, match=r"--format plan: not installed: pip install 'ccd_fast\[tensorrt\]'"):
        export.export_plan(model, tmp_path / "student.plan")
    assert list(tmp_path.iterdir()) == []


METRICS = {
    "mean_average_precision": 0.5, "class_f1": 0.25, "overall_f1": None, "images": 12, "threshold": 0.5,
    "average_precision": {"cat": 0.9, "dog": 0.1, "a|b": 0.2},
}  # fmt: skip


@pytest.mark.parametrize("measured", [True, False])
def test_the_card_says_what_the_file_is_and_how_good(model, tmp_path, measured):
    folder = RunFolder(tmp_path / "run")
    folder.create(overwrite=False)
    folder.write_json("run.json", {"root": "/home/me/holidays <b>", "images": {"train": 30, "test": 12}})
    metrics = {"student, chosen epoch, test": METRICS, "zero-shot teacher, test": {**METRICS, "class_f1": 0.125}}
    folder.write_json("summary.json", {"chosen_epoch": 3, "metrics": metrics if measured else {}})
    text = model_card.card(tmp_path / "run", model, "best", tmp_path / "s.onnx")
    assert "| file | s.onnx |" in text
    assert "| classes | cat, dog, traffic light, boat |" in text
    assert "holidays &lt;b&gt;: 30 photographs to train on, 12 to test on" in text
    assert "/home/me" not in text
    assert "epoch 3" in text
    assert f"image_size = {SIZE}" in text
    assert "nobody has corrected them" in text
    if measured:
        assert "| mAP | 50.0 | 50.0 |" in text
        assert "| CF1 | 25.0 | 12.5 |" in text
        assert "| OF1 | – | – |" in text
        assert "Lowest average precision: dog 10.0, a\\|b 20.0, cat 90.0." in text
    else:
        assert "Not measured" in text
