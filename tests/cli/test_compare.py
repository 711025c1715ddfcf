"""``ccd-fast compare`` and ``ccd-fast train --system``."""

import json
import re

from ccd_fast.studies.comparison import GROUPS, ROWS


def test_a_table_over_systems_is_printed_and_written_with_its_page(ccd, arguments, tmp_path):
    code, out, err = ccd(
        *("compare", *arguments, "--set", "train.epochs=1", "--set", "student.image_size=32", "--seeds", "0"),
        *("--frozen", "--systems", "wan,llr", "--out", tmp_path / "table"),
    )
    assert code == 0, err
    for line in ("one positive an image", "LL-R", "annotation-free", "zero-shot teacher", "WAN (Aodha et al.)"):
        assert line in out
    written = {file.name for file in (tmp_path / "table").iterdir()}
    assert written == {"compare.md", "compare.csv", "compare.html", "cells.csv", "runs"}
    run = json.loads((tmp_path / "table" / "runs" / "seed-0" / "LL-R" / "run.json").read_text())
    assert run["system"] == "llr"
    assert run["supervision"]["source"] == "one-positive"
    code, again, err = ccd(
        *("compare", *arguments, "--set", "train.epochs=1", "--set", "student.image_size=32", "--seeds", "0", "--json"),
        *("--frozen", "--systems", "wan,llr", "--out", tmp_path / "table"),
    )
    assert code == 0
    assert "2 of 2 trainings are finished already" in err
    (table,) = json.loads(again)
    assert not any("Part of the labels" in note or "No label update" in note for note in table["notes"])
    assert table["groups"]["LL-R"] == "one positive an image"


def test_the_help_names_every_row_in_its_group(ccd):
    said = " ".join(re.sub(r"[│\s]+", " ", ccd("compare", "--help")[1]).split())
    groups = (": bce, bce-ls", ": sarb, asl, sst, ccd-partial", ": llr, g2netpl, ccd-one-positive")
    listed = (*groups, ": an, an-ls, wan, epr, role, cdul, ccd (")
    assert all(group in said for group in listed)
    names = {name for group in listed for name in re.findall(r"[a-z][a-z0-9-]+", group)}
    assert names == set(ROWS)
    by_group = [{ROWS[name][1] for name in re.findall(r"[a-z][a-z0-9-]+", group)} for group in listed]
    assert by_group == [{group} for group in GROUPS]


def test_a_mistyped_system_is_answered_in_a_line_with_the_nearest(ccd, arguments, tmp_path):
    code, _, err = ccd("compare", *arguments, "--systems", "cdull", "--out", tmp_path / "table")
    assert code == 2
    assert "--systems cdull: must be one of" in err
    assert "did you mean 'cdul'" in err
    code, _, err = ccd("train", *arguments, "--system", "cdull", "--out", tmp_path / "run")
    assert code == 2
    assert "system.name" in err
    assert "cdul" in err
    code, _, err = ccd("train", *arguments, "--system", "an", "--known", tmp_path / "k.csv", "--out", tmp_path / "run")
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("ccd-fast: --known: an is not told these")
    assert not (tmp_path / "run").exists()


def test_a_system_with_a_head_of_its_own_has_its_page_and_is_evaluated_like_any_run(ccd, arguments, tmp_path):
    out = tmp_path / "run"
    code, said, err = ccd("train", *arguments, "--set", "train.epochs=1", "--system", "sst", "--out", out)
    assert code == 0, err
    assert "report.html" in said
    assert "warning: no report" not in err
    page = (out / "report.html").read_text(encoding="utf-8")
    assert re.search(
        r"classes, told \d+ labels that are there and \d+ that are not, on \d+ photographs; system sst", page
    )
    assert "What the updates" not in page  # it looks at nothing again
    code, said, err = ccd("evaluate", out, "--json")
    assert code == 0, err
    code, said, err = ccd("export", out, "--out", tmp_path / "student.onnx")
    assert code == 0, err
