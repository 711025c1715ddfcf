"""``train --dataset nus`` and nothing else: where the data set, the recipe and the folder of the run come from."""

import pytest

from ccd_fast.datasets import DATASETS, whereabouts
from ccd_fast.errors import UserError
from ccd_fast.recipes import config
from ccd_fast.runs.free import own_folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CCD_DATA", str(tmp_path / "elsewhere"))
    return tmp_path


def test_a_data_set_is_looked_for_in_ccd_data_and_then_in_data(here):
    (here / "data" / "nus").mkdir(parents=True)
    assert str(whereabouts.find("nus")) == "data/nus"
    (here / "elsewhere" / "nus").mkdir(parents=True)
    assert whereabouts.find("nus") == here / "elsewhere" / "nus"


def test_where_it_was_looked_for_and_how_it_is_had_is_said(here, monkeypatch):
    with pytest.raises(UserError) as caught:
        whereabouts.find("coco2017")
    for part in (
        f"no MS COCO 2017 in {here / 'elsewhere' / 'coco2017'} or data/coco2017:",
        "--data-root",
        "train2017.zip",
    ):
        assert part in str(caught.value)
    monkeypatch.delenv("CCD_DATA")
    with pytest.raises(UserError, match=r"no PASCAL VOC 2007 in data/voc07 \(\$CCD_DATA is not set\)"):
        whereabouts.find("voc07")
    with pytest.raises(UserError, match="--data-root FOLDER is needed"):
        whereabouts.find("folder")
    with pytest.raises(UserError, match="did you mean 'nus'"):
        whereabouts.find("nuss")


def test_a_run_goes_where_no_other_is(here):
    assert str(own_folder("nus", overwrite=False)) == "runs/nus"
    for taken in ("nus", "nus-2"):
        (here / "runs" / taken).mkdir(parents=True)
    assert str(own_folder("nus", overwrite=False)) == "runs/nus-3"
    assert str(own_folder("nus", overwrite=True)) == "runs/nus"


def test_the_command_takes_all_of_that(ccd, here, tiny_clip, monkeypatch):
    taken = []

    def train(source, recipe, folder, *_, **__):
        taken.append((source.dataset, str(source.root), recipe, str(folder.path)))
        raise KeyboardInterrupt

    monkeypatch.setattr("ccd_fast.training.train", train)
    monkeypatch.setattr("ccd_fast.cli.options.refuse_teacher", lambda _: None)  # it would have to be fetched
    (here / "elsewhere" / "nus").mkdir(parents=True)
    (here / "runs" / "nus").mkdir(parents=True)
    assert ccd("train", "--dataset", "nus")[0] == 130
    assert taken == [("nus", str(here / "elsewhere" / "nus"), config.load("nus"), "runs/nus-2")]
    assert ccd("train", "--dataset", "nus", "--recipe", "paper-nus", "--out", "mine")[0] == 130
    assert taken[1][2:] == (config.load("paper-nus"), "mine")
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = ccd("train", "--dataset", "nus")
    assert (code, err.count("\n")) == (2, 1)
    assert "--out RUN is needed with several processes" in err
    monkeypatch.delenv("WORLD_SIZE")
    assert "say which run goes on: --out RUN" in ccd("train", "--resume")[2]


@pytest.mark.parametrize("name", [name for name, described in DATASETS.items() if described.yours is None])
def test_a_benchmark_s_own_recipe_relabels_at_every_epoch(name):
    recipe = config.load(whereabouts.recipe_of(name))
    assert recipe.relabel.epochs == "every"
    assert recipe.views.max_bad_frac == 0.01
    assert recipe.teacher.model.startswith("ViT-")


def test_an_engine_is_built_for_the_data_set_that_is_named(ccd, monkeypatch):
    asked = []

    def load_clip(model, *_):
        asked.append(model)
        raise UserError("enough")

    monkeypatch.setattr("ccd_fast.teacher.load_clip", load_clip)
    for given in ([], ["--dataset", "nus"], ["--dataset", "voc12"]):
        ccd("build-engines", *given)
    assert asked == [config.load(name).teacher.model for name in ("folder", "nus", "voc12")]
