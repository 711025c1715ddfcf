"""Files that somebody made to do harm: none is run, none leads out of its folder, none speaks to the terminal."""

import json
import os
import pickle
import sys
from pathlib import Path

import pytest
import torch

from ccd_fast.cli import main
from ccd_fast.datasets.folder import read_class_names
from ccd_fast.errors import UserError, printable
from ccd_fast.runs.folder import PARTIAL, STATE, RunFolder
from ccd_fast.student.network import build
from ccd_fast.teacher.clip import load_clip


class Harm:
    """Touches a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def pickles(trace):
    """A plain pickle, and torch's own form with one inside."""
    yield lambda file: file.write_bytes(pickle.dumps(Harm(trace)))
    yield lambda file: torch.save({"student": Harm(trace)}, file)


@pytest.fixture(params=["a pickle", "torch's form"])
def harmful(request, tmp_path):
    """Gives what writes a harmful file, and the folder that would be there if it had been run."""
    trace = tmp_path / "it was run"
    return list(pickles(trace))[request.param == "torch's form"], trace


def test_the_pickles_would_do_harm(harmful, tmp_path):
    write, trace = harmful
    write(tmp_path / "file")
    if (tmp_path / "file").read_bytes().startswith(b"PK"):  # torch's form is a zip
        torch.load(tmp_path / "file", weights_only=False)
    else:
        pickle.loads((tmp_path / "file").read_bytes())
    assert trace.is_dir()


@pytest.mark.parametrize("name", [STATE, PARTIAL])
def test_a_checkpoint_is_not_run(harmful, tmp_path, name):
    write, trace = harmful
    folder = RunFolder(tmp_path / "run")
    folder.create(overwrite=False)
    write(folder.path / name)
    with pytest.raises(UserError, match="not what a run of ccd-fast wrote"):
        folder.load_state() if name == STATE else folder.load_partial("train 1")
    assert not trace.exists()


@pytest.mark.parametrize("ending", ["pth", "bin", "safetensors"])
def test_weights_of_a_student_are_not_run(harmful, tmp_path, ending):
    write, trace = harmful
    write(tmp_path / f"weights.{ending}")
    with pytest.raises(UserError, match="cannot be read"):
        build("test_resnet", 2, 5.0, str(tmp_path / f"weights.{ending}"))
    assert not trace.exists()


def test_checkpoints_for_use_are_not_run(harmful, tmp_path):
    write, trace = harmful
    folder = RunFolder(tmp_path / "run")
    folder.create(overwrite=False)
    write(folder.path / "checkpoints" / "best.safetensors")
    with pytest.raises(UserError, match="cannot be read"):
        folder.load_student("best")
    assert not trace.exists()


def test_a_teacher_s_folder_is_not_run(harmful, tiny_clip, tmp_path):
    write, trace = harmful
    (tmp_path / "open_clip_config.json").write_text((tiny_clip / "open_clip_config.json").read_text())
    write(tmp_path / "open_clip_model.safetensors")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_clip(str(tmp_path))
    assert not trace.exists()


@pytest.mark.parametrize("name", ["cat\x1b[31m", "cat\x07", "c\x00t", "\u202etac"])
def test_a_class_name_that_a_terminal_would_obey_is_refused(name, tmp_path):
    (tmp_path / "classes.txt").write_text(f"dog\n{name}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 2: .* holds characters that no name has") as caught:
        read_class_names(tmp_path / "classes.txt")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["naïve café", "گربه\u200cها", "猫", "[bold]x[/bold]", "a/b"])
def test_names_of_any_script_are_names(name, tmp_path):
    (tmp_path / "classes.txt").write_text(f"dog\n{name}\n", encoding="utf-8")
    assert read_class_names(tmp_path / "classes.txt") == ("dog", name)
    assert printable(name) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b]0;mine\x07", "\\x1b]0;mine\\x07"), ("a\tb", "a b"), ("\udcff.jpg", "\\udcff.jpg"), ("\x9b1m", "\\x9b1m")],
)
def test_what_a_terminal_would_obey_is_shown_as_it_is_written(text, shown):
    assert printable(text) == shown


@pytest.mark.usefixtures("cache")
@pytest.mark.skipif(os.name != "posix", reason="names that only POSIX has")
def test_hostile_names_pass_through_every_command_as_text(photo_folder, tiny_clip, tmp_path, monkeypatch, capfd):
    """File names that a terminal would obey, class names that rich would take for markup and a page for HTML."""
    names = ["[/red]", "<b onload=x>", "../../up"]
    photographs = sorted(photo_folder.rglob("*.jpg"))[:9]
    root = tmp_path / "photos"
    root.mkdir()
    rows = ["path,split,labels"]
    for index, photograph in enumerate(photographs):
        file = root / f"<blink>[bold]{index}[.jpg"
        file.write_bytes(photograph.read_bytes() if index else b"no picture")
        rows.append(f"{file.name},{'train' if index < 6 else 'test'},{names[index % 3]}")
    (tmp_path / "classes.txt").write_text("\n".join(names))
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    run, obeyed = tmp_path / "run", tmp_path / "to\x1b[31mday"
    obeyed.mkdir()
    for index, photograph in enumerate(photographs):
        (obeyed / f"{index}\x07<blink>.jpg").write_bytes(photograph.read_bytes() if index else b"no picture")

    def call(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["ccd-fast", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert (end.value.code or 0) == code, err
        assert "\x1b" not in out + err
        return out + err

    source = ["--data-root", root, "--classes", tmp_path / "classes.txt", "--truth", tmp_path / "labels.csv"]
    small = ["student.image_size=64", "train.batch_size=4", "teacher.batch_size=4", "train.epochs=3"]
    small += ["relabel.min_tau=0.0", "views.max_bad_frac=0.5", "student.backbone=test_resnet", "student.weights=none"]
    call("train", *source, "--teacher", tiny_clip, *(word for knob in small for word in ("--set", knob)), "--out", run)
    assert names[1] in call("evaluate", run)
    said = call("predict", run, obeyed, "--top-k", "3", "--overlays", tmp_path / "over", code=2).replace("\n", "")
    assert "to\\x1b[31mday" in said
    assert names[0] in said
    call("label", "--run", run, "--data-root", root, "--out", tmp_path / "out.json", "--format", "coco", code=2)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<b onload" not in page
    assert "<blink>" not in page
    inside = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert all(tmp_path in file.resolve().parents for file in inside)
    assert len(list((tmp_path / "over").glob("*.png"))) == 8 * 3
    assert json.loads((run / "run.json").read_text())["class_names"] == names
