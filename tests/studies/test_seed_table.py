import csv
import io
import statistics

from ccd_fast.runs.folder import RunFolder
from ccd_fast.studies.seed_table import Column, SeedTable

TABLE = SeedTable(
    name="t",
    title="A table",
    columns=(Column("mAP, %"), Column("seconds", digits=0), Column("paper, %", published=True)),
    rows=(
        ("three", ((50.0, 60.0, 70.04), (10.0, 11.0, 12.0), (90.1,))),
        ("one | alone", ((50.0,), (10.4,), ())),
        ("published", ((), (), (88.6,))),
    ),
    notes=("What it is.",),
)


def test_figures_are_mean_and_sample_deviation_and_one_seed_has_none():
    assert TABLE.head() == ["", "n", "mAP, %", "seconds", "paper, %"]
    assert TABLE.texts() == [
        ["three", "3", "60.0 ± 10.0", "11 ± 1", "90.1"],
        ["one | alone", "1", "50.0", "10", "–"],
        ["published", "–", "–", "–", "88.6"],
    ]


def test_the_markdown_has_title_rows_and_notes_and_as_many_cells_in_each_row():
    lines = TABLE.as_markdown().splitlines()
    assert lines[0] == "## A table"
    assert lines[2] == "|  | n | mAP, % | seconds | paper, % |"
    assert lines[4] == "| three | 3 | 60.0 ± 10.0 | 11 ± 1 | 90.1 |"
    assert lines[5].startswith(r"| one \| alone | 1 ")
    assert lines[-1] == "- What it is."
    assert {line.replace(r"\|", "").count("|") for line in lines[2:7]} == {6}


def test_the_csv_has_mean_and_deviation_apart_and_nothing_where_nothing_is_known():
    rows = list(csv.DictReader(io.StringIO(TABLE.as_csv())))
    assert float(rows[0]["mAP, % deviation"]) == round(statistics.stdev((50.0, 60.0, 70.04)), 4)
    assert float(rows[0]["mAP, % mean"]) == round(180.04 / 3, 4)
    assert [row["n"] for row in rows] == ["3", "1", "0"]
    assert rows[1]["mAP, % deviation"] == rows[1]["paper, %"] == rows[2]["seconds mean"] == ""
    assert rows[2]["paper, %"] == "88.6000"


def test_an_interval_is_its_two_ends_and_is_not_averaged():
    columns = (Column("mAP"), Column("sure", ends="interval"), Column("gain", ends="difference"))
    rows = (("full", ((50.0,), (40.04, 60.0), (1.0, -0.5, 2.5))), ("older", ((50.0, 51.0), (), ())))
    table = SeedTable("t", "A table", columns, rows)
    assert table.texts() == [
        ["full", "1", "50.0", "40.0 … 60.0", "+1.0 (-0.5 … 2.5)"],
        ["older", "2", "50.5 ± 0.7", "–", "–"],
    ]
    full, older = csv.DictReader(io.StringIO(table.as_csv()))
    assert list(full)[2:] == ["mAP mean", "mAP deviation", "sure low", "sure high", "gain", "gain low", "gain high"]
    assert list(full.values())[4:] == ["40.0400", "60.0000", "1.0000", "-0.5000", "2.5000"]
    assert list(older.values())[4:] == [""] * 5


def test_a_table_is_written_as_markdown_and_csv(tmp_path):
    TABLE.write(RunFolder(tmp_path))
    assert (tmp_path / "t.md").read_text() == TABLE.as_markdown()
    assert (tmp_path / "t.csv").read_text() == TABLE.as_csv()
