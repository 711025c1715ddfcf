"""Known entries of labels from a file: what is told, what is not, and what is refused."""

import pytest

from ccd_fast.datasets import Source
from ccd_fast.errors import UserError


@pytest.fixture
def source(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\nboat\n")
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    return Source("folder", tmp_path, tmp_path / "classes.txt", known=tmp_path / "known.csv")


def told(source, text):
    source.known.write_text(text)
    return source.entries(source.load("train")).tolist()


def test_labels_are_present_absent_ones_are_not_and_nothing_is_known_of_others(source):
    table = "path,labels,absent\nb.jpg,cat|boat,dog\na.jpg,,cat\nelsewhere.jpg,dog,\n"
    assert told(source, table) == [[-1, 0, 0], [1, -1, 1], [0, 0, 0]]
    assert told(source, "path,labels,absent\na.jpg,dog,*\nb.jpg,,*\n") == [[-1, 1, -1], [-1, -1, -1], [0, 0, 0]]
    assert told(source, "path,labels\nc.jpg,dog\n")[2] == [0, 1, 0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("path,labels,absent\na.jpg,cat,cat\n", "row 2: 'cat' stands in labels and in absent"),
        ("path,labels,absent\na.jpg,cta,\n", "row 2: class 'cta' is not one of the classes; did you mean 'cat'"),
        ("path,labels,absent\na.jpg,,cta\n", "row 2: class 'cta' is not one of the classes"),
        ("path,labels\na.jpg,cat\na.jpg,dog\n", "row 3: 'a.jpg' stands twice"),
        ("path,labels\nz.jpg,cat\n", "none of its paths is a training image, for example 'z.jpg'"),
        ("path,labels\na.jpg,\n", "it tells nothing of any training image"),
        ("path,label\na.jpg,cat\n", "no column 'labels'"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(source, table, said):
    with pytest.raises(UserError) as refused:
        told(source, table)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"--known {source.known}")


def test_rows_that_name_no_file_are_counted_and_the_first_is_named(source, capsys):
    told(source, "path,labels\na.jpg,cat\ngone/1.jpg,cat\ngone/2.jpg,dog\n")
    assert capsys.readouterr().err == (
        f"ccd-fast: --known {source.known}: 2 of its rows name no file, the first gone/1.jpg\n"
    )
    told(source, "path,labels\na.jpg,cat\n")
    assert capsys.readouterr().err == ""


def test_rows_that_say_nothing_are_counted_once_with_what_to_add(source, capsys):
    for _ in range(2):
        assert told(source, "path,labels\na.jpg,cat\nb.jpg,\nc.jpg,\n") == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert capsys.readouterr().err == (
        f"ccd-fast: --known {source.known}: 2 of its rows have no labels and say nothing: where a photograph has none "
        "of the classes, say so with * in a column absent\n"
    )
    told(source, "path,labels,absent\na.jpg,cat,\nb.jpg,,\nc.jpg,,*\n")
    told(source, "path,labels,status\na.jpg,cat,labelled\nb.jpg,,unreadable\n")
    assert capsys.readouterr().err == ""


def test_a_file_that_is_not_there(source):
    with pytest.raises(UserError, match="no such file"):
        source.entries(source.load("train"))
