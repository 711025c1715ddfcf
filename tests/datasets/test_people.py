"""Files, names and habits that people bring: read as they mean it, or told of in a line."""

import csv
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from ccd_fast.datasets import everything, load
from ccd_fast.datasets.folder import read_class_names
from ccd_fast.datasets.known import Indices, read_truth
from ccd_fast.datasets.listing import find_images, listed, passed_over
from ccd_fast.datasets.tables import read_table
from ccd_fast.errors import UserError
from ccd_fast.text import decoded, lines_of

NAMES = ("cat", "dog", "traffic light")
JPEG = b"\xff\xd8\xff\xe0 not decoded here"


@pytest.fixture
def photos(tmp_path):
    """Three files below a folder; none of them is opened."""
    for path in ("a.jpg", "b/1.jpg", "b/2.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(JPEG)
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    return tmp_path


def write(file: Path, text: str, encoding: str = "utf-8") -> Path:
    file.write_bytes(text.encode(encoding))
    return file


def truth(photos: Path, file: Path) -> dict[str, tuple[str, list[int] | None]]:
    return read_truth(file, NAMES, photos, find_images(photos))


WANTED = {"a.jpg": ("train", [0]), "b/1.jpg": ("test", [1, 2]), "b/2.jpg": ("test", [])}
PLAIN = "path,split,labels\na.jpg,train,cat\nb/1.jpg,test,dog|traffic light\nb/2.jpg,test,\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_however_it_was_saved(photos, encoding, ending, delimiter):
    text = PLAIN.replace(",", delimiter).replace("\n", ending)
    assert truth(photos, write(photos / "t.csv", text, encoding)) == WANTED


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("path,split,labels", " Path , SPLIT,Labels "),
        PLAIN.replace("b/", "b\\"),
        PLAIN.replace("b/", "./b/"),
        PLAIN.replace("train", "Training").replace("test", "TEST"),
        "sep=;\r\n" + PLAIN.replace(",", ";"),
        PLAIN.replace("dog|traffic light", "\"['dog', 'traffic light']\"").replace("train,cat", "train,['cat']"),
        PLAIN.replace("dog|traffic light", '"[""dog"", ""traffic light""]"'),
        PLAIN.replace("dog|traffic light", "1|2").replace("train,cat", "train,0"),
        PLAIN.replace("dog|traffic light", '"[0, 1, 1]"').replace("train,cat", 'train,"[1, 0, 0]"'),
        PLAIN + "\n\n,,\n",
        "path,split,cat,dog,traffic light\na.jpg,train,1,0,0\nb/1.jpg,test,0,1,1\nb/2.jpg,test,0,0,0\n",
        "note," + PLAIN.replace("\n", "\n,")[:-1],
    ],
)
def test_habits_are_read_as_they_are_meant(photos, text):
    assert truth(photos, write(photos / "t.csv", text)) == WANTED


def test_absolute_paths_below_the_root_are_its_own(photos):
    text = PLAIN.replace("b/", f"{photos}/b/").replace("a.jpg", f"{photos}/a.jpg")
    assert truth(photos, write(photos / "t.csv", text)) == WANTED


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ([["cat"], ["dog", "traffic light"], []], None),
        ([["cat"], ["dog", "traffic light"], None], None),
        ([[0], [1, 2], []], pyarrow.list_(pyarrow.int32())),
        ([[1, 0, 0], [0, 1, 1], [0, 0, 0]], pyarrow.list_(pyarrow.int64())),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]], pyarrow.list_(pyarrow.float32())),
        ([[True, False, False], [False, True, True], [False] * 3], None),
        (["cat", "dog|traffic light", None], pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
    ],
)
def test_lists_and_numbers_in_parquet_are_read(photos, labels, kind):
    columns = {"path": list(WANTED), "split": ["train", "test", "test"], "labels": pyarrow.array(labels, type=kind)}
    pyarrow.parquet.write_table(pyarrow.table(columns), photos / "t.parquet")
    assert truth(photos, photos / "t.parquet") == WANTED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,labels\na.jpg,cat\n", "no column 'path'; it has file, labels"),
        ("path,label\na.jpg,cat\n", "no column 'labels'; it has path, label; did you mean 'label'"),
        ("path,labels\na.jpg,cat,dog\n", "row 2 has 3 cells, and the header 2.*join labels by |"),
        ('path,labels\na.jpg,"cat,dog"\n', "class 'cat,dog' is not one of the classes; join names by |"),
        ("path,labels\na.jpg,dogs\n", "row 2: class 'dogs' is not one of the classes; did you mean"),
        ("path,labels\n/elsewhere/a.jpg,cat\n", "row 2: '/elsewhere/a.jpg' must be a path inside --data-root"),
        ("path,labels\nC:\\photos\\a.jpg,cat\n", "must be a path inside --data-root .*written relative to it"),
        ("path,labels\n../a.jpg,cat\n", "must be a path inside"),
        ('path,labels\na.jpg,"[0, 0, 1, 0]"\n', "is 0 or 1 for each of 4 classes, and there are 3"),
        ('path,labels\na.jpg,"[0.2, 0.9, 0.1]"\n', "scores are no labels"),
        ("path,labels\na.jpg,7\n", "class number 7: there are 3, counted from 0"),
        ("path,labels,labels\na.jpg,cat,dog\n", "the column 'labels' stands twice"),
        ("path,split,labels\na.jpg,half,cat\n", "split 'half' must be one of train, val, test"),
        ("", "no column 'path'; it has none"),
    ],
)
def test_what_is_not_plain_is_told_in_a_line_with_the_mend(photos, text, said):
    with pytest.raises(UserError, match=said) as caught:
        truth(photos, write(photos / "t.csv", text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("path,labels\na.jpg,café".encode("latin-1"), "not a text in UTF-8: byte e9 at 21; save it as UTF-8"),
        (b"PK\x03\x04 and so on", "a zip, as Excel's .xlsx is: save it as CSV or text, in UTF-8"),
        (b"\xff\xfea\0,\0\xd8", "not a text in UTF-16-LE"),
    ],
)
def test_what_is_no_text_is_told(photos, content, said):
    for read in (lambda file: truth(photos, file), read_class_names):
        (photos / "t.csv").write_bytes(content)
        with pytest.raises(UserError, match=said):
            read(photos / "t.csv")


def test_numbers_of_classes_are_no_vector_where_they_are_fewer(photos):
    assert truth(photos, write(photos / "t.csv", 'path,labels\na.jpg,"[0, 1]"\n')) == {"a.jpg": ("", [0, 1])}


def test_two_numbers_of_two_classes_may_be_either_and_are_refused():
    indices = Indices(("cat", "dog"))
    with pytest.raises(UserError, match=r"\[0, 1\] may be the numbers of two classes, or 0 and 1 for each"):
        indices.of([0, 1], "here")
    assert indices.of([0, 0], "here") == []
    assert indices.of([1, 1], "here") == [0, 1]
    assert indices.of([False, True], "here") == [1]
    assert indices.of([0, 1, 0], "here", by_object=True) == [0, 1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_class_files_are_read_however_they_were_saved(tmp_path, encoding, ending):
    text = "# mine\ncat | kitty\ncafe\u0301\n\ntraffic light\n".replace("\n", ending)
    assert read_class_names(write(tmp_path / "c.txt", text, encoding)) == ("cat | kitty", "café", "traffic light")


def test_a_mark_in_the_middle_of_joined_files_is_none():
    assert lines_of(decoded("\ufeffcat\n\ufeffdog\n".encode(), "")) == ["cat", "dog"]


def test_a_mark_before_a_line_of_joined_tables_is_none_and_one_in_a_name_is_its_own(photos):
    (photos / "\ufeffmarked.jpg").write_bytes(JPEG)
    text = '\ufeffpath,labels\na.jpg,cat\n\ufeffb/1.jpg,dog\n"\ufeffmarked.jpg",cat\n'
    assert truth(photos, write(photos / "t.csv", text)) == {
        "a.jpg": ("", [0]),
        "b/1.jpg": ("", [1]),
        "\ufeffmarked.jpg": ("", [0]),
    }


def test_lines_of_json_are_a_table(photos):
    rows = [{"path": "a.jpg", "split": "train", "labels": ["cat"]}, {"path": "b/1.jpg", "labels": ["dog", 2]}]
    lines = "".join(f"{json.dumps(row)}\n\n" for row in rows)
    assert truth(photos, write(photos / "t.jsonl", lines)) == {"a.jpg": ("train", [0]), "b/1.jpg": ("", [1, 2])}


@pytest.mark.parametrize(
    ("line", "said"), [('{"path"', "row 1: cannot be read as JSON"), ("[1]", r"row 1: '\[1\]', where an object")]
)
def test_a_line_of_json_that_is_no_row_is_told(photos, line, said):
    with pytest.raises(UserError, match=said):
        truth(photos, write(photos / "t.jsonl", line))


def test_numbers_with_a_decimal_comma_are_numbers(tmp_path):
    table = read_table(
        write(tmp_path / "t.csv", "class;threshold\ncat;0,5\ndog;x\n"), "--thresholds", ("class", "threshold")
    )
    assert table.rows[0].number("threshold") == 0.5
    with pytest.raises(UserError, match=r"t\.csv: row 3: threshold is 'x', not a number"):
        table.rows[1].number("threshold")


@pytest.mark.parametrize(
    "objects", [{"categories": [0, 0, 1]}, {"category": [0, 0, 1]}, [{"category": 0}, {"category": 1}]]
)
def test_categories_of_objects_are_read_whatever_they_are_called(photos, objects):
    rows = [{"file_name": "a.jpg", "objects": objects}, {"file_name": "b\\1.jpg", "objects": {"category": ["dog"]}}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write(photos / "metadata.jsonl", text, "utf-8-sig")
    found = load("imagefolder", photos, "train", photos / "classes.txt")
    assert found.paths == ("a.jpg", "b/1.jpg", "b/2.jpg")
    np.testing.assert_array_equal(found.truth[:2], [[True, True, False], [False, True, False]])


def test_vectors_in_shards_and_members_in_capitals_are_read(photos):
    contents = {"1.JPG": JPEG, "1.JSON": b'{"labels": [0, 1, 1]}', "2.jpg": JPEG, "2.Cls": b"0", "3.jpg": JPEG}
    with tarfile.open(photos / "a.TAR", "w") as archive:
        for name, content in contents.items():
            (photos / "member").write_bytes(content)
            archive.add(photos / "member", name)
    found = load("webdataset", photos, "train", photos / "classes.txt")
    assert found.paths == ("a.TAR/1.JPG", "a.TAR/2.jpg", "a.TAR/3.jpg")
    np.testing.assert_array_equal(found.truth, [[False, True, True], [True, False, False], [False, False, False]])
    assert found.known.tolist() == [True, True, False]


def tree(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(JPEG)
    return root


def test_a_class_may_be_called_as_a_split_is(tmp_path):
    root = tree(tmp_path, "bus/1.jpg", "car/2.jpg", "train/3.jpg")
    found = load("imagefolder", root, "train")
    assert found.class_names == ("bus", "car", "train")
    np.testing.assert_array_equal(found.truth, np.eye(3, dtype=bool))


def test_splits_beside_a_class_cannot_be_told_and_are_refused(tmp_path):
    root = tree(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg", "bus/3.jpg")
    with pytest.raises(UserError, match="the folder train is that of a split, and bus beside it is none"):
        load("imagefolder", root, "train")


def test_a_class_below_a_split_may_be_called_as_one(tmp_path):
    root = tree(tmp_path, "train/train/1.jpg", "train/bus/2.jpg", "test/train/3.jpg")
    assert load("imagefolder", root, "train").class_names == ("bus", "train")
    assert load("imagefolder", root, "test").truth.tolist() == [[False, True]]


def test_links_are_followed_and_loops_are_cut_and_told(tmp_path):
    elsewhere = tree(tmp_path / "elsewhere", "1.jpg", "deep/2.jpg")
    root = tree(tmp_path / "photos", "a/0.jpg")
    (root / "behind").symlink_to(elsewhere)
    (root / "one.jpg").symlink_to(elsewhere / "1.jpg")
    (root / "a" / "up").symlink_to(root)
    (elsewhere / "deep" / "self").symlink_to(elsewhere / "deep")
    (root / "round").symlink_to(root / "round")
    found = listed(root)
    assert [path for path in found.files if path.endswith(".jpg")] == find_images(root)
    assert find_images(root) == ["a/0.jpg", "behind/1.jpg", "behind/deep/2.jpg", "one.jpg"]
    assert found.loops == ["a/up", "behind/deep/self"]
    assert passed_over(root, found) == [
        "2 links lead back to a folder that they are in, and are not followed, for example a/up"
    ]


def test_pictures_whose_names_do_not_say_so_are_counted(tmp_path, capsys):
    root = tree(tmp_path, "1.jfif", "2.JPE", "3.jpg_large", "4", "5.jpg~", "6.jpg~")
    (root / "notes.txt").write_text("cat")
    (root / "film.mov").write_bytes(b"\0\0\0\x14ftypqt  ")
    assert find_images(root) == ["1.jfif", "2.JPE", "3.jpg_large"]
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].removeprefix(f"{root}: ") for line in said] == [
        f"{count} files that {what} are passed over, though they are pictures inside, for example {first}: "
        "give them an ending such as .jpg"
        for count, what, first in ((1, "have no ending", "4"), (2, "end in .jpg~", "5.jpg~"))
    ]
    find_images(root)
    assert capsys.readouterr().err == ""  # said once


@pytest.mark.skipif(os.name != "posix", reason="names that only POSIX has")
def test_names_that_no_file_could_hold_are_passed_over_and_told(tmp_path):
    root = tree(tmp_path, "good.jpg")
    (root / os.fsdecode(b"caf\xe9.jpg")).write_bytes(JPEG)
    found = listed(root)
    assert found.files == ["good.jpg"]
    assert passed_over(root, found) == [
        "1 names are not UTF-8, and are passed over: rename them, for example caf\\udce9.jpg"
    ]


@pytest.mark.skipif(os.name != "posix", reason="names that only POSIX has")
def test_lines_tabs_and_colons_in_names_are_letters(tmp_path):
    names = sorted(
        ["a\nb.jpg", "a\tb.jpg", "a:b.jpg", 'a"b.jpg', "a,b.jpg", " a .jpg", "a|b.jpg", "a;b.jpg", "a\\b.jpg"]
    )
    root = tree(tmp_path, *names)
    assert list(everything("folder", root, NAMES).paths) == names
    with (root / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "labels"), *((name, "cat") for name in names)])
    assert read_truth(root / "t.csv", NAMES, root, find_images(root)) == {name: ("", [0]) for name in names}
