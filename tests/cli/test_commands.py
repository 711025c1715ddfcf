"""What a person sees: help, tables, and one line for each mistake."""

import csv
import io
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

from ccd_fast import kernels
from ccd_fast.engines import Store


def test_training_says_what_it_does_and_ends_with_a_summary(trained):
    out, printed, progress = trained
    for stage in ("first labels", "train epoch 0", "activity threshold epoch 2", "relabel epoch 2", "evaluate epoch 2"):
        assert stage in progress
    assert " a second" in progress
    assert "crops/s" not in progress  # with --verbose
    next_steps = printed[printed.index("next:") :]
    for command in ("predict", "review", "evaluate", "export"):
        assert f"ccd-fast {command} {out}" in next_steps
    for row in ("zero-shot teacher, test", "first pseudo-labels, train", "pseudo-labels after the updates, train"):
        assert row in printed
    assert "checkpoints/best is epoch" in printed
    assert "the test labels would choose epoch" in printed
    assert "(oracle), test" in printed
    assert str(out) in printed
    assert "Warning" not in progress


@pytest.mark.parametrize(
    "command",
    ["demo", "train", "evaluate", "predict", "ablate", "reproduce", "build-engines", "datasets", "verify", "doctor"],
)
def test_every_command_explains_itself_with_an_example(ccd, command):
    code, out, _ = ccd(command, "--help")
    assert code == 0
    assert f"Example: ccd-fast {command}" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trane"], "No such command 'trane'. Did you mean 'train'? (ccd-fast --help)"),
        (["train", "--owt", "x"], "No such option: --owt (Possible options: --known, --out, --overwrite"),
        (
            ["train", "--epochs", "3"],
            "no option --epochs: it is a knob of the recipe: --set train.epochs=3 (",
        ),
        (["train", "--epochs=7"], "no option --epochs: it is a knob of the recipe: --set train.epochs=7 ("),
        (["train", "--epochs"], "no option --epochs: it is a knob of the recipe: --set train.epochs=… ("),
        (["predict", "--epochs", "3"], "No such option: --epochs"),
        (["label", "--out", "x.csv"], "Missing option '--data-root'. (ccd-fast label --help)"),
        (["label", "--threshold", "2"], "Invalid value for '--threshold'"),
    ],
)
def test_a_mistyped_command_line_is_answered_in_one_line(ccd, words, said):
    code, out, err = ccd(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"ccd-fast: {said}")


@pytest.mark.parametrize("words", [[], ["bench"]])
def test_a_group_without_a_command_explains_itself(ccd, words):
    code, out, _ = ccd(*words)
    assert code == 0
    assert "Commands" in out


def test_help_and_version_answer_without_loading_torch():
    code = (
        "import sys\nfrom ccd_fast.cli import main\nsys.argv = ['ccd-fast', '--version']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ctrl_c_says_how_to_go_on(ccd, photo_folder, tiny_clip, tmp_path, monkeypatch):
    from ccd_fast import doctor

    def interrupt():
        raise KeyboardInterrupt

    def interrupt_of_train(*arguments, **options):
        raise KeyboardInterrupt

    for look in ("glance", "examine"):
        monkeypatch.setattr(doctor, look, interrupt)
    monkeypatch.setattr("ccd_fast.machine.device_names.may_have_a_gpu", lambda: False)
    code, _, err = ccd("doctor")
    assert (code, err) == (130, "ccd-fast: interrupted\n")
    monkeypatch.setattr("ccd_fast.training.train", interrupt_of_train)
    source = ["--data-root", photo_folder, "--classes", photo_folder / "classes.txt", "--teacher", tiny_clip]
    code, _, err = ccd("train", *source, "--out", tmp_path / "my run")
    assert (code, err) == (130, "ccd-fast: interrupted\n")  # before there is a run

    def interrupt_of_a_run(*arguments, **options):
        (tmp_path / "my run").mkdir()
        (tmp_path / "my run" / "recipe.toml").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("ccd_fast.training.train", interrupt_of_a_run)
    code, _, err = ccd("train", *source, "--out", tmp_path / "my run")
    assert code == 130
    assert f"go on with `ccd-fast train --resume --out '{tmp_path / 'my run'}'`" in err


def test_the_figures_are_kept_for_tensorboard(trained):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulators.EventAccumulator(str(trained[0] / "tensorboard")).Reload()
    records = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    told = {r["epoch"]: r["test"]["mean_average_precision"] for r in records if "loss" in r}
    assert {event.step: event.value for event in found.Scalars("map/student_test")} == pytest.approx(told)
    assert {"loss", "images_per_second/train", "crops_per_second/relabel"} <= set(found.Tags()["scalars"])


def test_a_run_that_began_on_a_gpu_does_not_go_on_elsewhere_unasked(ccd, trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**described, "device": "cuda:7"}))
    code, _, err = ccd("train", "--resume", "--out", tmp_path / "run")
    assert code == 2
    assert "the run began on cuda:7, which is not here; go on elsewhere with --device auto" in err
    assert ccd("train", "--resume", "--out", tmp_path / "run", "--device", "cpu")[0] == 0


def test_a_run_is_resumed_with_its_folder_alone(ccd, trained):
    code, out, _ = ccd("train", "--resume", "--out", trained[0])
    assert code == 0
    assert "checkpoints/best is epoch" in out


def test_the_demo_runs_on_a_few_scenes_and_says_what_to_do_next(ccd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what it says to try writes here
    few = ["--scenes", 50, "--set", "train.epochs=3", "--set", "student.image_size=64"]
    code, out, err = ccd("demo", "--out", tmp_path / "demo", *few)
    assert code == 0, err
    assert "draw scenes" in err
    assert "student, last epoch, test" in out
    assert "Changed in the recipe of every row: train.epochs=3, student.image_size=64." in out
    assert "no update" not in out
    said, look, try_, yours = out.splitlines()[-4:]
    assert said == "next:"
    page = look.split("open ")[1].split(" in a browser")[0]
    assert Path(page).is_file()
    assert ccd(*shlex.split(try_.split("ccd-fast ")[1]), "--overwrite")[0] == 0
    assert yours.startswith("  your own photographs:    ccd-fast label ")
    assert ccd("demo", "--out", tmp_path / "demo", *few)[0] == 2
    code, out, err = ccd("demo", "--out", tmp_path / "demo", "--overwrite", "--parts", *few)
    assert code == 0
    assert "no update" in out
    assert "draw scenes" not in err  # they were in the cache


def test_predict_prints_a_table_for_files_and_folders(ccd, trained, photo_folder):
    code, out, _ = ccd("predict", trained[0], photo_folder / "images" / "part1")
    assert code == 0
    assert "001.jpg" in out
    assert out.count(".jpg") == len(list((photo_folder / "images" / "part1").glob("*.jpg")))


@pytest.mark.parametrize(
    ("out", "said"), [("{tmp}/there.csv", "already exists"), ("{tmp}/gone/p.csv", "no such folder")]
)
def test_predict_looks_first_whether_it_may_write(ccd, trained, photo_folder, tmp_path, out, said):
    (tmp_path / "there.csv").write_text("mine")
    code, printed, err = ccd("predict", trained[0], photo_folder / "images", "--out", out.format(tmp=tmp_path))
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert said in err
    assert (tmp_path / "there.csv").read_text() == "mine"
    code, _, err = ccd("predict", trained[0], photo_folder / "images", "--out", tmp_path / "there.csv", "--overwrite")
    assert (code, (tmp_path / "there.csv").read_text()[:5]) == (0, "path,"), err


def test_predict_names_what_it_cannot_read_and_does_the_rest(ccd, trained, photo_folder, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"rubbish")
    good = photo_folder / "images" / "part1" / "001.jpg"
    code, out, err = ccd("predict", trained[0], tmp_path / "bad.jpg", good, tmp_path / "gone.jpg")
    assert code == 2
    assert f"{tmp_path / 'gone.jpg'}: no such file" in err
    assert f"{tmp_path / 'bad.jpg'}: not an image (starts with " in err
    assert "001.jpg" in out


def test_label_writes_what_the_ending_or_the_format_says(ccd, photo_folder, tiny_clip, tmp_path):
    given = ["label", "--data-root", photo_folder, "--classes", photo_folder / "classes.txt", "--teacher", tiny_clip]
    code, out, err = ccd(*given, "--out", tmp_path / "labels.csv", "--labels-per-image", 1.5)
    assert code in (0, 2), err
    assert "1.50 labels each on average" in out
    assert (
        f"ccd-fast train --data-root {photo_folder} --classes {photo_folder / 'classes.txt'} --teacher {tiny_clip}"
        in out
    )
    header, *rows = list(csv.reader((tmp_path / "labels.csv").open(newline="")))
    assert header[:2] == ["path", "labels"]
    assert sum(len(row[1].split("|")) for row in rows if row[1]) == round(1.5 * len(rows))
    code, _, err = ccd(*given, "--out", tmp_path / "labels.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "already exists; replace it with --overwrite" in err
    code, out, _ = ccd(*given, "--out", tmp_path / "tasks.json", "--format", "label-studio", "--json")
    facts = json.loads(out)
    assert facts["files"][:2] == [str(tmp_path / "tasks.json"), str(tmp_path / "tasks.xml")]
    assert len(json.loads((tmp_path / "tasks.json").read_text())) == facts["photographs"]


def test_labels_of_nothing_say_so_and_lead_to_no_training(ccd, photo_folder, tiny_clip, tmp_path, monkeypatch):
    classes = photo_folder / "classes.txt"
    given = ["label", "--data-root", photo_folder, "--classes", classes, "--teacher", tiny_clip]
    with_nouns = [*given, "--set", "labels.anchors=everyday"]
    _, out, _ = ccd(*given, "--set", "labels.anchors=none", "--threshold", 1, "--out", tmp_path / "some.csv")
    assert "without a label: no class reaches" in out and "labels.anchors=none gives" not in out
    assert "ccd-fast train" in out
    own, nouns = kernels.score, 9 * (torch.arange(500) >= len(classes.read_text().split("\n")) - 1)
    monkeypatch.setattr(kernels, "score", lambda seen, *rest: own(seen + nouns[: seen.shape[1]], *rest))
    _, out, _ = ccd(*with_nouns, "--out", tmp_path / "none.csv")
    assert "36 photographs without a label" in out and "labels.anchors=none gives more of them" in out
    assert "ccd-fast train" not in out


LABEL_MISTAKES = {
    "no classes": ([], "--classes FILE is needed"),
    "an ending that says nothing": (["--out", "{tmp}/labels.json"], "say what it should be with --format"),
    "a run's own classes": (["--run", "{tmp}", "--classes", "{tmp}/c.txt"], "--classes: these are the run's"),
    "no run": (["--run", "{tmp}"], "not a run of ccd-fast"),
    "no such folder": (["--classes", "{tmp}/c.txt", "--data-root", "{tmp}/gone"], "no such folder"),
    "two limits": (
        ["--classes", "{tmp}/c.txt", "--labels-per-image", "2", "--threshold", "0.7"],
        "give it or --threshold",
    ),
    "two ways to cut": (
        ["--classes", "{tmp}/c.txt", "--labels-per-image", "2", "--thresholds", "{tmp}/t.csv"],
        "give it or",
    ),
}


@pytest.mark.parametrize("mistake", LABEL_MISTAKES)
def test_a_mistake_of_label_is_answered_in_one_line(ccd, tmp_path, mistake):
    arguments, said = LABEL_MISTAKES[mistake]
    given = {"--data-root": str(tmp_path), "--out": str(tmp_path / "labels.csv")}
    own = [argument.format(tmp=tmp_path) for argument in arguments]
    given = [word for pair in given.items() if pair[0] not in own for word in pair]
    (tmp_path / "c.txt").write_text("cat\ndog\n")
    code, _, err = ccd("label", *given, *own)
    assert (code, err.count("\n")) == (2, 1), err
    assert said in err
    assert not (tmp_path / "labels.csv").exists()


def test_build_engines_says_whether_it_had_to_build(ccd, tiny_clip):
    ccd("build-engines", "--teacher", tiny_clip)
    code, out, _ = ccd("build-engines", "--teacher", tiny_clip)
    assert code == 0
    assert "was there already" in out
    assert "built in" in ccd("build-engines", "--teacher", tiny_clip, "--force")[1]


def test_build_engines_compares_with_open_clip_and_keeps_a_list(ccd, tiny_clip, photo_folder):
    views = ["--images", photo_folder / "images", "--classes", photo_folder / "classes.txt"]
    code, out, err = ccd("build-engines", "--teacher", tiny_clip, "--force", *views)
    assert code == 0, err
    assert "on 32 images and 4 classes" in out
    assert "top-1 changed" in out
    entries = json.loads(ccd("build-engines", "--list", "--json")[1])
    own = next(entry for entry in entries if entry["identity"].get("teacher", "").startswith(tiny_clip.name))
    assert own["parity"]["onnxruntime cpu"]["cosine_min"] > 0.9999
    assert own["key"][:8] in ccd("build-engines", "--list")[1]
    code, _, err = ccd("build-engines", "--remove", own["key"][:-1] + "x")
    assert (code, err.count("\n")) == (2, 1)
    assert "no such engine" in err
    assert "no such engine" in ccd("build-engines", "--remove", "")[2]
    out = ccd("build-engines", "--remove", own["key"][:8])[1]
    assert f"removed {own['key']}: {tiny_clip.name} (config " in out
    assert own["key"][:8] not in ccd("build-engines", "--list")[1]


@pytest.mark.parametrize(("file", "content"), [("manifest.json", "{"), ("engine", "longer than it was")])
def test_one_damaged_engine_does_not_hide_the_others(ccd, tmp_path, monkeypatch, file, content):
    monkeypatch.setenv("CCD_CACHE", str(tmp_path))
    store = Store()
    good, bad = (store.get({"teacher": name}, lambda folder: (folder / "engine").touch()) for name in ("one", "two"))
    (bad / file).write_text(content)
    code, out, _ = ccd("build-engines", "--list")
    assert code == 0
    assert good.name[:8] in out
    assert f"ccd-fast build-engines --remove {bad.name}" in " ".join(out.split())
    entries = {entry["key"]: entry for entry in json.loads(ccd("build-engines", "--list", "--json")[1])}
    assert "damaged" in entries[bad.name]
    assert "damaged" not in entries[good.name]
    assert f"removed {bad.name}: damaged" in ccd("build-engines", "--remove", bad.name)[1]
    assert "1 engine," in ccd("build-engines", "--list")[1]


def test_photographs_are_compared_on_where_the_engine_is_there_already(ccd, tiny_clip, photo_folder):
    ccd("build-engines", "--teacher", tiny_clip)
    own = ["--images", photo_folder / "images"]
    code, out, _ = ccd("build-engines", "--teacher", tiny_clip, *own)
    assert code == 0
    assert "was there already" in out
    assert "images and 20 classes:" in out  # the names of the demo's classes, and none of its scenes
    assert "(compared when it was built)" in ccd("build-engines", "--teacher", tiny_clip)[1]


def test_no_engine_in_fp16_for_a_cpu(ccd, tiny_clip):
    code, _, err = ccd("build-engines", "--teacher", tiny_clip, "--precision", "fp16")
    assert (code, err.count("\n")) == (2, 1)
    assert "no engine in fp16 for cpu" in err
    assert "use fp32" in err


def test_a_plan_is_built_without_a_card_and_said_not_to_have_been_compared(ccd, tiny_clip):
    pytest.importorskip("tensorrt_rtx")
    code, out, err = ccd("build-engines", "--teacher", tiny_clip, "--runtime", "tensorrt", "--batch-size", 4)
    assert code == 0, err
    assert "tensorrt, fp16: built in" in out
    assert "the plan is for SM86, SM89, SM120" in out
    assert "not compared with open_clip: it runs on an NVIDIA GPU only" in out


MISTAKES = {
    "an empty class file": (["--classes", "{tmp}/empty.txt"], "{tmp}/empty.txt: is empty"),
    "a class name twice": (["--classes", "{tmp}/twice.txt"], "'cat' stands twice, in lines 1 and 3"),
    "a teacher folder without weights": (["--teacher", "{tmp}/clip"], "no open_clip_model.safetensors"),
    "a folder without images": (["--data-root", "{tmp}/nothing"], "{tmp}/nothing: no images in it"),
    "an existing run": (["--out", "{tmp}/old"], "{tmp}/old: already exists"),
    "nothing to resume": (["--resume"], "holds no run to go on with"),
    "an unknown knob": (["--set", "train.epoch=3"], "did you mean 'train.epochs'"),
    "a bad value": (["--set", "train.epochs=none"], "a whole number >= 1"),
    "an unknown recipe": (["--recipe", "foldr"], "did you mean 'folder'"),
    "an unknown data set": (["--dataset", "foldr"], "did you mean 'folder'"),
    "no such root": (["--data-root", "{tmp}/gone"], "no such folder"),
    "an unknown student": (["--student", "resnet_50"], "did you mean 'resnet50'"),
    "another device": (["--device", "cuda"], "torch finds no CUDA GPU"),
    "no such templates": (["--templates", "{tmp}/gone.txt"], "no such file, and no ensemble"),
    "a template without a place for the name": (["--templates", "{tmp}/empty.txt"], "{tmp}/empty.txt: is empty"),
    "no such boxes": (["--boxes", "{tmp}/gone.csv"], "--boxes {tmp}/gone.csv: no such file"),
    "a choice of views that lacks boxes": (["--set", "views.choice=ground-truth"], "give them with --boxes FILE"),
    "a knob that compat mode does not heed": (["--set", "compat=official"], "set teacher.image_size=64"),
    "two mistakes, the teacher's first": (
        ["--teacher", "ViT-B-33/openai", "--student-weights", "{tmp}/gone.safetensors"],
        "teacher 'ViT-B-33/openai': unknown",
    ),
    "a student without its weights": (["--student-weights", "{tmp}/gone.safetensors"], "no such file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_exit_code_two_and_writes_nothing(ccd, arguments, tmp_path, tiny_clip, mistake):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "twice.txt").write_text("cat\ndog\ncat\n")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_text("mine")
    (tmp_path / "clip").mkdir()
    shutil.copy(tiny_clip / "open_clip_config.json", tmp_path / "clip")
    before = sorted(path for path in tmp_path.rglob("*"))
    extra, said = MISTAKES[mistake]
    extra = [part.format(tmp=tmp_path) for part in extra]
    code, _, err = ccd("train", *arguments, "--out", tmp_path / "new", *extra)
    assert code == 2
    assert said.format(tmp=tmp_path) in err
    assert [line for line in err.splitlines() if line.startswith("ccd-fast: ")] == [err.splitlines()[-1]]
    assert len(err.splitlines()) == 1
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments_", "said"),
    [
        (["evaluate", "{tmp}"], "not a run of ccd-fast"),
        (["train", "--out", "{tmp}/new"], "--data-root FOLDER is needed"),
        (["train", "--out", "{tmp}", "--resume"], "holds no run to go on with"),
        (["train", "--out", "{run}", "--resume", "--set", "relabel.k=9"], "leave out --set"),
        (["train", "--out", "{run}", "--resume", "--overwrite"], "give one of them"),
        (["train", "--out", "{run}", "--resume", "--student", "resnet18"], "leave out --student"),
        (["predict", "{run}", "{tmp}/gone.jpg"], "gone.jpg: no such file"),
        (["predict", "{run}", "{tmp}"], "no images in it"),
        (["predict", "{run}", "{run}/recipe.toml"], "recipe.toml: not an image (starts with"),
        (["predict", "{run}", "{tmp}", "--out", "x.xml"], "say what it should be with --format csv, parquet, jsonl,"),
        (["predict", "{run}", "{tmp}", "--format", "coco"], "--format is of --out: give --out FILE"),
        (["evaluate", "{run}", "--alone", "--ensemble"], "give one of them"),
        (["evaluate", "{run}", "--min-positives", "99"], "fewer than two classes have so many"),
        (["evaluate", "{run}", "--split", "val"], "must be train or test"),
        (["evaluate", "{run}", "--checkpoint", "first"], "it has best, last"),
        (["build-engines", "--teacher", "ViT-B-32/openai"], "ViT-B-32-quickgelu/openai"),
    ],
)
def test_other_commands_too(ccd, trained, tmp_path, arguments_, said):
    code, _, err = ccd(*(part.format(tmp=tmp_path, run=trained[0]) for part in arguments_))
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(ccd, tmp_path):
    code, _, err = ccd("evaluate", tmp_path, "--debug")
    assert code == 2
    assert "Traceback" in err


def test_an_unforeseen_error_is_one_line_and_exit_code_one(ccd, trained, monkeypatch):
    import ccd_fast.outputs.trained

    def fail(*_):
        raise ZeroDivisionError("of course")

    monkeypatch.setattr(ccd_fast.outputs.trained, "load", fail)
    code, _, err = ccd("evaluate", trained[0])
    assert code == 1
    assert (
        err.strip()
        == "ccd-fast: internal error: ZeroDivisionError: of course (run again with --debug for the traceback)"
    )


def test_a_full_disk_is_no_error_of_the_command_whoever_tells_of_it(ccd, trained, monkeypatch):
    import ccd_fast.outputs.trained

    def fail(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(ccd_fast.outputs.trained, "load", fail)
    code, _, err = ccd("evaluate", trained[0])
    said = "ccd-fast: I/O error: No space left on device (os error 28): make room, and give the same command again"
    assert (code, err.strip()) == (1, said)


def test_predict_takes_patterns_and_a_list_and_writes_parquet(ccd, trained, photo_folder, tmp_path, monkeypatch):
    images = sorted((photo_folder / "images" / "part1").glob("*.jpg"))[:3]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{images[0]}\n{images[1]}\n"))
    pattern = str(images[2].parent / f"{images[2].stem[:-1]}[{images[2].stem[-1]}]*.jpg")
    code, _, err = ccd("predict", trained[0], "-", pattern, "--out", tmp_path / "p.parquet")
    assert code == 0, err
    table = pyarrow.parquet.read_table(tmp_path / "p.parquet").to_pydict()
    assert table["path"][:2] == [images[0].name, images[1].name]
    assert len(table["path"]) == 3
    assert all(0 <= value <= 1 for value in table["cat"])
    code, _, err = ccd("predict", trained[0], str(tmp_path / "no*.jpg"))
    assert (code, err.count("\n")) == (2, 1)
    assert "no file fits this pattern" in err


def test_predict_says_first_that_a_path_is_wrong(ccd, trained, tmp_path):
    code, out, err = ccd("predict", trained[0], tmp_path / "gone.jpg")
    assert (code, out, err) == (2, "", f"ccd-fast: {tmp_path / 'gone.jpg'}: no such file\n")


def test_predict_draws_where_the_student_looked(ccd, trained, photo_folder, tmp_path):
    image = photo_folder / "images" / "part1" / "001.jpg"
    code, _, err = ccd("predict", trained[0], image, image, "--top-k", 2, "--overlays", tmp_path / "o")
    assert code == 0, err
    assert "2 overlays in" in err
    drawn = sorted((tmp_path / "o").iterdir())
    assert [file.name.startswith("001-") for file in drawn] == [True, True]
    with Image.open(image) as photograph, Image.open(drawn[0]) as overlay:
        assert overlay.size == photograph.size
        assert overlay.tobytes() != photograph.convert("RGB").tobytes()


def test_empty_lines_of_a_list_name_nothing(ccd, trained, photo_folder, tmp_path, monkeypatch):
    image = min((photo_folder / "images" / "part1").glob("*.jpg"))
    monkeypatch.chdir(photo_folder)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{image}\n\n  \n"))
    code, _, err = ccd("predict", trained[0], "-", "--out", tmp_path / "p.parquet")
    assert code == 0, err
    assert pyarrow.parquet.read_table(tmp_path / "p.parquet").to_pydict()["path"] == [image.name]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    code, _, err = ccd("predict", trained[0], "-")
    assert (code, err) == (2, "ccd-fast: -: no path on standard input\n")
