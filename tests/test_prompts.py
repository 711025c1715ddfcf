import pytest

from ccd_fast import prompts
from ccd_fast.errors import UserError
from ccd_fast.recipes import config


def templates(override):
    return config.load("folder", [f"teacher.templates={override}"]).teacher.templates


def test_a_file_gives_a_template_a_line_and_the_recipe_keeps_the_templates_themselves(tmp_path):
    (tmp_path / "prompts.txt").write_text("a photo of the {}\n\n  a drawing of a {} \n")
    assert templates(f"'{tmp_path / 'prompts.txt'}'") == ["a photo of the {}", "a drawing of a {}"]
    (tmp_path / "mine.toml").write_text('[teacher]\ntemplates = "prompts.txt"\n')
    recipe = config.load(tmp_path / "mine.toml")  # looked for beside the recipe, not in the current folder
    assert recipe.teacher.templates == ["a photo of the {}", "a drawing of a {}"]
    assert "prompts.txt" not in recipe.dumps()


def test_the_ensembles_are_those_of_open_clip():
    from open_clip import zero_shot_metadata

    for name, number, constant in (
        ("openai-imagenet", 80, zero_shot_metadata.OPENAI_IMAGENET_TEMPLATES),
        ("openai-imagenet-simple", 7, zero_shot_metadata.SIMPLE_IMAGENET_TEMPLATES),
    ):
        found = templates(name)
        assert len(found) == number
        assert [t.format("red fox") for t in found] == [function("red fox") for function in constant]


def test_remarks_in_a_file_are_no_templates(tmp_path):
    (tmp_path / "own.txt").write_text("# what a {} looks like\na photo of a {}\n")
    assert templates(f"'{tmp_path / 'own.txt'}'") == ["a photo of a {}"]


def test_a_single_template_needs_no_list():
    assert templates("'a sketch of {}'") == ["a sketch of {}"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("'openai-imagnet'", "did you mean 'openai-imagenet'"),
        ("'gone.txt'", "no such file"),
        ("'a {} and a {}'", "must hold {} once"),
        ("['a {0}']", "must hold {} once"),
        ("['a } of {}']", "must hold {} once"),
    ],
)
def test_what_is_no_template_is_refused_in_one_line(said, expected):
    with pytest.raises(UserError) as caught:
        templates(said)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "said"), [("a {}\na photo\n", "line 2: 'a photo' must hold"), ("\n", "is empty")])
def test_a_file_with_a_line_that_is_no_template_is_refused_with_the_line(tmp_path, text, said):
    (tmp_path / "prompts.txt").write_text(text)
    with pytest.raises(UserError, match=said):
        templates(f"'{tmp_path / 'prompts.txt'}'")


def test_every_name_of_a_class_goes_into_every_template():
    assert prompts.texts("person | man", ["a {}", "the {}"]) == ["a person", "the person", "a man", "the man"]
    assert prompts.texts("traffic light", ["a {}"]) == ["a traffic light"]


def test_a_class_with_a_broad_name_and_no_other_has_its_kinds_beside_it():
    beside = prompts.kinds_beside(("Person", "kite", "animals", "vehicle | lorry"))
    assert list(beside) == ["Person", "animals"]
    assert beside["Person"] == ("man", "woman", "boy", "girl")
    assert beside["animals"][0] == "dog"


def test_a_kind_that_is_a_class_or_another_name_of_one_is_not_asked_for_twice():
    beside = prompts.kinds_beside(("animal", "Dog", "kitten | cat", "person", "man", "woman", "boy", "girl"))
    assert beside == {"animal": ("bird", "horse", "cow", "fish", "insect")}


def test_the_recipe_says_whether_kinds_are_asked_for():
    for name, wide in (("folder", True), ("coco", True), ("paper-coco", False), ("demo", False)):
        assert list(config.load(name).teacher.kinds_beside(("person", "dog"))) == (["person"] if wide else [])
