"""What programs call: the same as the command line, in a line each."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import ccd_fast
from ccd_fast.errors import UserError

KNOBS = {
    "student.weights": "none",
    "student.image_size": 64,
    "train.batch_size": 8,
    "train.epochs": 3,
    "relabel.min_tau": 0.0,
    "views.backend": "pillow",
}
NAMES = ("cat", "dog", "traffic light", "boat")

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def model(photo_folder, tiny_clip, cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "run"
    truth = photo_folder / "labels.csv"
    given = {"teacher": str(tiny_clip), "student": "test_resnet", "knobs": KNOBS, "truth": truth, "quiet": True}
    return ccd_fast.train(photo_folder, NAMES, out, **given)


def test_importing_the_package_loads_nothing_large():
    code = "import sys, ccd_fast; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; ccd_fast.load"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        _ = ccd_fast.trane


def test_train_gives_the_model_that_load_reads(model, photo_folder):
    again = ccd_fast.load(model.folder)
    assert again.class_names == model.class_names == NAMES
    assert 0 <= model.results["student, chosen epoch, test"] <= 1
    own, stored = model.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(own[name], stored[name]) for name in own)
    assert isinstance(again.module, torch.nn.Module)


def test_predict_gives_every_class_of_each_photograph(model, photo_folder):
    image = photo_folder / "images" / "part1" / "001.jpg"
    found = ccd_fast.predict(model.folder, image)
    assert list(found) == [str(image)]
    assert tuple(found[str(image)]) == NAMES
    among_others = model.predict([image, image.parent])[str(image)]
    assert among_others == pytest.approx(found[str(image)], abs=1e-6)  # PyTorch may add up in another order


def test_student_and_teacher_together_as_predict_ensemble_gives_them(model, photo_folder, ccd, tmp_path):
    image = photo_folder / "images" / "part1" / "001.jpg"
    found = ccd_fast.predict(model.folder, image, ensemble=True)[str(image)]
    assert found != ccd_fast.predict(model.folder, image)[str(image)]
    assert ccd("predict", model.folder, image, "--ensemble", "--out", tmp_path / "p.jsonl")[0] == 0
    assert json.loads((tmp_path / "p.jsonl").read_text())["probabilities"] == pytest.approx(found, abs=1e-5)


def test_pictures_in_memory_are_predicted_as_files_are(model, photo_folder):
    image = photo_folder / "images" / "part1" / "001.jpg"
    side = model.image_size
    with Image.open(image) as photograph:
        pixels = np.asarray(photograph.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))[None]
    found = model.predict_pixels(pixels)
    assert found.shape == (1, 4)
    np.testing.assert_allclose(found[0], list(model.predict(image)[str(image)].values()), atol=1e-5)
    for wrong in (pixels[0], pixels[:, :32], pixels.astype(np.float32)):
        with pytest.raises(UserError, match=rf"must be \(B, {side}, {side}, 3\) uint8"):
            model.predict_pixels(wrong)


def test_what_cannot_be_read_is_named(model, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"bad\.jpg: not an image"):
        model.predict(tmp_path / "bad.jpg")
    with pytest.raises(UserError, match=r"gone\.jpg: no such file"):
        model.predict([tmp_path / "gone.jpg"])


def test_label_takes_names_or_a_run(model, photo_folder, tiny_clip):
    plain = ccd_fast.label(photo_folder, NAMES, teacher=str(tiny_clip), quiet=True)
    assert plain.table.shape == (len(plain.images), 4)
    looked = ccd_fast.label(photo_folder, run=model.folder, quiet=True)
    assert looked.images.class_names == NAMES
    assert not torch.equal(plain.table, looked.table)
    with pytest.raises(UserError, match="give classes"):
        ccd_fast.label(photo_folder)
    with pytest.raises(UserError, match="are the run's"):
        ccd_fast.label(photo_folder, NAMES, run=model.folder)


def test_a_mistake_is_the_command_line_s(photo_folder, tmp_path):
    with pytest.raises(UserError, match=r"did you mean 'train\.epochs'"):
        ccd_fast.train(photo_folder, NAMES, tmp_path / "run", knobs={"train.epoch": 3})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["cat"], "classes: names one class only"),
        (["cat", "dog", "Cat"], "classes: 'Cat' stands twice, in names 1 and 3"),
        (["cat", " "], "classes: name 2: a name is missing"),
        (["cat", "dog\nboat"], "classes: name 2: .* holds characters that no name has"),
        (["cat", "# dog"], "classes: name 2: '# dog' would be a remark in a file of classes"),
    ],
)
def test_class_names_that_a_file_would_not_hold_are_refused(photo_folder, tmp_path, classes, said):
    for call in (ccd_fast.label, lambda *given: ccd_fast.train(*given, tmp_path / "run")):
        with pytest.raises(UserError, match=said):
            call(photo_folder, classes)
    assert list(tmp_path.iterdir()) == []


def test_known_labels_reach_the_run(photo_folder, tmp_path):
    with pytest.raises(UserError, match=r"--known .*gone\.csv: no such file"):
        ccd_fast.train(photo_folder, NAMES, tmp_path / "run", known=tmp_path / "gone.csv")
