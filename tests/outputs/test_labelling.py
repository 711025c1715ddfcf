"""Labels without a training, and the files that other programs read."""

import csv
import dataclasses
import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from rich.console import Console
from torchvision.datasets import ImageFolder

from ccd_fast import kernels
from ccd_fast.cli import label_formats, options
from ccd_fast.datasets import Source, folder, load
from ccd_fast.errors import RunError, UserError
from ccd_fast.labels.bias import UNNAMED
from ccd_fast.outputs import decisions, label_files, label_folders, labelling
from ccd_fast.recipes import config
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.training.run import train

pytestmark = pytest.mark.usefixtures("cache")

SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "train.batch_size=8")
NAMES = ("cat", 'a "b" <c>', "dog | hound")


def stages():
    return Stages(Console(file=io.StringIO()))


@pytest.fixture
def recipe(tiny_clip):
    return config.load("folder", [f"teacher.model='''{tiny_clip}'''", "teacher.batch_size=8", *SMALL])


@pytest.fixture(scope="module")
def run(photo_folder, tiny_clip, cache, tmp_path_factory):
    knobs = [
        f"teacher.model='''{tiny_clip}'''",
        "teacher.batch_size=8",
        *SMALL,
        "train.epochs=3",
        "relabel.min_tau=0.0",
    ]
    out = RunFolder(tmp_path_factory.mktemp("label") / "run")
    source = Source("folder", photo_folder, photo_folder / "classes.txt", None)
    train(source, config.load("folder", knobs), out, Stages(Console(file=io.StringIO()), out.add_metrics))
    return out


@pytest.fixture
def labelled(tmp_path):
    """Four photographs, the third unreadable and the last one turned by EXIF."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in ("a b&c.jpg", "two.jpg", "four.jpg"):
        Image.new("RGB", (60, 40)).save(tmp_path / name, exif=turned if name == "four.jpg" else Image.Exif())
    (tmp_path / "three.jpg").write_bytes(b"rubbish")
    images = folder.unlabelled(tmp_path, NAMES)
    assert images.paths == ("a b&c.jpg", "four.jpg", "three.jpg", "two.jpg")
    table = torch.tensor([[0.9, 0.6, 0.1], [0.2, 0.3, 0.8], [0.0, 0.0, 0.0], [0.1, 0.2, 0.3]])
    readable = torch.tensor([True, True, False, True])
    return labelling.Labelled(images, table, readable, {2: "not an image"}, "teacher tiny", HALF)


HALF = np.full(3, 0.5, dtype=np.float32)


def test_the_teacher_s_labels_are_the_first_pseudo_labels_of_a_run(photo_folder, recipe, run):
    found = labelling.by_teacher(photo_folder, photo_folder / "classes.txt", recipe, stages())
    first = pyarrow.parquet.read_table(run.path / "labels" / "epoch-000.parquet").to_pydict()
    assert list(found.images.paths) == first["path"]
    names = found.images.class_names
    np.testing.assert_array_equal(found.table.numpy(), np.array([first[name] for name in names]).T.astype(np.float32))


def test_with_a_run_the_labels_are_those_of_its_next_update(photo_folder, run):
    found = labelling.by_run(photo_folder, run.path, stages())
    first = labelling.by_teacher(
        photo_folder, photo_folder / "classes.txt", config.load(run.path / "recipe.toml"), stages()
    )
    assert found.images.class_names == first.images.class_names
    assert not torch.equal(found.table, first.table)
    assert 0 <= float(found.table.min()) <= float(found.table.max()) <= 1
    again = labelling.by_run(photo_folder, run.path, stages())
    assert torch.equal(again.table, found.table)


def test_the_bias_of_a_run_is_used_and_not_that_of_the_few_photographs(photo_folder, run, tmp_path):
    (tmp_path / "one.jpg").write_bytes((photo_folder / "images" / "part1" / "001.jpg").read_bytes())
    alone, all_of_them = (
        labelling.by_run(tmp_path, run.path, stages()),
        labelling.by_run(photo_folder, run.path, stages()),
    )
    row = all_of_them.images.paths.index("images/part1/001.jpg")
    torch.testing.assert_close(alone.table[0], all_of_them.table[row], atol=1e-5, rtol=0)


def test_a_run_that_never_updated_its_labels_cannot_say_where_to_look(photo_folder, run):
    summary = run.summary()
    run.write_json("summary.json", {**summary, "tau": None})
    with pytest.raises(RunError, match="never updated its labels"):
        labelling.by_run(photo_folder, run.path, stages())
    run.write_json("summary.json", summary)


def test_no_readable_photograph_is_an_error(tmp_path, photo_folder, recipe):
    (tmp_path / "bad.jpg").write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"none of the 1 images can be read; the first: not an image"):
        labelling.by_teacher(tmp_path, photo_folder / "classes.txt", recipe, stages())


def test_photographs_of_nothing_that_is_asked_for_get_labels_and_a_warning_and_no_training(
    photo_folder, recipe, tmp_path, monkeypatch
):
    own, classes = kernels.score, photo_folder / "classes.txt"
    count = len(classes.read_text().split("\n")) - 1
    likelier = 9 * (torch.arange(500) >= count)  # what stands beside the classes
    monkeypatch.setattr(kernels, "score", lambda seen, *rest: own(seen + likelier[: seen.shape[1]], *rest))
    recipe = recipe.model_copy(update={"labels": recipe.labels.model_copy(update={"anchors": "everyday"})})
    said = io.StringIO()
    labelled = labelling.by_teacher(photo_folder, classes, recipe, Stages(Console(file=said, width=400)))
    assert UNNAMED in said.getvalue()
    assert labelled.table.unique().numel() == 1  # the floor, over what the nouns have
    with pytest.raises(UserError, match="no photograph is of any of the classes"):
        train(Source("folder", photo_folder, classes), recipe, RunFolder(tmp_path / "run"), stages())


def test_labels_are_those_at_or_above_the_limit_of_readable_photographs(labelled):
    assert labelling.chosen(labelled, HALF).tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert labelling.chosen(labelled, np.zeros(3, dtype=np.float32))[2].tolist() == [False] * 3


@pytest.mark.parametrize(("wanted", "count"), [(1 / 3, 1), (1.0, 3), (2.0, 7), (3.0, 9)])
def test_a_limit_for_so_many_labels_a_photograph(labelled, wanted, count):
    limit = np.full(3, labelling.limit_for(labelled, wanted), dtype=np.float32)
    assert labelling.chosen(labelled, limit).sum() == count  # 7 for 6: two labels are equal


@pytest.mark.parametrize(("wanted", "said"), [(0.1, "no label at all"), (3.5, "there are 3 classes only")])
def test_a_number_of_labels_that_cannot_be_is_refused(labelled, wanted, said):
    with pytest.raises(UserError, match=said):
        labelling.limit_for(labelled, wanted)


def test_limits_by_class_are_read_and_the_others_get_the_default(tmp_path):
    file = tmp_path / "limits.csv"
    file.write_text("class,threshold\ndog,0.25\n")
    assert labelling.read_limits(file, ("cat", "dog")).tolist() == pytest.approx([np.nan, 0.25], nan_ok=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class\ncat\n", "no column 'threshold'; it has class"),
        ("class,threshold\nkat,0.5\n", "row 2: unknown class 'kat'; did you mean 'cat'"),
        ("class,threshold\ncat,0.5\ncat,0.6\n", "row 3: 'cat' stands twice"),
        ("class,threshold\ncat,1.5\n", "row 2: the threshold '1.5' must be a number"),
        ("class,threshold\ncat\n", "row 2: threshold is '', not a number"),
    ],
)
def test_a_file_of_limits_that_makes_no_sense_is_refused(tmp_path, text, said):
    file = tmp_path / "limits.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        labelling.read_limits(file, ("cat", "dog"))


def test_a_missing_file_of_limits_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        labelling.read_limits(tmp_path / "gone.csv", ("cat", "dog"))


def test_the_csv_is_a_truth_file_that_train_reads(labelled, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_bytes(label_files.csv_table(labelled, labelling.chosen(labelled, HALF)))
    rows = list(csv.DictReader(file.open(newline="", encoding="utf-8")))
    assert [row["path"] for row in rows] == ["a b&c.jpg", "four.jpg", "two.jpg"]
    assert float(rows[0]["cat"]) == pytest.approx(0.9)
    truth = folder.read_truth(file, labelled.images.class_names)
    assert truth["a b&c.jpg"] == ("", [0, 1])
    assert truth["four.jpg"] == ("", [2])
    assert truth["two.jpg"] == ("", [])


def test_the_parquet_holds_every_photograph_and_says_which_could_be_read(labelled):
    table = pyarrow.parquet.read_table(
        io.BytesIO(label_files.parquet(labelled, labelling.chosen(labelled, HALF)))
    ).to_pydict()
    assert table["path"] == list(labelled.images.paths)
    assert table["status"] == ["labelled", "labelled", "unreadable", "labelled"]
    assert table["labels"] == [["cat", 'a "b" <c>'], ["dog"], [], []]
    assert table["cat"] == pytest.approx([0.9, 0.2, 0.0, 0.1])


def test_the_parquet_is_a_truth_file_that_knows_nothing_of_what_could_not_be_read(labelled, tmp_path):
    file = tmp_path / "labels.parquet"
    file.write_bytes(label_files.parquet(labelled, labelling.chosen(labelled, HALF)))
    truth = folder.read_truth(file, labelled.images.class_names)
    assert truth == {"a b&c.jpg": ("", [0, 1]), "four.jpg": ("", [2]), "two.jpg": ("", [])}


def test_labels_say_in_a_line_what_they_are_and_what_a_photograph_has(labelled):
    assert repr(labelled) == "Labelled(4 photographs, 1 unreadable, 3 classes, by teacher tiny)"
    assert labelled["a b&c.jpg"] == {"cat": 0.9, 'a "b" <c>': 0.6}
    assert list(labelled["a b&c.jpg"]) == ["cat", 'a "b" <c>']
    assert labelled["two.jpg"] == {}
    with pytest.raises(KeyError, match=r"gone\.jpg"):
        labelled["gone.jpg"]


def test_the_likeliest_labels_are_kept_of_those_that_were_decided_on(labelled):
    half = labelling.chosen(labelled, HALF)
    assert decisions.likeliest(labelled, half, 1).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert decisions.likeliest(labelled, half, 5).tolist() == half.tolist()


def test_a_class_that_one_threshold_for_all_misses_is_named_and_so_is_one_that_nobody_has(tmp_path):
    names = [f"{row:03d}.jpg" for row in range(100)]
    images = folder.unlabelled(tmp_path, ("person", "cat", "dog", "cow"), names)
    table = torch.full((100, 4), 0.1)
    table[:40, 0] = 0.45  # so many persons, and few of them sure enough
    table[:4, 0] = 0.95
    table[:60, 1] = 0.9
    table[:4, 2] = 0.45  # four dogs are not enough to speak of
    own, half = np.array([0.4, 0.5, 0.4, 0.2], dtype=np.float32), np.full(4, 0.5, dtype=np.float32)
    found = labelling.Labelled(images, table, torch.ones(100, dtype=torch.bool), {}, "teacher tiny", own)
    decided = labelling.chosen(found, half)
    assert decisions.probably_missed(found, decided) == [decisions.Missed("person", given=4, own=40)]
    assert decisions.remarks(found, decided) == [
        "given to no photograph: dog, cow",
        "probably missed, and found with the class's own threshold: person (given to 4, not 40)",
    ]
    assert decisions.probably_missed(found, labelling.chosen(found, own)) == []
    few = torch.zeros(100, dtype=torch.bool)
    few[:20] = True
    assert decisions.remarks(dataclasses.replace(found, readable=few), decided) == []


def test_json_lines_have_labels_and_every_number(labelled):
    lines = label_files.json_lines(labelled, labelling.chosen(labelled, HALF)).decode().splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["a b&c.jpg", "four.jpg", "two.jpg"]
    assert json.loads(lines[0])["labels"] == ["cat", 'a "b" <c>']
    assert json.loads(lines[0])["probabilities"]["dog"] == pytest.approx(0.1)


def test_coco_s_json_has_an_annotation_a_label_on_the_upright_photograph(labelled):
    content = json.loads(label_files.coco(labelled, labelling.chosen(labelled, HALF)))
    sizes = {image["file_name"]: (image["width"], image["height"]) for image in content["images"]}
    assert sizes == {"a b&c.jpg": (60, 40), "four.jpg": (40, 60), "two.jpg": (60, 40)}
    names = {category["id"]: category["name"] for category in content["categories"]}
    by_id = {image["id"]: image["file_name"] for image in content["images"]}
    told = [(by_id[a["image_id"]], names[a["category_id"]], a["bbox"], a["score"]) for a in content["annotations"]]
    assert told == [
        ("a b&c.jpg", "cat", [0, 0, 60, 40], 0.9),
        ("a b&c.jpg", 'a "b" <c>', [0, 0, 60, 40], 0.6),
        ("four.jpg", "dog", [0, 0, 40, 60], 0.8),
    ]
    assert len({a["id"] for a in content["annotations"]}) == 3


def test_label_studio_s_tasks_fit_their_interface(labelled):
    tasks = json.loads(label_files.label_studio(labelled, labelling.chosen(labelled, HALF)))
    interface = ElementTree.fromstring(label_files.label_studio_config(labelled.images.class_names))
    choices, image = interface.find("Choices"), interface.find("Image")
    offered = {choice.get("value") for choice in choices}
    assert offered == set(labelled.images.class_names)
    assert tasks[0]["data"]["image"] == f"/data/local-files/?d={labelled.images.root.name}/a%20b%26c.jpg"
    (result,) = tasks[0]["predictions"][0]["result"]
    assert (result["from_name"], result["to_name"]) == (choices.get("name"), image.get("name"))
    assert result["to_name"] == choices.get("toName")
    assert result["value"]["choices"] == ["cat", 'a "b" <c>']
    assert tasks[2]["predictions"][0]["result"] == []
    assert [Path(task["data"]["image"]).suffix for task in tasks] == [".jpg"] * 3


def test_cvat_s_xml_has_a_tag_a_label_and_the_labels_of_the_task(labelled):
    root = ElementTree.fromstring(label_files.cvat(labelled, labelling.chosen(labelled, HALF)))
    assert root.findtext("version") == "1.1"
    assert [(each.findtext("name"), each.findtext("type")) for each in root.iter("label")] == [
        ("cat", "tag"),
        ('a "b" <c>', "tag"),
        ("dog", "tag"),
    ]
    told = {image.get("name"): [tag.get("label") for tag in image.iter("tag")] for image in root.iter("image")}
    assert told == {"a b&c.jpg": ["cat", 'a "b" <c>'], "four.jpg": ["dog"], "two.jpg": []}
    assert [image.get("id") for image in root.iter("image")] == ["0", "1", "2"]
    assert root.find("image[@name='four.jpg']").get("width") == "40"  # turned upright


def test_metadata_make_the_folder_an_image_folder_that_is_read_back(labelled, tmp_path):
    decided = labelling.chosen(labelled, HALF)
    file = tmp_path / "metadata.jsonl"
    label_formats.refuse_elsewhere("imagefolder", file, tmp_path)
    assert label_files.write(labelled, decided, "imagefolder", file)[0] == file
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    images = load("imagefolder", tmp_path, "test", tmp_path / "classes.txt")
    assert dict(zip(images.paths, images.truth.tolist(), strict=True)) == {
        "a b&c.jpg": [True, True, False],
        "four.jpg": [False, False, True],
        "two.jpg": [False, False, False],
    }
    with pytest.raises(UserError, match="an image folder has its metadata inside"):
        label_formats.refuse_elsewhere("imagefolder", tmp_path / "m.jsonl", tmp_path)


def test_ultralytics_has_each_photograph_below_its_likeliest_label(labelled, tmp_path):
    out = tmp_path / "yolo"
    label_files.write(labelled, labelling.chosen(labelled, HALF), "ultralytics", out)
    files = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    assert files == {"train/cat/a b%26c.jpg", "train/dog/four.jpg"}
    assert sorted(each.name for each in (out / "val").iterdir()) == sorted(
        each.name for each in (out / "train").iterdir()
    )
    read = [ImageFolder(str(out / part), allow_empty=True) for part in ("train", "val")]  # as ultralytics reads them
    assert read[0].class_to_idx == read[1].class_to_idx
    assert (out / "train" / "dog" / "four.jpg").read_bytes() == (tmp_path / "four.jpg").read_bytes()


def test_every_fifth_photograph_of_a_class_is_for_validation_and_no_name_leads_elsewhere(tmp_path):
    (tmp_path / "in").mkdir()
    for row in range(11):
        (tmp_path / "in" / f"{row:02d}.jpg").write_bytes(b"never opened")
    images = folder.unlabelled(tmp_path, ("..", "cat"))
    table = torch.tensor([[0.9, 0.1]]).expand(11, 2)
    found = labelling.Labelled(images, table, torch.ones(11, dtype=torch.bool), {}, "teacher tiny", HALF[:2])
    label_files.write(found, (table >= 0.5).numpy(), "ultralytics", tmp_path / "yolo")
    assert sorted(path.name for path in (tmp_path / "yolo" / "val" / "%2E.").iterdir()) == [
        "in%2F04.jpg",
        "in%2F09.jpg",
    ]
    assert len(list((tmp_path / "yolo" / "train" / "%2E.").iterdir())) == 9


@pytest.fixture
def for_fiftyone(labelled, tmp_path):
    out = tmp_path / "51"
    label_files.write(labelled, labelling.chosen(labelled, HALF), "fiftyone", out)
    return out


def test_fiftyone_s_folder_leads_to_the_photographs_and_has_their_labels(for_fiftyone, tmp_path):
    labels = json.loads((for_fiftyone / "labels.json").read_text())["labels"]
    assert [each["label"] for each in labels["a b&c"]] == ["cat", 'a "b" <c>']
    assert labels["a b&c"][0]["confidence"] == pytest.approx(0.9)
    assert (labels["two"], len(labels)) == ([], 3)
    assert (for_fiftyone / "data" / "four.jpg").read_bytes() == (tmp_path / "four.jpg").read_bytes()


def test_photographs_that_fiftyone_cannot_tell_apart_are_refused(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).write_bytes(b"never opened")
    images = folder.unlabelled(tmp_path, ("cat", "dog"))
    found = labelling.Labelled(images, torch.rand(2, 2), torch.ones(2, dtype=torch.bool), {}, "teacher tiny", HALF[:2])
    with pytest.raises(UserError, match="two photographs are called a, but for their endings"):
        label_files.write(found, np.ones((2, 2), dtype=bool), "fiftyone", tmp_path / "51")


def test_a_folder_that_is_there_is_not_written_into(tmp_path):
    (tmp_path / "yolo").mkdir()
    with pytest.raises(UserError, match="makes a folder: name one that is not there yet"):
        label_formats.refuse_taken("ultralytics", tmp_path / "yolo", overwrite=True)


def test_a_folder_that_another_command_has_made_meanwhile_is_a_line(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"never opened")
    images = folder.unlabelled(tmp_path, ("cat", "dog"))
    found = labelling.Labelled(images, torch.rand(1, 2), torch.ones(1, dtype=torch.bool), {}, "teacher tiny", HALF[:2])
    (tmp_path / "51" / "data").mkdir(parents=True)
    with pytest.raises(RunError, match="51: cannot be written: another command has made it meanwhile"):
        label_files.write(found, np.ones((1, 2), dtype=bool), "fiftyone", tmp_path / "51")
    assert {file.name for file in tmp_path.iterdir()} == {"51", "a.jpg"}


def test_every_format_is_offered_on_the_command_line():
    offered = get_args(get_args(get_args(options.LabelFormat)[0])[0])
    assert offered == label_formats.NAMES == (*label_files.FORMATS, *label_folders.FOLDERS)
