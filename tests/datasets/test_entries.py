"""Known entries of labels from a file: what is told, what is not, and what is refused."""

import json
from dataclasses import replace

import pytest

from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.text import as_csv


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
def test_what_cannot_be_meant_is_refused_in_a_line(source, table, said, capsys):
    with pytest.raises(UserError) as refused:
        told(source, table)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"--known {source.known}")
    assert "name no file" not in capsys.readouterr().err


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


def test_what_label_wrote_is_taken_for_known_with_a_warning(source, capsys):
    assert told(source, "path,labels,cat,dog,boat\na.jpg,cat,0.9,0.1,0.1\n")[0] == [1, 0, 0]
    assert (
        "a number for each class, as `label` writes it: every label in it is taken for known" in capsys.readouterr().err
    )
    told(source, "path,labels,absent,cat,dog,boat\na.jpg,cat,*,0.9,0.1,0.1\n")
    assert capsys.readouterr().err == ""


def test_a_file_that_is_not_there(source):
    with pytest.raises(UserError, match="no such file"):
        source.entries(source.load("train"))


def exported(source, content, names="cat\ndog\nboat\n"):
    source.classes.write_text(names)
    other = replace(source, known=source.root / "known.json")
    other.known.write_text(json.dumps(content))
    return other.entries(other.load("train")).tolist()


def task(image, *ticked, **more):
    """A task as Label Studio exports it: with an annotation for each list of what somebody ticked."""
    value = [
        [{"type": "choices", "from_name": "labels", "value": {"choices": names}}] if names else [] for names in ticked
    ]
    return {"id": 7, "data": {"image": image}, "annotations": [{"result": each, **more} for each in value]}


def test_what_a_person_left_unticked_is_absent_where_they_looked_and_nothing_is_known_elsewhere(source):
    skipped = task("/data/local-files/?d=photos/c.jpg", ["dog"], was_cancelled=True)
    guess = {
        **task("/data/local-files/?d=photos/b.jpg"),
        "predictions": [{"result": [{"value": {"choices": ["cat"]}}]}],
    }
    nothing = task("/data/local-files/?d=photos/a.jpg", [])
    assert exported(source, [nothing, guess, skipped]) == [[-1, -1, -1], [0, 0, 0], [0, 0, 0]]
    two = task("/data/local-files/?d=photos/b.jpg", ["cat", "dog"], ["cat"])
    assert exported(source, [two])[1] == [1, 0, -1]  # what two people differ on is not known
    with pytest.raises(UserError, match="none of its 2 tasks has an annotation, and predictions tell nothing"):
        exported(source, [guess, skipped])


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=photos/my%20cats/1%2B1.jpg",
        "/data/local-files/?d=home/me/photos/my%20cats/1%2B1.jpg",
        "https://example.org/bucket/my%20cats/1%2B1.jpg?X-Amz-Date=1",
        "s3://bucket/my cats/1+1.jpg",
        "C:\\photos\\my cats\\1+1.jpg",
    ],
)
def test_the_photograph_of_an_address_is_found_wherever_label_studio_is_served_from(source, address):
    (source.root / "my cats").mkdir()
    (source.root / "my cats" / "1+1.jpg").write_bytes(b"")
    assert exported(source, [task(address, ["dog"])])[-1] == [-1, 1, -1]
    assert exported(source, [task("/data/upload/3/1a2b3c4d-a.jpg", ["dog"])])[0] == [-1, 1, -1]


def test_the_path_that_a_task_was_given_goes_before_its_address(source):
    one = task("/data/local-files/?d=a.jpg", ["dog"])
    one["data"]["path"] = "b.jpg"
    assert exported(source, [one]) == [[0, 0, 0], [-1, 1, -1], [0, 0, 0]]


def test_the_minimal_export_is_read(source):
    some = [
        {"image": "/data/x/a.jpg", "id": 1, "labels": {"choices": ["cat", "dog"]}, "annotator": 1},
        {"image": "/data/x/b.jpg", "id": 2, "labels": "boat", "annotator": 1},
        {"image": "/data/x/c.jpg", "id": 3, "annotator": 1},
    ]
    assert exported(source, some) == [[1, 1, -1], [-1, -1, 1], [-1, -1, -1]]


def test_coco_tells_of_every_image_in_it_and_of_its_own_categories_only(source):
    images = [{"id": 4, "file_name": "a.jpg"}, {"id": 9, "file_name": "c.jpg"}]
    told_of = {"images": images, "categories": [{"id": 1, "name": "boat"}, {"id": 2, "name": "cat"}]}
    drawn = {"id": 1, "image_id": 4, "category_id": 2, "bbox": [0, 0, 1, 1]}
    assert exported(source, {**told_of, "annotations": [drawn, drawn]}) == [[1, 0, -1], [0, 0, 0], [-1, 0, -1]]
    with pytest.raises(UserError, match="annotation 1 has a score, as predictions have"):
        exported(source, {**told_of, "annotations": [{**drawn, "score": 0.9}]})


@pytest.mark.parametrize("name", ["path", "labels", "1", "[1]", "a, b", '<b>&"x"</b>', "absent"])
def test_names_that_tables_and_pages_trip_over_come_through_every_export(source, name):
    names = f"{name}\ndog\n"
    source.classes.write_text(names)
    assert told(source, as_csv([("path", "labels", "absent"), ("a.jpg", name, "*")]))[0] == [1, -1]
    assert exported(source, [task("a.jpg", [name])], names)[0] == [1, -1]
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": name}]}
    assert exported(source, {**coco, "annotations": [{"image_id": 1, "category_id": 1}]}, names)[0] == [1, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "neither Label Studio's JSON .* nor COCO's"),
        ({"images": []}, "neither Label Studio's JSON .* nor COCO's"),
        ([task("a.jpg", ["cta"])], "task 7: class 'cta' is not one of the classes; did you mean 'cat'"),
        ([{"id": 7, "data": {}, "annotations": [{"result": []}]}], "task 7: its data has no image"),
        ([task("a.jpg", ["cat"]), task("a.jpg", ["dog"])], "task 7: 'a.jpg' stands twice"),
        ({"images": [], "categories": [], "annotations": [{}]}, "not COCO's form: KeyError"),
        ([{"id": 1, "data": {"image": "a.jpg"}, "annotations": [3]}], "exported without its annotations"),
    ],
)
def test_an_export_that_cannot_be_meant_is_refused_in_a_line(source, content, said):
    with pytest.raises(UserError, match=said) as refused:
        exported(source, content)
    assert str(refused.value).startswith("--known ")
