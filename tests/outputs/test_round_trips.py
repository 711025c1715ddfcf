"""Whatever names photographs and classes have: what is written is read back, by this project and by others' readers."""

import csv
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ccd_fast.datasets.folder import read_class_names, unlabelled
from ccd_fast.datasets.known import read_truth
from ccd_fast.datasets.listing import find_images
from ccd_fast.errors import UserError, is_name
from ccd_fast.outputs import label_files
from ccd_fast.outputs.labelling import Labelled, chosen

LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="|")
OWN = ["a,b", 'a"b', "a;b", "<b>", "=1+1", "a/b", "../up", "'", "NA"]
OWN += ["path", "labels", "status", "split", "Path", "LABELS", "path (class)", "0", "1", "nan", "None", "true", "[cat]"]
CLASSES = st.one_of(st.sampled_from(OWN), st.text(LETTERS))
FILES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20)


def is_class(name: str) -> bool:
    return bool(name) and name == " ".join(name.split()) and is_name(name) and not name.startswith("# ")


@st.composite
def names(draw):
    """Class names that a class file may hold, and names of photographs."""
    classes = draw(st.lists(CLASSES.filter(is_class), min_size=2, max_size=5, unique_by=str.lower))
    files = draw(st.lists(FILES, min_size=2, max_size=4, unique_by=str.lower))
    return classes, files


def write_photographs(root: Path, files: list[str]) -> list[str]:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for file in files:
        Image.new("RGB", (3, 2)).save(root / f"x{file[:40]}.png")
    return find_images(root)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names())
def test_labels_are_read_back_under_any_names(tmp_path, given_names):
    wanted, files = given_names
    (tmp_path / "classes.txt").write_text("\n".join(wanted), encoding="utf-8")
    class_names = read_class_names(tmp_path / "classes.txt")
    root = tmp_path / "photographs & more"
    paths = write_photographs(root, files)
    images = unlabelled(root, class_names, paths)
    table = torch.from_numpy(np.random.default_rng(0).random((len(paths), len(class_names)), dtype=np.float32))
    readable = torch.ones(len(paths), dtype=torch.bool)
    half = np.full(len(class_names), 0.5, dtype=np.float32)
    labelled = Labelled(images, table, readable, {}, "teacher", half)
    decided = chosen(labelled, half)
    truth = {path: ("", np.flatnonzero(row).tolist()) for path, row in zip(paths, decided, strict=True)}
    told = [[class_names[c] for c in classes] for _, classes in truth.values()]

    for kind, file in (("csv", tmp_path / "t.csv"), ("parquet", tmp_path / "t.parquet")):
        file.write_bytes(label_files.FORMATS[kind](labelled, decided))
        assert read_truth(file, images.class_names, root, paths) == truth
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_bytes().decode(), newline="")))
    assert [row["path"] for row in rows] == paths
    columns = label_files.columns_of(class_names)
    assert len({column.lower() for column in ("path", "labels", "status", *columns)}) == 3 + len(columns)
    found = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pydict()
    assert list(found) == ["path", "status", "labels", *columns]
    assert (found["path"], found["labels"]) == (paths, told)

    content = json.loads(label_files.coco(labelled, decided))
    assert [image["file_name"] for image in content["images"]] == paths
    assert [category["name"] for category in content["categories"]] == list(class_names)

    tasks = json.loads(label_files.label_studio(labelled, decided))
    for task in tasks:
        address = unquote(task["data"]["image"]).removeprefix("/data/local-files/?d=")
        assert (label_files.document_root(images) / address).is_file()
    interface = ElementTree.fromstring(label_files.label_studio_config(class_names))
    assert [choice.get("value") for choice in interface.iter("Choice")] == list(class_names)

    lines = label_files.json_lines(labelled, decided).decode().split("\n")
    assert [list(json.loads(line)["probabilities"]) for line in lines if line] == [list(class_names)] * len(paths)


def test_a_photograph_that_could_not_be_read_is_not_read_back_as_one_without_labels(tmp_path):
    paths = write_photographs(tmp_path / "p", ["a", "b"])
    images = unlabelled(tmp_path / "p", ("cat", "dog"), paths)
    readable = torch.tensor([True, False])
    half = np.full(2, 0.5, dtype=np.float32)
    labelled = Labelled(images, torch.tensor([[0.9, 0.1], [0.0, 0.0]]), readable, {1: "truncated"}, "teacher", half)
    (tmp_path / "t.parquet").write_bytes(label_files.parquet(labelled, chosen(labelled, half)))
    assert read_truth(tmp_path / "t.parquet", ("cat", "dog"), tmp_path / "p", paths) == {paths[0]: ("", [0])}


def test_members_of_shards_are_refused_where_a_program_would_look_for_a_file(tmp_path):
    import tarfile

    (path,) = write_photographs(tmp_path / "p", ["a"])
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        archive.add(tmp_path / "p" / path, "a.png")
    images = SimpleNamespace(root=tmp_path, paths=("s.tar/a.png",))
    for kind in ("coco", "label-studio"):
        with pytest.raises(UserError, match=r"s\.tar/a\.png is in a shard.*tar -xf.*or write csv or parquet"):
            label_files.refuse_shards(kind, images)
    label_files.refuse_shards("csv", images)
    label_files.refuse_shards("coco", SimpleNamespace(root=tmp_path / "p", paths=(path,)))
