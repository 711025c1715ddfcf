import numpy as np
import pytest
import torch

from ccd_fast.errors import UserError
from ccd_fast.recipes import config


@pytest.mark.parametrize("name", config.built_in())
def test_every_built_in_recipe_is_valid_and_survives_a_round_trip(name, tmp_path):
    recipe = config.load(name)
    (tmp_path / "copy.toml").write_text(recipe.dumps())
    assert config.load(tmp_path / "copy.toml", base="") == recipe


def test_the_paper_s_reference_values_stand_in_its_recipe():
    recipe = config.load("paper-voc12")
    assert (recipe.labels.max_entropy, recipe.labels.floor) == (2.0, 1 / 20)
    assert (recipe.relabel.ema, recipe.relabel.k, recipe.relabel.epochs) == (0.2, 4, 1)
    assert (recipe.relabel.cam_threshold, recipe.relabel.margin) == (0.95, 80 / 640)
    assert (recipe.student.alpha, recipe.student.backbone, recipe.student.image_size) == (3.0, "resnet101", 448)
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.train.warmup_epochs) == (10, 16, 2)
    assert (recipe.train.backbone_learning_rate, recipe.train.head_learning_rate) == (1e-5, 1e-4)
    assert (recipe.consistency.mu, recipe.consistency.omega, recipe.consistency.color_jitter) == (1.0, 1.0, 0.5)
    assert recipe.consistency.hue_jitter == 0.5
    assert (recipe.teacher.model, recipe.teacher.image_size) == ("RN50x64-quickgelu/openai", 640)
    assert recipe.teacher.templates == ["a photo of the {}"]
    assert (recipe.student.relabel_image_size, recipe.student.weights) == (640, "imagenet")
    assert (recipe.bias.debias, recipe.bias.again) == (True, False)
    assert (recipe.relabel.min_tau, recipe.relabel.tau, recipe.relabel.average) == (0.05, "once", "moving")
    assert (recipe.relabel.whole, recipe.relabel.settle, recipe.relabel.cache_grid) == (False, 0, 0)
    assert (recipe.views.choice, recipe.views.per_class, recipe.views.jitter) == ("cam", 1, 0)
    assert recipe.train.choose == "label-free"


@pytest.mark.parametrize("name", ["voc07", "coco", "nus"])
def test_the_other_data_sets_of_the_paper_take_the_values_of_voc12_but_for_a_steadier_bias(name):
    own, reference = config.load(f"paper-{name}").model_dump(), config.load("paper-voc12").model_dump()
    assert own.pop("bias") == {**reference.pop("bias"), "min_count": 1 if name == "voc07" else 10}
    assert own == reference


@pytest.mark.parametrize("name", config.built_in())
def test_only_the_paper_s_recipes_predict_a_class_from_one_half_on(name):
    assert config.load(name).evaluate.threshold == (0.5 if name.startswith("paper-") else "auto")


def test_a_folder_is_relabelled_at_every_epoch():
    assert config.load("folder").relabel.epochs == "every"


def test_a_file_needs_to_say_only_what_differs(tmp_path):
    (tmp_path / "mine.toml").write_text("[train]\nepochs = 3\n")
    recipe = config.load(tmp_path / "mine.toml", base="paper-voc12")
    assert recipe.train.epochs == 3
    assert recipe.student == config.load("paper-voc12").student


def test_a_file_may_extend_another_recipe_than_the_data_set_s(tmp_path):
    (tmp_path / "mine.toml").write_text('extends = "paper-coco"\nseed = 5\n')
    recipe = config.load(tmp_path / "mine.toml")
    assert recipe == config.load("paper-coco", ["seed=5"])


def test_overrides_win_over_the_file():
    assert config.load("folder", ["train.epochs=4", "student.weights=none"]).train.epochs == 4


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epoch=4", ["unknown key 'train.epoch'", "'train.epochs'"]),
        ("trian.epochs=4", ["unknown key 'trian'", "'train'"]),
        ("bias.ema=0.5", ["unknown key 'bias.ema'", "'relabel.ema'"]),
        ("train.epochs=0", ["train.epochs = 0", "a whole number >= 1"]),
        ("train.epochs=2.5", ["train.epochs = 2.5", "a whole number >= 1"]),
        ("relabel.ema=1.5", ["relabel.ema = 1.5", ">= 0 and <= 1"]),
        ("relabel.ema=nan", ["relabel.ema = nan", ">= 0 and <= 1"]),
        ("student.alpha=inf", ["student.alpha = inf", "a number > 0"]),
        ("train.choose=lasst", ["one of 'label-free', 'last'", "did you mean 'last'"]),
        ("relabel.epochs=some", ["a whole number >= 0 or 'every'"]),
        ("bias.debias=1", ["true or false"]),
        ('teacher.templates=["a photo"]', ["must hold {} once"]),
        ("train=4", ["train = 4", "a table"]),
    ],
)
def test_a_mistake_gets_one_line_with_the_key_what_it_allows_and_the_nearest_name(override, said):
    with pytest.raises(UserError) as caught:
        config.load("folder", [override])
    message = str(caught.value)
    assert "\n" not in message
    for part in said:
        assert part in message


def test_an_override_without_a_value_is_refused():
    with pytest.raises(UserError, match=r"section\.knob=value"):
        config.load("folder", ["train.epochs"])


def test_an_unknown_recipe_names_the_built_in_ones():
    with pytest.raises(UserError, match=r"did you mean 'paper-voc12'"):
        config.load("paper-voc-12")


@pytest.mark.parametrize("text", ["train: epochs", "deep = " + 3000 * "["])
def test_rubbish_is_not_toml(text, tmp_path):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UserError, match="not valid TOML"):
        config.load(tmp_path / "bad.toml")


def test_every_knob_says_what_it_means_and_allows():
    knobs = config.knobs()
    assert "relabel.ema" in knobs
    assert all(text.split(":")[0] and "a table" not in text for text in knobs.values())


def test_the_limit_of_the_entropy_follows_the_number_of_classes_where_a_recipe_does_not_say_otherwise():
    labels = config.load("folder").labels
    assert [labels.entropy_limit(classes) for classes in (2, 20)] == [2.0, 2.0]
    assert labels.entropy_limit(400) == pytest.approx(4.0)
    assert config.load("paper-coco").labels.entropy_limit(80) == 2.0
    assert config.load("folder", ["labels.max_entropy=1.5"]).entropy_limit(400) == 1.5


def test_the_entropy_limit_follows_the_temperature_as_entropies_do():
    """So that about as many images are confident, whatever the temperature."""
    similarities = np.random.default_rng(0).normal(size=(4000, 80)) * 1.5
    shares = []
    for temperature in (1.0, 1.5, 2.5):
        recipe = config.load("folder", [f"teacher.temperature={temperature}"])
        entropies = torch.distributions.Categorical(logits=torch.from_numpy(similarities / temperature)).entropy()
        shares.append(float((entropies <= recipe.entropy_limit(80)).float().mean()))
    assert shares[0] > 0.05
    assert shares[1] == pytest.approx(shares[0], abs=0.2)
    assert shares[2] == pytest.approx(shares[0], abs=0.2)
    limits = [config.load("folder", [f"teacher.temperature={t}", "labels.max_entropy=2.0"]) for t in (1.0, 2.5)]
    assert [recipe.entropy_limit(80) for recipe in limits] == [2.0, 2.0]


@pytest.mark.parametrize(("grid", "grids"), [(0, []), (3, [3])])
def test_a_run_that_named_one_grid_is_read_as_it_was(tmp_path, grid, grids):
    (tmp_path / "recipe.toml").write_text(
        config.load("folder").dumps().replace("grids = [\n    2,\n    3,\n]", f"grid = {grid}")
    )
    assert "grids" not in (tmp_path / "recipe.toml").read_text()
    assert config.of_run(tmp_path).labels.grids == grids


def test_the_head_s_rate_falls_with_the_steps():
    knobs = config.load("folder", ["train.epochs=6", "train.batch_size=16", "train.head_learning_rate=auto"]).train
    assert [knobs.head_rate(images) for images in (10, 400, 1200)] == pytest.approx([1e-2, 1e-2, 1.5 / 450])
    assert knobs.head_rate(10**6) == 1e-4
    assert config.load("paper-voc12").train.head_rate(400) == 1e-4


def test_the_training_steps_show_where_to_look_where_they_can_and_nothing_but_the_head_learns():
    def shows(images, *knobs):
        return config.load("folder", [*knobs]).boxes_of_the_training(images)

    assert shows(1200) and not shows(5000)
    assert not shows(1200, "views.choice=grid") and not shows(1200, "student.relabel_image_size=320")
    assert shows(5000, "relabel.student=training") and not shows(1200, "relabel.student=pass")


def test_a_head_that_begins_as_a_ridge_regression_learns_at_a_third_of_the_rate():
    def rates(images):
        recipes = [config.load("folder", [f"student.head={head}"]) for head in ("drawn", "ridge", "auto")]
        return [recipe.train_over(images).head_learning_rate for recipe in recipes]

    drawn, ridge, auto = rates(1600)
    assert ridge == auto == pytest.approx(drawn / 3)
    assert rates(50)[1:] == [1e-3, 1e-3]
    many = config.load("folder")
    assert not many.begins_with_a_ridge(5000)  # its backbone learns too
    assert many.train_over(5000).head_learning_rate == many.train.head_rate(5000)
    asked = config.load("folder", ["student.head=ridge", "train.head_learning_rate=0.5"])
    assert asked.train_over(1200).head_learning_rate == 0.5


def test_few_photographs_leave_the_backbone_as_it_is_where_it_has_weights():
    recipe = config.load("folder")
    rates = [recipe.train_over(images).backbone_learning_rate for images in (1, 2000, 2001)]
    assert rates == [0, 0, 1e-4]
    assert config.load("folder", ["student.weights=none"]).train_over(10).backbone_learning_rate == 1e-4
    assert config.load("paper-voc12").train_over(10) == config.load("paper-voc12").train
    said = config.load("folder", ["train.backbone_learning_rate=3e-4"])
    assert said.train_over(10).backbone_learning_rate == 3e-4
    assert [said.keeps_features(10), recipe.keeps_features(2000), recipe.keeps_features(2001)] == [False, True, False]
