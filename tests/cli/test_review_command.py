"""``ccd-fast review``: what it writes, what it leaves alone, and that what a person flips there is pinned."""

import csv
import json
import re
import shlex
import shutil

import pyarrow.parquet
import pytest

from ccd_fast.evaluation import calibration
from ccd_fast.outputs.trained import load

NAMES = ["cat", "dog", "traffic light", "boat"]


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "run")


def on_page(file):
    return json.loads(re.search(r'id="data">(.*?)</script>', file.read_text(encoding="utf-8"), re.S)[1])


def test_the_page_and_the_tasks_hold_the_same_photographs_in_the_same_order(ccd, run):
    code, out, err = ccd("review", run, "--format", "both", "--top", 5, "--json")
    assert code == 0, err
    said = json.loads(out)
    assert said["files"] == [str(run / name) for name in ("review.html", "review.json", "review.xml")]
    data, tasks = on_page(run / "review.html"), json.loads((run / "review.json").read_text())
    assert [photo["path"] for photo in data["photos"]] == said["photographs"]
    assert [task["data"]["path"] for task in tasks] == said["photographs"]
    worth = [task["data"]["worth"] for task in tasks]
    assert worth == sorted(worth, reverse=True)
    assert len(set(said["photographs"])) == 5
    for photo, task in zip(data["photos"], tasks, strict=True):
        given = [one["name"] for one in photo["classes"] if one["given"]]
        result = task["predictions"][0]["result"]
        assert (result[0]["value"]["choices"] if result else []) == given
        assert photo["picture"].startswith("data:image/jpeg;base64,")
        assert [one["name"] for one in photo["classes"]] == NAMES
    assert "review" in err


def test_a_run_that_is_none_is_all_that_is_said(ccd, tmp_path):
    assert (
        ccd("review", tmp_path / "nosuch")[2]
        == f"ccd-fast: {tmp_path / 'nosuch'}: not a run of ccd-fast (no run.json)\n"
    )


def test_what_it_wrote_is_written_again_and_nothing_else_without_overwrite(ccd, run):
    assert ccd("review", run, "--top", 1)[0] == 0
    assert ccd("review", run, "--top", 2)[0] == 0
    assert len(on_page(run / "review.html")["photos"]) == 2
    (run / "review.html").write_text("mine")
    (run / "notes.json").write_text("[]")
    for more in ([], ["--out", run / "notes.json"]):
        code, _, err = ccd("review", run, *more)
        assert (code, "already exists; replace it with --overwrite" in err) == (2, True)
    assert (run / "review.html").read_text() == "mine"
    assert ccd("review", run, "--top", 1, "--overwrite")[0] == 0
    for out, said in (("x.txt", "must end in .html or .json"), ("x.json --format page", "--format page ends in .html")):
        code, _, err = ccd("review", run, "--out", *out.split())
        assert (code, said in err) == (2, True)


def test_what_a_person_flips_is_pinned_and_is_not_asked_again(ccd, run, photo_folder, tmp_path, monkeypatch):
    """The file is as the page writes it, which tests/report/test_review_page.py compares."""
    monkeypatch.setattr(calibration, "FEW", 5)
    code, out, _ = ccd("review", run, "--top", 3)
    assert code == 0
    photos = on_page(run / "review.html")["photos"]
    rows, wanted = ["path,labels,absent"], {}
    for photo in photos:
        off = [one["name"] for one in photo["classes"] if one["given"]]
        on = [one["name"] for one in photo["classes"] if not one["given"]]
        rows.append(f"{photo['path']},{'|'.join(on)},*")
        wanted[photo["path"]] = [float(name not in off) for name in NAMES]
    (tmp_path / "corrections.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    _, *printed = shlex.split(out.splitlines()[-1])
    (tmp_path / "corrections.csv").rename(printed[printed.index("--known") + 1])
    code, _, err = ccd(*printed)  # the very line that review ends with
    assert code == 0, err
    again = run.parent / f"{run.name}-corrected"
    tables = sorted((again / "labels").glob("epoch-*.parquet"))
    assert len(tables) > 1
    for file in tables:
        table = pyarrow.parquet.read_table(file).to_pydict()
        at = {path: row for row, path in enumerate(table["path"])}
        assert {path: [table[name][at[path]] for name in NAMES] for path in wanted} == wanted
    code, _, err = ccd("label", "--run", again, "--data-root", photo_folder, "--out", tmp_path / "better.csv")
    assert (code, "told of 3 photographs stays as it was told" in err) == (0, True)
    with (tmp_path / "better.csv").open(newline="") as file:
        assert {
            row["path"]: [float(row[n]) for n in NAMES] for row in csv.DictReader(file) if row["path"] in wanted
        } == wanted
    kept = json.loads((again / "calibration.json").read_text())
    assert set(kept) == {"best", "last"}
    assert load(again).calibration.shift.tolist() == [kept["best"]["shift"][name] for name in NAMES]
    assert ccd("review", again)[0] == 0
    data = on_page(again / "review.html")
    assert not {photo["path"] for photo in data["photos"]} & set(wanted)
    assert sorted(data["known"]) == sorted(row.split(",") for row in rows[1:])  # so that the next file has them too
    told = sum(sum(values) for values in wanted.values())
    said = f"told {told:.0f} labels that are there and {12 - told:.0f} that are not, on 3 photographs"
    assert ccd("report", again)[0] == 0
    assert said in (again / "report.html").read_text(encoding="utf-8")
    assert f"trained on all of them ({said})" in ccd("evaluate", again, "--split", "train")[1]
    assert ccd("export", again, "--out", tmp_path / "student.onnx")[0] == 0
    card = (tmp_path / "student.md").read_text(encoding="utf-8")
    assert said in card
    assert "nobody has corrected" not in card
