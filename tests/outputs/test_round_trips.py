"""Whatever names photographs and classes have: what is written is read back, by this project and by others' readers."""

import csv
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from ccd_fast.datasets import entries, load
from ccd_fast.datasets.folder import read_class_names, unlabelled
from ccd_fast.datasets.known import read_truth
from ccd_fast.datasets.listing import find_images
from ccd_fast.datasets.tables import columns_of
from ccd_fast.errors import UserError, is_name
from ccd_fast.outputs import held_names, label_files, label_folders
from ccd_fast.outputs.labelling import Labelled, chosen

LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="|")
CLASSES = ["a,b", 'a"b', "a;b", "<b>", "=1+1", "@x", "a/b", "../up", ".", "..", ".hidden", "'", "#x", "-", "*", "%41"]
CLASSES += ["path", "status", "label", "labels", "split", "absent", "confident"]
CLASSES += ["path (class)", "__filename", "file_name", "index", "a.b", "a", "é", "🙂", "a\u200bb"]
CLASSES += ["0", "1", "1e5", "nan", "NULL", "None", "NA", "N/A", "true", "2020-01-01", "{}"]
CLASSES += ["[cat]", "['cat']", "[1]", "[0, 1]"]
FILES = ["a\nb", "a\tb", "a:b", "c:x", " lead", "trail ", 'q"q', "q'q", "a|b", "a;b", "a,b", "#h", "%41", "100%"]
FILES += ["🙂", "é", "e\u0301", "\ufeffmark", "ma\ufeffrk", "n\n\ufeffx", "x\u2028y", "x\x85y", "x\rz", "x\r\nz"]
FILES += ["\u202eturned", "x\u00a0", "\u3000y", "--out", "*", "?", "[1]", "zip:", "=1+1", "~", "&amp;", "<x>", "nan"]
FILES += ["NULL", "a./b", "sub/ x"]
REFUSED = {
    "cvat": {"x\x01y", "x\x0cy", "x\ufffey"},
    "fiftyone": {"a\\b", "\\lead", "a\\..\\b"},
    "imagefolder": {"a\\b", "\\lead", "a\\..\\b", "a::b", "$HOME"},
    "ultralytics": {"deep/" + "d" * 200 + "/" + "e" * 90},
}
"""Names of photographs that a format cannot hold."""
ALL_FILES = sorted({*FILES, "L" * 245, "🙂" * 60, *(name for names in REFUSED.values() for name in names)})


def is_class(name: str) -> bool:
    return bool(name) and name == " ".join(name.split()) and is_name(name) and not name.startswith("# ")


@st.composite
def names(draw):
    """Class names that a class file may hold, and names of photographs."""
    any_class = st.one_of(st.sampled_from(CLASSES), st.text(LETTERS)).filter(is_class)
    free = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20)
    classes = draw(st.lists(any_class, min_size=2, max_size=5, unique_by=str.lower))
    return classes, draw(st.lists(st.one_of(free, st.sampled_from(ALL_FILES)), min_size=2, max_size=4, unique=True))


def world(folder: Path, classes: list[str], files: list[str]) -> Labelled:
    """Photographs, each of one of the classes and every other one of a second."""
    (folder / "classes.txt").write_text("\n".join(classes), encoding="utf-8")
    root = folder / "photographs & more"
    shutil.rmtree(root, ignore_errors=True)
    for file in files:
        place = root / f"x{file[:40]}.png" if file not in ALL_FILES else root / f"{file}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(place)
    class_names = read_class_names(folder / "classes.txt")
    images = unlabelled(root, class_names, find_images(root))
    table = torch.full((len(images), len(class_names)), 0.25)
    for row in range(len(images)):
        table[
            row, [row % len(class_names), (7 * row + 3) % len(class_names) if row % 2 else row % len(class_names)]
        ] = 0.75
    half = np.full(len(class_names), 0.5, dtype=np.float32)
    return Labelled(images, table, torch.ones(len(images), dtype=torch.bool), {}, "teacher", half)


def told(labelled: Labelled) -> dict[str, list[str]]:
    """What everybody should read."""
    rows = zip(labelled.images.paths, chosen(labelled, labelled.limits), strict=True)
    return {path: [labelled.images.class_names[c] for c in np.flatnonzero(row)] for path, row in rows}


def write(labelled: Labelled, kind: str, out: Path) -> Path:
    shutil.rmtree(out) if out.is_dir() else None
    label_files.write(labelled, chosen(labelled, labelled.limits), kind, out)
    return out


def as_table(labelled: Labelled, file: Path) -> dict[str, list[str]]:
    """As ``--truth`` reads it, and as ``--known`` does."""
    images = labelled.images
    truth = read_truth(file, images.class_names, images.root, images.paths)
    known = entries.read(file, images)
    np.testing.assert_array_equal(
        known, [[int(c in truth[path][1]) for c in range(known.shape[1])] for path in images.paths]
    )
    return {path: [images.class_names[c] for c in classes] for path, (_, classes) in truth.items()}


def as_csv(labelled: Labelled, file: Path) -> dict[str, list[str]]:
    rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode(), newline="")))
    assert {row["path"]: [name for name in row["labels"].split("|") if name] for row in rows} == told(labelled)
    assert list(rows[0])[2:] == columns_of(labelled.images.class_names)
    return as_table(labelled, file)


def as_parquet(labelled: Labelled, file: Path) -> dict[str, list[str]]:
    found = pyarrow.parquet.read_table(file).to_pydict()
    assert list(found)[3:] == columns_of(labelled.images.class_names)
    assert dict(zip(found["path"], found["labels"], strict=True)) == told(labelled)
    return as_table(labelled, file)


def as_json_lines(labelled: Labelled, file: Path) -> dict[str, list[str]]:
    rows = [
        json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()
    ]  # by every end that Python knows
    assert all(list(row["probabilities"]) == list(labelled.images.class_names) for row in rows)
    assert {row["path"]: row["labels"] for row in rows} == told(labelled)
    return as_table(labelled, file)


def sent_back(labelled: Labelled, file: Path, export: object) -> None:
    """See that ``--known`` reads an export, in which a person has found everything right."""
    images, known = labelled.images, file.with_suffix(".known.json")
    known.write_text(json.dumps(export), encoding="utf-8")
    full = [[1 if name in told(labelled)[path] else -1 for name in images.class_names] for path in images.paths]
    assert entries.read(known, images).tolist() == full


def as_coco(labelled: Labelled, file: Path) -> dict[str, list[str]]:
    content = json.loads(file.read_bytes())
    names = {category["id"]: category["name"] for category in content["categories"]}
    paths = {image["id"]: image["file_name"] for image in content["images"]}
    found: dict[str, list[str]] = {path: [] for path in paths.values()}
    for annotation in content["annotations"]:
        found[paths[annotation["image_id"]]].append(names[annotation["category_id"]])
        del annotation["score"]
    sent_back(labelled, file, content)
    return found


def as_label_studio(labelled: Labelled, file: Path) -> dict[str, list[str]]:
    interface = ElementTree.fromstring(file.with_suffix(".xml").read_bytes())
    assert [choice.get("value") for choice in interface.iter("Choice")] == list(labelled.images.class_names)
    found, served = {}, label_files.document_root(labelled.images)
    tasks = json.loads(file.read_bytes())
    for task in tasks:
        place = served / unquote(task["data"]["image"].removeprefix("/data/local-files/?d="))
        found[place.relative_to(labelled.images.root).as_posix()] = [
            name for result in task["predictions"][0]["result"] for name in result["value"]["choices"]
        ]
        task["annotations"] = [{"result": task["predictions"][0]["result"], "was_cancelled": False}]
    sent_back(labelled, file, tasks)
    return found


def as_cvat(labelled: Labelled, file: Path) -> dict[str, list[str]]:
    root = ElementTree.fromstring(file.read_bytes())
    return {image.get("name"): [tag.get("label") for tag in image.iter("tag")] for image in root.iter("image")}


def as_image_folder(labelled: Labelled, file: Path) -> dict[str, list[str]]:
    """As ``--dataset imagefolder`` reads the folder: what its splits say, together."""
    found = {}
    for split in ("train", "test"):
        images = load("imagefolder", file.parent, split, file.parent.parent / "classes.txt")
        rows = zip(images.paths, images.truth if images.truth is not None else [], strict=False)
        found |= {path: [images.class_names[c] for c in np.flatnonzero(row)] for path, row in rows}
    file.unlink()
    return found


def as_ultralytics(labelled: Labelled, folder: Path) -> dict[str, list[str]]:
    """Which tells one class of each."""
    names = {unquote(each.name) for each in (folder / "train").iterdir()}
    assert names == set(labelled.images.class_names)
    found = {unquote(file.name): [unquote(file.parent.name)] for file in folder.rglob("*") if file.is_file()}
    return {path: told(labelled)[path] if name[0] in told(labelled)[path] else name for path, name in found.items()}


def as_fiftyone(labelled: Labelled, folder: Path) -> dict[str, list[str]]:
    labels = json.loads((folder / "labels.json").read_bytes())["labels"]
    return {f"{name}.png": [each["label"] for each in of_one] for name, of_one in labels.items()}


READERS = {
    **{"csv": as_csv, "parquet": as_parquet, "jsonl": as_json_lines, "coco": as_coco, "label-studio": as_label_studio},
    **{"cvat": as_cvat, "imagefolder": as_image_folder, "ultralytics": as_ultralytics, "fiftyone": as_fiftyone},
}


def place_of(kind: str, folder: Path, labelled: Labelled) -> Path:
    if kind == "imagefolder":
        return labelled.images.root / "metadata.jsonl"
    return folder / f"out-{kind}.{kind if kind in ('csv', 'parquet', 'jsonl') else 'json'}"


def refusal(kind: str, labelled: Labelled) -> str:
    try:
        held_names.refuse(kind, labelled.images.root, labelled.images.paths)
        held_names.refuse_classes(kind, labelled.images.class_names)
    except UserError as error:
        return str(error)
    return ""


def test_every_format_has_a_reader():
    assert set(READERS) == {*label_files.FORMATS, *label_folders.FOLDERS}


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names())
@example((CLASSES, ALL_FILES))
@example((CLASSES, FILES))
@example((["a,b", "a name of too many bytes, as that of a file: " + "0," * 54 + "\u0160" * 3], ["0", " lead"]))
def test_labels_are_read_back_under_any_names_or_refused_in_a_line(tmp_path, given_names):
    labelled = world(tmp_path, *given_names)
    for kind in READERS:
        if refused := refusal(kind, labelled):
            assert kind in REFUSED
            assert "\n" not in refused
            assert "rename" in refused or "shorten" in refused
        else:
            out = write(labelled, kind, place_of(kind, tmp_path, labelled))
            assert READERS[kind](labelled, out) == told(labelled), kind


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in REFUSED for name in sorted(REFUSED[kind])])
def test_the_line_names_the_photograph_that_a_format_cannot_hold(tmp_path, kind, name):
    for path in (f"{name}.png", f"a/{name}.png"):
        with pytest.raises(
            UserError, match=r"the name of the photograph '.* rename it, or write csv, parquet or jsonl$"
        ):
            held_names.refuse(kind, tmp_path, ["good.png", path])
    for other in set(label_files.FORMATS) - {each for each, names in REFUSED.items() if name in names}:
        held_names.refuse(other, tmp_path, [f"{name}.png"])


def test_a_class_that_no_folder_can_be_called_is_named(tmp_path):
    with pytest.raises(
        UserError, match=r"the name of the class 'x+' would be that of a file, and has 300 bytes where 255"
    ):
        held_names.refuse_classes("ultralytics", ("cat", "x" * 300))
    held_names.refuse_classes("csv", ("cat", "x" * 300))


@pytest.fixture
def odd(tmp_path):
    """Photographs and classes of every odd name that all formats hold."""
    return world(tmp_path, CLASSES, FILES)


@pytest.mark.filterwarnings("ignore")
def test_pandas_reads_what_is_written(odd, tmp_path):
    pandas = pytest.importorskip("pandas")
    words = {"path": str, "labels": str}
    found = pandas.read_csv(write(odd, "csv", tmp_path / "t.csv"), dtype=words, keep_default_na=False)
    labels = (cell.split("|") if cell else [] for cell in found["labels"])
    assert dict(zip(found["path"], labels, strict=True)) == told(odd)
    assert list(found.columns[2:]) == columns_of(odd.images.class_names)
    found = pandas.read_json(write(odd, "jsonl", tmp_path / "t.jsonl"), lines=True, dtype=False)
    assert dict(zip(found["path"], found["labels"], strict=True)) == told(odd)
    found = pandas.read_parquet(write(odd, "parquet", tmp_path / "t.parquet"))
    assert dict(zip(found["path"], map(list, found["labels"]), strict=True)) == told(odd)
    for c, column in enumerate(columns_of(odd.images.class_names)):
        np.testing.assert_array_equal(found[column], odd.table[:, c])


def test_pycocotools_reads_what_is_written(odd, tmp_path):
    read = pytest.importorskip("pycocotools.coco").COCO(str(write(odd, "coco", tmp_path / "t.json")))
    found = {
        image["file_name"]: [read.cats[each["category_id"]]["name"] for each in read.imgToAnns[image["id"]]]
        for image in read.imgs.values()
    }
    assert found == told(odd)


def test_hugging_face_s_datasets_reads_what_is_written(odd, tmp_path):
    pytest.importorskip("datasets.builder")  # a folder of these tests is called datasets too
    import datasets

    write(odd, "imagefolder", odd.images.root / "metadata.jsonl")
    every = {"train": f"{odd.images.root}/**"}  # a name with "test" in it would be a split otherwise
    rows = datasets.load_dataset("imagefolder", data_files=every, split="train", cache_dir=str(tmp_path / "cache"))
    rows = rows.cast_column("image", datasets.Image(decode=False))
    assert {os.path.relpath(row["image"]["path"], odd.images.root): row["labels"] for row in rows} == told(odd)


def test_fiftyone_reads_what_is_written(odd, tmp_path):
    importers = pytest.importorskip("fiftyone.utils.data")
    out = write(odd, "fiftyone", tmp_path / "51")
    with importers.FiftyOneImageClassificationDatasetImporter(dataset_dir=str(out)) as importer:
        found = {
            os.path.relpath(file, out / "data"): [e.label for e in label.classifications] for file, _, label in importer
        }
    assert found == told(odd)


def test_a_photograph_that_could_not_be_read_is_not_read_back_as_one_without_labels(tmp_path):
    labelled = world(tmp_path, ["cat", "dog"], ["a", "b"])
    readable = torch.tensor([True, False])
    labelled = Labelled(labelled.images, labelled.table, readable, {1: "truncated"}, "teacher", labelled.limits)
    file = write(labelled, "parquet", tmp_path / "t.parquet")
    assert read_truth(file, ("cat", "dog"), labelled.images.root, labelled.images.paths) == {"xa.png": ("", [0])}


@pytest.mark.parametrize("kind", held_names.BY_FILES)
def test_members_of_shards_are_refused_where_a_program_would_look_for_a_file(tmp_path, kind):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.add(tmp_path / "a.png", "a.png")
    with pytest.raises(UserError, match=r"s\.tar/a\.png is in a shard.*tar -xf.*or write csv or parquet"):
        held_names.refuse(kind, tmp_path, ["s.tar/a.png"])
    held_names.refuse("csv", tmp_path, ["s.tar/a.png"])
    held_names.refuse(kind, tmp_path, ["a.png"])


@pytest.mark.parametrize(("begin", "form"), [('{"images": []}', "JSON"), ("[{}]", "JSON"), ("<annotations/>", "XML")])
def test_a_file_for_another_program_that_is_given_as_a_table_is_told_from_one(tmp_path, begin, form):
    (tmp_path / "t.json").write_text(begin)
    with pytest.raises(UserError, match=f"{form}, where a table is needed: CSV, Parquet, or JSON lines in a .jsonl"):
        read_truth(tmp_path / "t.json", ("cat", "dog"))
