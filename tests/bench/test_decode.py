"""The benchmark of the views: every task of every backend, on a few drawn scenes, and its command."""

import json
import sys

import pytest

from ccd_fast.bench.decode import BARE, DECODE_KEPT, Load, boxes_of, measure_decode, readable
from ccd_fast.cli import main
from ccd_fast.views import installed_backends, open_backend

TASKS = {BARE, DECODE_KEPT, "decode", "decode + whole view", "decode + two training views", "crops of decoded images"}


@pytest.fixture(scope="module")
def load(photo_folder):
    return Load(tuple(sorted(photo_folder.rglob("*.jpg"))[:6]), batch_size=4, image_size=32, threads=2)


def test_the_batches_hold_every_file_once(load):
    assert [rows.tolist() for _, rows in load.batches()] == [[0, 1, 2, 3], [4, 5]]
    assert tuple(file for files, _ in load.batches() for file in files) == load.files


def test_all_tasks_of_all_backends_are_measured(load):
    found = measure_decode(load, repeats=2)
    json.dumps(found)
    assert {(row["backend"], row["task"]) for row in found["results"]} == {
        ("", "read bytes"),
        *((name, task) for name in installed_backends() for task in TASKS),
    }
    for row in found["results"]:
        assert row["n"] == 2
        assert row["amount"] == (24 if row["task"].startswith("crops") else 6)
        assert row["per_s"] == pytest.approx(row["amount"] / row["median_s"])
        assert ("ratio_to_bare" in row) == (row["task"] in ("decode", DECODE_KEPT))


def test_the_ratio_is_our_rate_over_the_bare_rate(load):
    rates = {(row["backend"], row["task"]): row for row in measure_decode(load, repeats=1)["results"]}
    for name in installed_backends():
        ours, bare = rates[name, "decode"], rates[name, BARE]
        assert ours["ratio_to_bare"] == pytest.approx(ours["per_s"] / bare["per_s"])


def test_what_can_be_read_is_found_batch_by_batch(load, tmp_path):
    (tmp_path / "rubbish.jpg").write_bytes(b"rubbish")
    backend, sizes = open_backend("pillow", 1), []
    decode = backend.decode
    backend.decode = lambda files, rows: (sizes.append(len(files)), decode(files, rows))[1]
    files = (*load.files[:3], tmp_path / "rubbish.jpg", tmp_path / "gone.jpg", *load.files[3:])
    assert readable(files, backend, 3) == load.files
    assert sizes == [3, 3, 2]


def test_boxes_lie_inside_the_photographs(load):
    backend = open_backend("pillow", 1)
    files, rows = load.batches()[0]
    photographs = backend.decode(files, rows)
    owner, boxes = boxes_of(photographs, 32)
    assert owner.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= photographs.sizes[owner, ::-1]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_the_command_prints_a_table_and_writes_json(photo_folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "photos").mkdir()
    for index, file in enumerate(sorted(photo_folder.rglob("*.jpg"))[:3]):
        (tmp_path / "photos" / f"{index}.jpg").write_bytes(file.read_bytes())
    (tmp_path / "photos" / "rubbish.jpg").write_bytes(b"rubbish")
    out = tmp_path / "decode.json"
    command = ["bench", "decode", "--data-root", tmp_path / "photos", "--image-size", 32, "--out", out]
    monkeypatch.setattr(sys, "argv", ["ccd-fast", *map(str, command)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    printed, err = capsys.readouterr()
    assert "decode + whole view" in printed
    assert "1 images that cannot be read were left out" in err
    written = json.loads(out.read_text())
    assert written["images"] == 3
    assert {"command", "machine", "results"} <= written.keys()


def test_without_a_folder_the_command_draws_scenes_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CCD_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["ccd-fast", "bench", "decode", "--images", "4", "--image-size", "32"])
    for drawn in (True, False):
        with pytest.raises(SystemExit) as exit_:
            main()
        assert not exit_.value.code
        assert ("draw scenes" in capsys.readouterr().err) == drawn
