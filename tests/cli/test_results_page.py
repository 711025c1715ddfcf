"""The figures that README and docs/RESULTS.md show are those of the committed files, rounded and nothing else."""

import csv
import json
import re
import statistics
from pathlib import Path

import pytest
from test_docs import rows_of

from ccd_fast.recipes import config
from ccd_fast.systems import CCD, SYSTEMS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = (ROOT / "docs" / "RESULTS.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
BEFORE = ("ablate-before-coco18", "ablate-before-coco592")


def of_file(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def spread(values: list[float]) -> str:
    """Write shares as a table of several seeds does, in percent."""
    percent = [100 * value for value in values]
    return f"{statistics.mean(percent):.1f} ± {statistics.stdev(percent):.1f}"


def rows_of_file(folder: str, table: str) -> dict[str, dict[str, str]]:
    """Give the rows of a committed table, by their names and by the heads of the columns."""
    lines = [line for line in (RESULTS / folder / table).read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows}


def demo() -> dict[str, list[dict]]:
    """Give the cells of the demo's table by row, a seed each."""
    found: dict[str, list[dict]] = {}
    for cell in of_file("cpu-demo-seeds.json")["cells"]:
        found.setdefault(cell["row"], []).append(cell)
    return found


def test_the_table_of_the_demo_is_that_of_its_file():
    rows = rows_of(PAGE, "| | test mAP, % | by seed |")
    cells = demo()
    assert [row[0] for row in rows] == list(cells)
    for name, shown, by_seed, labels, seconds in rows:
        own = cells[name]
        assert shown == spread([cell["test_map"] for cell in own])
        assert by_seed == " / ".join(f"{100 * cell['test_map']:.1f}" for cell in own)
        known = [cell["label_map"] for cell in own if cell["label_map"] is not None]
        assert labels == (spread(known) if known else "–")
        assert seconds == f"{statistics.mean(cell['seconds'] for cell in own):.0f}"


def test_the_parts_of_the_method_are_those_of_their_table():
    table = rows_of_file("ablate-coco592", "components.md")
    shown = rows_of(PAGE, "| | test mAP, % | above the teacher | CF1, % | labels, % |")
    heads = ("test mAP, %", "above the teacher", "CF1, %", "pseudo-labels, train mAP, %")
    assert shown == [[name, *(own[head].replace(" ± 0.0", "") for head in heads)] for name, own in table.items()]
    map_of = {name: float(own["test mAP, %"].split()[0]) for name, own in table.items()}
    full = "update, debias and consistency"
    debias, updates = map_of["update and debias"] - map_of["update"], map_of["update"] - map_of["no update"]
    assert f"the largest part, {debias:+.1f} points" in PAGE
    assert f"give {updates:+.1f}, the consistency loss {map_of[full] - map_of['update and debias']:+.1f}" in PAGE
    assert f"loses {map_of[full] - map_of[full + ', trained in full']:.1f} points" in PAGE


def test_where_the_teacher_looks_is_in_its_files():
    rows = rows_of(PAGE, "| | 18 classes | 80 classes |")
    assert len(rows) == 6
    for name, *shown in rows:
        for folder, cell in zip(BEFORE, shown, strict=True):
            own = rows_of_file(folder, "views.md").get(name)
            if own is None:
                assert cell == "no boxes"
                continue
            test, labels = (own[head] for head in ("test mAP, %", "pseudo-labels, train mAP, %"))
            assert cell == f"{test.replace(' ± 0.0', '')} ({labels.split(' ±')[0]})", f"{name}, {folder}"


def test_what_everyday_nouns_do_to_ten_classes_is_in_its_file():
    kinds = "broad names by their kinds too"
    alone, beside = (of_file(f"cpu-names-voc1200{end}.json")["rows"][kinds] for end in ("", "-everyday"))
    labels = [f"{100 * own['label_map_by_epoch'][-1]:.1f}" for own in (beside, alone)]
    students = [f"{100 * statistics.mean(own['test_map_by_seed']):.1f}" for own in (beside, alone)]
    assert "{} after the updates where names alone have {}".format(*labels) in PAGE
    assert "and {} where they have {} (".format(*students) in PAGE


def test_what_holds_a_student_back_is_in_its_file():
    sets = [of_file("cpu-held-back.json")["sets"][name] for name in ("voc2000", "coco18", "coco592")]
    found = zip(*(own["test_map"].values() for own in sets), strict=True)
    shown = [row[1:] for row in rows_of(PAGE, "| the head is solved on |")]
    assert shown == [[f"{value:.1f}" for value in row] for row in found]
    for name in ("cow", "car", "potted plant"):
        labels, truth = sets[0]["lost_by_class"][name]
        assert f"{name} {labels:.1f} → {truth:.1f}" in PAGE
    labels, *_, some, truth = sets[0]["test_map"].values()
    assert (some - labels) / (truth - labels) == pytest.approx(2 / 3, abs=0.02), "two thirds, says the page"


def test_the_steps_of_the_recipe_are_those_of_their_file():
    gains = of_file("cpu-gains-coco592.json")["rows"]
    rows = {row[0]: row[1:] for row in rows_of(PAGE, "| `ccd-fast train --recipe folder …` |")}
    names = {
        "then, backbone frozen": "backbone frozen, updates anchored to the first labels",
        "– with the running mean of updates in place of anchored ones": "backbone frozen",
        "– without updates": "backbone frozen, no updates",
        "then (with the running mean), in full": "trained in full",
    }
    for shown, name in names.items():
        own = gains[name]
        last = own["label_map_after_updates"]
        labels = f"{100 * own['first_label_map']:.1f}, {'–' if last is None else f'{100 * last:.1f}'}"
        assert rows[shown] == [f"{100 * own['test_map']:.1f}", labels]


def test_frozen_and_trained_backbones_are_those_of_their_files():
    voc, coco = (of_file(f"cpu-{name}.json")["rows"] for name in ("frozen-or-full-voc", "gains-coco592"))
    shown = {row[0]: row[1:] for row in rows_of(PAGE, "| student, test mAP, % | VOC 2012 | MS COCO |")}
    frozen = coco["backbone frozen, updates anchored to the first labels"]
    pairs = {
        "zero-shot teacher": [row["zero_shot_teacher_test_map"] for row in (voc["backbone frozen"], frozen)],
        "backbone frozen": [row["test_map"] for row in (voc["backbone frozen"], frozen)],
        "trained in full, at a rate of 1e-4": [rows["trained in full"]["test_map"] for rows in (voc, coco)],
    }
    assert shown == {name: [f"{100 * value:.1f}" for value in values] for name, values in pairs.items()}


def test_the_first_labels_are_those_of_their_file():
    found = of_file("cpu-first-labels-coco592.json")["map_before_and_after_debiasing"]
    rows = {row[0]: row[1:] for row in rows_of(PAGE, "| the whole image and |")}
    assert {"nothing else" if name == "whole" else name for name in found} == set(rows)
    for name, own in found.items():
        shown = rows["nothing else" if name == "whole" else name]
        assert shown == [f"{own[temperature][1]:.1f}" for temperature in ("1", "1.5", "2.5", "5")]


def test_the_photographs_of_voc2000_are_those_of_their_table():
    table = rows_of_file("compare-voc2000", "compare.md")
    rows = {row[0]: row[1:] for row in rows_of(PAGE, "| | test mAP, % | 95% interval |")}
    names = {"zero-shot teacher": "zero-shot teacher", "CCD": "CCD, the", "BCE": "the same student, told"}
    for name, begins in names.items():
        (shown,) = (cells for said, cells in rows.items() if said.startswith(begins))
        own = [table[name][head] for head in ("test mAP, %", "95% interval", "above the teacher")]
        assert shown == [own[0].replace(" ± 0.0", ""), *own[1:]]


def test_the_photographs_of_coco_are_those_of_their_tables():
    rows = rows_of(PAGE, "| | 18 classes, 1,500 photographs |")
    for place, data in enumerate(("coco18", "coco592")):
        table = rows_of_file(f"compare-{data}", "compare.md")
        for name, begins in {"zero-shot teacher": "zero", "CCD": "CCD", "BCE": "the same student, told"}.items():
            (shown,) = (cells[place] for said, *cells in rows if said.startswith(begins))
            own = table[name]["test mAP, %"].replace(" ± 0.0", "")
            above = table[name]["above the teacher"].replace(" (", ", ")
            assert shown == (own if above == "–" else f"{own} ({above}")


def test_what_the_last_layer_begins_with_is_in_its_files():
    files = [of_file(f"cpu-first-head-{data}.json")["rows"] for data in ("voc1200", "coco592")]
    shown = [row[1:] for row in rows_of(PAGE, "| the last layer begins with |")]
    wanted = []
    for pair in zip(*(rows.values() for rows in files), strict=True):
        cells = []
        for own in pair:
            above = own.get("test_map_above_drawn")
            shares = [] if above is None else [100 * above[key] for key in ("mean", "low", "high")]
            cells.append(f"{100 * statistics.mean(own['test_map_by_seed']):.1f}")
            cells.append("{:+.1f} ({:.1f} … {:.1f})".format(*shares) if shares else "–")
        wanted.append(cells)
    assert shown == wanted
    ridge = [own["test_map"] for own in of_file("cpu-ridge.json")["sets"].values()]
    near = [[own[f"ridge {price}"] for price in ("0.5", "1", "2")] for own in ridge]
    assert f"makes {max(max(each) - min(each) for each in near):.1f} points of mAP at most" in PAGE
    assert f"five draws: {' and '.join(f'{own[1]:.1f}' for own in near)};" in PAGE


def test_what_is_said_of_the_sides_of_the_views_is_in_its_file():
    sizes = of_file("cpu-sizes-voc.json")
    at = {name: f"{100 * row['test_map_by_seed'][0]:.1f}" for name, row in sizes["rows"].items()}
    said = " ".join(PAGE.split())
    assert f"one seed; teacher {100 * sizes['teacher_test_map']:.1f}): " in said
    small, chosen, large = (at[f"views of {side} pixels"] for side in (224, 288, 320))
    assert f"{small} at 224 pixels, {chosen} at 288, {large} at 320" in said
    for side in (288, 320):
        above = sizes["rows"][f"views of {side} pixels"]["test_map_above_224"]
        assert above["low"] < 0 < above["high"], "intervals of the differences hold 0, says the page"
    assert config.load("folder").student.image_size == 288


def test_what_a_step_of_each_system_costs_is_in_its_file():
    at_20, at_80 = (case["as_long_as_bce"] for case in of_file("cpu-systems.json")["cases"])
    assert set(at_20) == set(SYSTEMS) - {CCD}
    said = " ".join(PAGE.split())
    for name, shown in (("sst", "SST {:.2f} and {:.2f} times"), ("sarb", "SARB {:.2f} and {:.2f},")):
        assert shown.format(at_20[name], at_80[name]) in said
    others = [of[name] for of in (at_20, at_80) for name in of.keys() - {"bce", "sst", "sarb"}]
    assert f"every other system {min(others):.2f} to {max(others):.2f}" in said


def test_the_table_of_the_readme_says_the_same():
    rows = {
        link: (teacher, student)
        for *_, teacher, student, _, link in rows_of(README, "| photographs | classes |")
        for link in re.findall(r"benchmarks/results/([^)]+)", link)
    }
    own = {row: [cell["test_map"] for cell in cells] for row, cells in demo().items()}
    full = "update, debias and consistency"
    assert rows["cpu-demo-seeds.json"] == (spread(own["zero-shot teacher"]), spread(own[full]))
    for folder in ("compare-voc2000", "compare-coco18", "compare-coco592"):
        table = rows_of_file(folder, "compare.md")
        told = tuple(table[name]["test mAP, %"].replace(" ± 0.0", "") for name in ("zero-shot teacher", "CCD"))
        assert rows[f"{folder}/compare.md"] == told
    few = rows["compare-coco592/compare.md"]
    assert f"80 classes: {few[1].split()[0]} against\n  {few[0]}, in the table below" in README


def test_students_by_what_the_teacher_sees_are_those_of_their_file():
    page = (ROOT / "docs" / "PERFORMANCE.md").read_text(encoding="utf-8")
    rows = [row[-5:] for row in rows_of(page, "| photographs | the teacher sees |")]
    files = ("cpu-maps-voc1200.json", "cpu-maps-coco18.json", "cpu-maps-coco592.json", "cpu-maps-demo.json")
    found = [(name, own) for file in files for name, own in of_file(file)["rows"].items()]
    assert [row[0] for row in rows] == [name for name, _ in found]
    for (_, student, above, labels, seconds), (_, own) in zip(rows, found, strict=True):
        assert student == f"{100 * statistics.mean(own['test_map_by_seed']):.1f}"
        difference = own.get("test_map_above_crops")
        shares = [] if difference is None else [f"{100 * difference[key]:.1f}" for key in ("mean", "low", "high")]
        shown = "{} ({} … {})".format(*shares) if shares else "–"
        assert above.lstrip("+") == shown
        assert labels == f"{100 * own['first_label_map']:.1f}, {100 * own['label_map_by_epoch'][-1]:.1f}"
        assert seconds == f"{own['seconds_by_stage']['relabel']:.0f}"


def test_the_numbers_of_photographs_are_those_of_their_file():
    found = of_file("cpu-photographs.json")["by_photographs"]
    above = {}
    for count, *cells in rows_of(PAGE, "| photographs | CLIP alone | CCD, no label |"):
        own = found[count.replace(",", "")]
        student, told = (own["rows"][row]["mean"] for row in ("CCD", "BCE, all labels"))
        assert cells == [f"{100 * value:.1f}" for value in (own["teacher_test_map"], student, told)]
        above[count] = f"{100 * (student - own['teacher_test_map']):.1f}"
    assert (
        f"is {above['200']} points better than its CLIP after 200\n  photographs, {above['400']} after 400, " in README
    )
    assert f"{above['1,600']} after 1,600" in README


def test_what_review_is_worth_is_in_its_file():
    text = (ROOT / "docs" / "COMMANDS.md").read_text(encoding="utf-8")
    ways = of_file("cpu-review-voc2000.json")["ways"]
    for count, *cells in rows_of(text, "| corrected | test mAP, first by"):
        by = [(ways[way][count], key) for key in ("map", "cf1") for way in ("review", "random")]
        assert cells == [f"{100 * row['mean'][key]:.1f} ± {100 * row['deviation'][key]:.1f}" for row, key in by]
    wrong = {
        way: [
            statistics.mean(seed["wrong_a_photograph"] for seed in row["by_seed"]) for n, row in own.items() if n != "0"
        ]
        for way, own in ways.items()
    }
    errors = [100 * statistics.mean(seed["ece"] for seed in ways["review"][n]["by_seed"]) for n in ("0", "50")]
    assert "calibration error of {:.1f}% becomes {:.1f}% with fifty".format(*errors) in text
    first, drawn = (f"{min(wrong[way]):.1f} to {max(wrong[way]):.1f}" for way in ("review", "random"))
    assert f"hold {first} wrong labels each, those drawn at random {drawn}: nearly twice" in text


def test_what_corrections_are_worth_to_few_photographs_is_in_their_file():
    found = of_file("cpu-review-voc300.json")
    before = {
        way: statistics.mean(maps)
        for way, maps in found["before_known_labels_were_made_like_guesses"]["test_map"].items()
    }
    shown = {
        (way, n): f"{100 * row['mean']['map']:.1f} ± {100 * row['deviation']['map']:.1f}"
        for way, own in found["ways"].items()
        for n, row in own.items()
    }
    said = " ".join((ROOT / "docs" / "COMMANDS.md").read_text(encoding="utf-8").split())
    assert f"mAP {shown['review', '0']} without corrections" in said
    assert f"after twenty {shown['review', '20']} by `review` and {shown['random', '20']} at random" in said
    assert f"hundred {shown['review', '100']} and {shown['random', '100']}." in said
    lost = [before["nothing"] - before[f"review-{count}"] for count in (20, 100)]
    assert "cost {:.1f} points there and a hundred {:.1f}".format(*lost) in said


def test_the_thresholds_of_students_are_those_of_their_file():
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    found = of_file("cpu-student-thresholds.json")
    (head,) = (line for line in text.splitlines() if line.startswith("| | coco592, three seeds"))
    for said, *cells in rows_of(text, head):
        row = "0.5" if said.startswith("0.5") else "one for each class (in use)"
        for name, cell in zip(("coco592", "demo", "voc1200"), cells, strict=True):
            own = found["sets"][name]["mean"][row]
            assert cell == f"{100 * own['cf1_share']:.1f}, {100 * own['of1_share']:.1f}"
    mean, least = (f"{100 * found[key]:.1f}" for key in ("mean_share", "least_share"))
    assert f"Mean of `auto` {mean} (wanted: 95), least {least} (wanted: 90): of" in text


def test_the_speeds_that_are_told_are_measured_ones():
    engine = of_file("cpu-engine-vit-b-32.json")
    best = max(row["images_per_second"] for row in engine["rows"] if row["runtime"] == "onnxruntime")
    assert f"sees [{best:.0f} pictures a second]" in README
    looks = 1 + sum(side**2 for side in config.load("folder").labels.grids)
    assert looks == 14, "fourteen views, says the README"
    assert f"a hundred photographs take {100 * looks / best:.0f} seconds" in README
    rows = {
        row[0]: row[1] for row in rows_of((ROOT / "docs" / "RUNS.md").read_text(encoding="utf-8"), "| | images/s |")
    }
    decode = next(
        r["per_s"] for r in of_file("cpu-decode.json")["results"] if (r["backend"], r["task"]) == ("dali", "decode")
    )
    training = [epoch["images_per_s"] for epoch in of_file("cpu-bench-train.json")["epochs"]]
    passes = [of_file(f"cpu-relabel-{name}.json")["pass"]["images_per_s"] for name in ("vit-b-32", "mini-clip")]
    shown = [f"{decode:.0f}", *(f"{value:.1f}" for value in (best, *passes, *training))]
    assert list(rows.values()) == shown


def test_every_system_is_shown_with_the_figures_of_its_table():
    tables = [rows_of_file(f"systems-{name}", "compare.md") for name in ("voc2000", "coco592")]
    head = "| | told | 10 classes of VOC 2012 | 80 classes of MS COCO |"
    shown = {row[0].strip("*"): row[2:] for row in rows_of(PAGE, head)}
    own = {
        name: [table[name]["test mAP, %"].replace(" ± 0.0", "") for table in tables]
        for name, cells in tables[0].items()
        if cells["test mAP, %"]
    }
    assert shown == own
    in_readme = rows_of(README, "| what is told | system |")
    assert len(in_readme) >= 10
    assert {row[1]: row[2:] for row in in_readme}.items() <= own.items()
    free = ["Naive AN", "AN-LS (Szegedy et al.)", "WAN (Aodha et al.)", "EPR (as Durand et al.)", "ROLE", "CDUL"]
    for place in (0, 1):
        assert float(own["CCD"][place].split()[0]) > max(float(own[name][place].split()[0]) for name in free)


def test_the_systems_in_the_demo_world_are_those_of_their_table():
    own = {name: cells["test mAP, %"] for name, cells in rows_of_file("systems-demo", "compare.md").items()}
    said = PAGE[PAGE.index("**In the demo world**, whole students") :]
    shown = {"BCE": "told all labels {}", "LL-R": "LL-R {}", "CDUL": "CDUL {}", "CCD": "CCD {}", "ROLE": "ROLE {}"}
    for name, words in shown.items():
        assert words.format(own[name]) in said
    grid = rows_of_file("systems-demo-grid", "compare.md")["CCD"]["test mAP, %"]
    assert f"CCD has {grid}, and is ahead" in said
    short = {name: value.split()[0] for name, value in (("CDUL", own["CDUL"]), ("CCD", own["CCD"]), ("grid", grid))}
    assert float(short["CCD"]) < float(short["CDUL"]) < float(short["grid"])
    assert f"CDUL ({short['CDUL']})" in README
    assert f"parts ({short['CCD']}), and behind" in README
    assert f"no consistency loss ({short['grid']})" in README
    assert f"the teacher {own['zero-shot teacher'].replace(' ± 0.0', '')}" in said


def test_what_the_readme_says_of_probabilities_is_in_their_file():
    lines = of_file("cpu-calibration.json")["runs"]["voc2000"]["lines"]
    before, after = (lines[name]["test"] for name in ("the sigmoid alone", "fitted to the labels, sharpened (in use)"))
    assert f"{100 * before:.1f} before, {100 * after:.1f}\n  percent after" in README


def test_what_neighbours_gain_is_in_its_files():
    files = [of_file(f"cpu-neighbours-{name}.json")["rows"] for name in ("voc1200", "coco592")]
    for said, *cells in rows_of(PAGE, "| | VOC 2012: labels | student | gain"):
        shown = []
        for found in files:
            own = found[
                "none"
                if said == "each for itself"
                else said.replace("ten ", "10 ").replace("labels never updated", "no update")
            ]
            labels = [own["first_label_map"], *own["label_map_by_epoch"][-1:]]
            shown.append(", ".join(f"{100 * value:.1f}" for value in labels))
            shown.append(f"{100 * statistics.mean(own['test_map_by_seed']):.1f}")
            gain = own.get("test_map_above_none")
            shares = [] if gain is None else [f"{100 * gain[key]:.1f}" for key in ("mean", "low", "high")]
            sign = "+" if gain and gain["mean"] > 0 else ""
            shown.append(sign + "{} ({} … {})".format(*shares) if shares else "–")
        assert cells == shown
    said = " ".join(PAGE[PAGE.index("With broad names too CF1 and OF1 are") :].split())
    for name, words in (
        ("coco592", "{} and {} on 80"),
        ("coco18", "{} and {} on 18"),
        ("voc2000", "{} and {} on the ten"),
    ):
        own = cells_of(f"compare-{name}")
        shown = (f"{100 * statistics.mean(float(cell[key]) for cell in own):.1f}" for key in ("cf1", "of1"))
        assert words.format(*shown) in said


def test_what_broad_names_gain_is_in_its_files():
    sets = of_file("cpu-broad-names.json")["sets"]
    own = {name: sets[key] for name, key in (("VOC 2012", "voc2000"), ("MS COCO, 1,500", "coco18"), ("", "coco2017"))}
    way, found = "over the root of their number (in use)", {}
    for *photographs, name, before, after in rows_of(PAGE, "| photographs | class | its name alone"):
        if photographs:
            found = next(value for key, value in own.items() if photographs[0].startswith(key))["labels"]
        key = "map" if name.startswith("mean") else name
        assert [before, after] == [f"{100 * found[way][key]:.1f}" for way in ("given", way)]
    gains = [100 * (one["labels"][way]["person"] - one["labels"]["given"]["person"]) for one in own.values()]
    assert f"{min(gains):.0f} to {max(gains):.0f} points of a person's average precision" in README
    few, ways = list(sets["a few of them"].values()), list(own[""]["labels"])
    order = ("map", "none_labelled", "recall", "precision", "cf1", "of1")
    for (_, *cells), each in zip(rows_of(PAGE, "| asked for by | mAP |"), ways, strict=True):
        rows = [row[each] for row in few]
        assert cells == [f"{100 * statistics.mean(row[key] for row in rows):.1f}" for key in order]
    said = PAGE[PAGE.index("Students, three seeds ([VOC 2012]") :]
    for name in ("voc1200", "coco592"):
        given, widened = of_file(f"cpu-names-{name}.json")["rows"].values()
        before, after = (f"{100 * statistics.mean(row['test_map_by_seed']):.1f}" for row in (given, widened))
        gain = [
            f"{100 * widened['test_map_above_given'][key]:.1f}".replace("-0.0", "0.0")
            for key in ("mean", "low", "high")
        ]
        assert f"{after} where" in said and f"have {before} (+{gain[0]}, {gain[1]} … {gain[2]})" in said


def cells_of(folder):
    with (ROOT / "benchmarks" / "results" / folder / "cells.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["row"] == "CCD"]
