"""The page of a run: true to its folder, whole without a network, and safe from hostile names."""

import dataclasses
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from rich.console import Console

from ccd_fast import report
from ccd_fast.datasets import Source
from ccd_fast.errors import UserError
from ccd_fast.recipes import config
from ccd_fast.report import page as page_of
from ccd_fast.report.album import open_again
from ccd_fast.report.charts import Bar, Curve, bars, lines
from ccd_fast.report.examples import Example, OfClass, rows_to_show
from ccd_fast.report.facts import read
from ccd_fast.report.gallery import Box, Corrected, Label, corrections, names_above
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.progress import Stages
from ccd_fast.training.run import train

SMALL = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "train.batch_size=8")
SCRIPT = "<script>alert('x')</script>\"'&"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def trained(out, source, tiny_clip, *overrides):
    folder = RunFolder(out)
    recipe = config.load("folder", [f"teacher.model='''{tiny_clip}'''", "teacher.batch_size=8", *SMALL, *overrides])
    train(source, recipe, folder, Stages(Console(file=io.StringIO()), folder.add_metrics), command="ccd-fast train …")
    return out


@pytest.fixture(scope="module")
def run(photo_folder, tiny_clip, cache, tmp_path_factory):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    return trained(
        tmp_path_factory.mktemp("report") / "run", source, tiny_clip, "train.epochs=4", "relabel.min_tau=0.0"
    )


@pytest.fixture(scope="module")
def page(run):
    return report.write(run, pictures=3).read_text(encoding="utf-8")


def test_the_page_tells_what_the_folder_holds(run, page):
    summary = json.loads((run / "summary.json").read_text())
    for name in ("student, chosen epoch, test", "zero-shot teacher, test", "pseudo-labels after the updates, train"):
        assert f">{100 * summary['results'][name]:.1f}<" in page
    for name in ("cat", "dog", "traffic light", "boat"):
        assert f"<h3>{name} " in page
    assert "train.epochs = 4" in page
    assert page.count("<polyline") == 4 + 2  # by epoch; what probabilities mean, and the line where they do
    for stage, total in summary["stages"].items():
        assert f'<th scope="row">{stage}</th><td class="value">{total["images"]:.0f}' in page


def test_it_counts_labels_by_the_very_thresholds_that_the_run_keeps(run):
    facts = read(run)
    kept = json.loads((run / "thresholds.json").read_text())["last"]["labels"]
    assert {bar.name: bar.values["least"] for bar in facts.counts} == pytest.approx(kept)


def test_figures_have_intervals_and_are_put_in_words(run, page):
    assert ">95% interval<" in page
    assert page.count(" … ") >= 4
    assert "of the labels that are there, so many are found: student " in page
    assert "mAP, student against zero-shot teacher: " in page
    assert "positives, so that their average precision says little" in page


def test_the_page_and_the_card_say_what_probabilities_mean_before_and_after(run, tmp_path):
    copied = shutil.copytree(run, tmp_path / "run")
    line = {"scale": 2.0, "shift": dict.fromkeys(("cat", "dog", "traffic light", "boat"), -1.0), "known": 0}
    (copied / "calibration.json").write_text(json.dumps({"best": line, "last": line}))
    found = read(copied).meaning
    page = report.write(copied, pictures=0).read_text(encoding="utf-8")
    assert page.count("<polyline") == 4 + 3
    for error in (found.before.error, found.after.error):
        assert f"{100 * error:.1f}" in page
        assert f"{100 * error:.1f}" in found.told()
    assert found.before.error != found.after.error
    assert sum(found.after.entries) == 12 * 4


def test_classes_with_few_positives_may_be_left_out_of_the_page(run, tmp_path):
    copied = shutil.copytree(run, tmp_path / "run")
    counts = read(copied).said
    assert any("--min-positives 10 leaves them out" in line for line in counts)
    with pytest.raises(UserError, match="fewer than two classes have so many"):
        report.write(copied, min_positives=1000)
    shutil.rmtree(copied / "scores")
    facts = read(copied)
    assert [line.metrics for line in facts.headline] == [line.metrics for line in read(run).headline]
    assert {line.sure for line in facts.headline} == {""}
    assert "95% interval" not in page_of.render(facts, [])
    with pytest.raises(UserError, match="has kept no scores"):
        report.write(copied, min_positives=2)


def test_the_gallery_shows_the_largest_corrections_first(run):
    facts = read(run)
    shown, why_not = corrections(open_again(run, facts.run["class_names"]), facts.summary["tau"], 5)
    assert why_not == ""
    assert len(shown) == 5
    told = [[*(box.label for box in photo.boxes), *photo.labels] for photo in shown]
    changes = [max(abs(label.after - label.before) for label in labels) for labels in told]
    assert changes == sorted(changes, reverse=True)
    assert all(len({label.name for label in labels}) == len(labels) for labels in told), "no class twice"
    assert any(photo.boxes for photo in shown)
    assert all(photo.picture.startswith("data:image/jpeg;base64,") for photo in shown)


def test_the_page_begins_with_the_labels_and_ends_with_what_the_student_has_learned(page):
    heads = re.findall("<h2>(.*?)</h2>", page)
    assert heads[:3] == ["The labels", "How good they are, and the student", "By epoch"]
    assert heads[-1] == "Has the student learned its labels?"
    labels = page[page.index("<h2>The labels") : page.index("<h2>How good")]
    assert labels.count("<figure><img") >= 8  # of four classes
    assert "✓" in labels or "✗" in labels


def test_the_examples_of_a_class_are_the_surest_and_those_that_only_just_count():
    labels = np.array([0.1, 0.9, 0.5, 0.7, 1.0, 0.6, np.nan], dtype=np.float32)
    assert rows_to_show(labels) == [4, 1, 5, 2]
    assert rows_to_show(labels[:4]) == [1, 3, 2]
    assert rows_to_show(labels, least=0.65) == [4, 1, 3]
    assert rows_to_show(labels[:1]) == [0]
    assert rows_to_show(np.array([0.1, 0.3, 0.2], dtype=np.float32)) == [1, 2]


def test_a_class_without_photographs_shows_the_likeliest_and_many_classes_are_listed_or_counted(run):
    example = Example("a.jpg", "data:,", 0.31, None)
    found = [OfClass("cat", 0, 0.5, [example]), *(OfClass(f"class {k}", 7) for k in range(400))]
    page = page_of.render(read(run), [], labelled=found)
    assert "0 photographs, from 50.0 on; the likeliest" in page
    assert page.count("<li><span>class ") == 299
    assert "And 101 classes with no more photographs than these" in page


def test_no_pictures_may_be_wanted(run, tmp_path):
    copied = shutil.copytree(run, tmp_path / "run")
    page = report.write(copied, pictures=0).read_text(encoding="utf-8")
    assert "<img" not in page
    assert "No pictures: none are wanted" in page
    assert "<li><span>cat</span>" in page


def test_a_box_is_a_question_and_its_answer_stands_beside_it(run):
    box = Box(Label("sofa", 0.1, 0.9, True), 0.4, "left:0%", "data:,")
    page = page_of.render(read(run), [Corrected("a.jpg", "data:,", [box], [Label("dog", 0.2, 0.6, False)])])
    assert ">sofa?</i>" in page
    asked = page[page.index("looked here for: <b>sofa</b>") :]
    assert asked.index('✓ 10.0 → <b class="better">90.0</b>') < asked.index("Without a box of its own:")
    assert asked.index("Without a box of its own:") < asked.index('✗ 20.0 → <b class="worse">60.0</b>')
    assert "A label can rise without a box of its own" in page


def test_names_of_boxes_that_begin_at_one_place_stand_below_each_other():
    corners = np.array([[0.0, 0.0, 1.0, 1.0], [0.05, 0.01, 1.0, 1.0], [0.6, 0.0, 1.0, 1.0], [0.0, 0.02, 0.5, 0.5]])
    assert names_above(corners) == [0, 1, 0, 2]
    assert names_above(np.zeros((0, 4))) == []


def test_a_label_that_reads_the_same_is_no_change_and_no_box_is_said(run):
    labels = [Label("cat", 0.16601, 0.16604, True), Label("dog", 0.1, 0.9, True), Label("cow", 0.2, 0.8, False)]
    page = page_of.render(read(run), [Corrected("a.jpg", "data:,", [], labels)])
    assert '16.6 → <b class="">16.6</b>' in page
    assert '10.0 → <b class="better">90.0</b>' in page
    assert '20.0 → <b class="worse">80.0</b>' in page
    assert "What the updates corrected" in page
    page = page_of.render(read(run), [Corrected("a.jpg", "data:,", [], [Label("dog", 0.1, 0.9, None)])])
    assert '10.0 → <b class="">90.0</b>' in page
    assert "What the updates changed" in page
    assert "No box: the student sees no sure sign of any class here" in page


def test_classes_that_are_never_on_top_are_named_and_have_no_bar(run):
    bias = [Bar("cat", {"score": 0.5, "label": 0.9}), Bar("axolotl", {"score": None, "label": None})]
    page = page_of.render(dataclasses.replace(read(run), bias=bias, by_class=[], counts=[]), [])
    assert "they take the mean of the others: axolotl." in page
    assert "–" not in page[page.index("The teacher's bias") : page.index("<h2>Unreadable")]


def test_the_page_asks_for_nothing_outside_itself(page):
    assert set(re.findall(r'(?:src|href)="([a-z]+):', page)) == {"data"}
    assert "url(" not in page
    assert "<script" not in page


def test_a_page_says_what_foretells_a_student_where_its_head_began_as_a_regression(
    photo_folder, tiny_clip, cache, tmp_path
):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", photo_folder / "labels.csv")
    out = trained(tmp_path / "run", source, tiny_clip, "train.epochs=1", "student.head=ridge")
    page = report.write(out).read_text(encoding="utf-8")
    assert (
        "mAP, %: first head of photographs held out (training)" in page and "it foretells what labels are worth" in page
    )


def test_a_run_without_truth_has_a_page_that_says_so(photo_folder, tiny_clip, cache, tmp_path):
    source = Source("folder", photo_folder, photo_folder / "classes.txt", None)
    out = trained(tmp_path / "run", source, tiny_clip, "train.epochs=2")
    page = report.write(out).read_text(encoding="utf-8")
    assert "There are no known labels to measure by" in page
    assert "held out" not in page
    assert "No pictures: the labels were never updated" in page


def test_photographs_that_are_gone_cost_the_gallery_and_nothing_else(photo_folder, tiny_clip, cache, tmp_path):
    root = shutil.copytree(photo_folder, tmp_path / "photos")
    source = Source("folder", root, root / "classes.txt", root / "labels.csv")
    out = trained(tmp_path / "run", source, tiny_clip, "train.epochs=3")
    shutil.rmtree(root)
    page = report.write(out).read_text(encoding="utf-8")
    assert "No pictures: the photographs could not be looked up" in page
    assert "zero-shot teacher" in page


def test_hostile_names_are_shown_and_never_run(run):
    facts = read(run)
    hostile = dataclasses.replace(
        facts,
        name=SCRIPT,
        quarantine=[(SCRIPT, SCRIPT)],
        quarantined=1,
        by_class=[Bar(SCRIPT, {"teacher": 0.5, "student": None}, SCRIPT)],
        bias=[Bar(SCRIPT, {"score": 0.5, "label": 0.9})],
        curves=[Curve(SCRIPT, [(0, 0.5)])],
        agreement=[Curve(SCRIPT, [(0, 0.5)])],
        counts=[Bar(SCRIPT, {"photographs": 3.0})],
        run={**facts.run, "command": SCRIPT, "teacher": SCRIPT},
        knobs={"teacher.model": SCRIPT},
    )
    photo = Corrected(SCRIPT, "data:,", [Box(Label(SCRIPT, 0.1, 0.9, None), 0.5, "left:0%", "data:,")], [])
    page = page_of.render(hostile, [photo], labelled=[OfClass(SCRIPT, 3, 0.5, [Example(SCRIPT, "data:,", 0.9, None)])])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 12


def test_a_run_that_has_not_ended_has_no_page(run, tmp_path):
    unfinished = shutil.copytree(run, tmp_path / "run")
    (unfinished / "summary.json").unlink()
    with pytest.raises(UserError, match="the run has not ended"):
        report.write(unfinished)


def test_a_chart_puts_each_value_where_it_belongs():
    drawn = str(lines([Curve("a", [(0, 0.5), (2, 0.8)])], epochs=3))
    (low_x, low_y), (high_x, high_y) = (map(float, p.split(",")) for p in re.search('points="(.*?)"', drawn)[1].split())
    assert low_x < high_x
    assert low_y > high_y  # up is more
    ticks = [int(value) for value in re.findall(r'text-anchor="end">(\d+)<', drawn)]
    assert ticks == [50, 55, 60, 65, 70, 75, 80]
    assert lines([], 3) == ""


def test_a_bar_is_as_long_as_its_value_and_none_is_a_dash():
    drawn = str(bars([Bar("cat", {"teacher": None, "student": 0.25})], "average precision", limit=0.5))
    assert re.findall(r"width:([\d.]+)%", drawn) == ["0.0", "50.0"]
    assert re.findall(r'<td class="value">(.*?)</td>', drawn) == ["–", "25.0"]
    assert bars([], "nothing", 1.0) == ""


PROBE = """<script>addEventListener('load', () => { document.title = JSON.stringify({
  pictures: [...document.images].map(i => i.complete && i.naturalWidth > 0),
  requests: performance.getEntriesByType('resource').map(r => r.name.slice(0, 30)),
  wide: document.documentElement.scrollWidth - innerWidth }) })</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_it_whole(page, tmp_path, width):
    def dump(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
        command += [f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"]
        command += ["--host-resolver-rules=MAP * ~NOTFOUND", (tmp_path / name).as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    plain = dump("page.html", page)
    assert "CONSOLE" not in plain.stderr, plain.stderr
    probed = dump("probed.html", re.sub('<meta http-equiv="Content-Security-Policy".*?>', PROBE, page))
    found = json.loads(re.search("<title>(.*?)</title>", probed.stdout)[1])
    assert found["pictures"]
    assert all(found["pictures"])
    assert all(name.startswith("data:") for name in found["requests"])
    assert found["wide"] <= 0
