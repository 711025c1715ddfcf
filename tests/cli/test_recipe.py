"""``ccd-fast recipe`` as a person sees it."""

import subprocess
import sys

import pytest

from ccd_fast.cli import main
from ccd_fast.recipes import config


def call(monkeypatch, capfd, *arguments):
    monkeypatch.setattr(sys, "argv", ["ccd-fast", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0), *capfd.readouterr()


@pytest.mark.parametrize("name", ["folder", "paper-nus", "paper-voc12-official"])
def test_what_is_printed_is_that_recipe_with_the_meaning_of_each_knob(monkeypatch, capfd, tmp_path, name):
    code, printed, _ = call(monkeypatch, capfd, "recipe", name, "--set", "relabel.k=3")
    assert code == 0
    (tmp_path / "mine.toml").write_text(printed)
    assert config.load(str(tmp_path / "mine.toml"), []) == config.load(name, ["relabel.k=3"])
    lines = printed.splitlines()
    assert "# weight of the old label in an update (lambda): a number >= 0 and <= 1" in lines
    comments = [line for line in lines if line.startswith("# ")]
    assert len(comments) == len(config.knobs())


def test_an_unknown_recipe_is_one_line(monkeypatch, capfd):
    code, printed, err = call(monkeypatch, capfd, "recipe", "foldre")
    assert (code, printed) == (2, "")
    assert "did you mean 'folder'?" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data-root", "nowhere"], "no such folder"),
        (["--data-root", ".", "--set", "train.epoch=4"], "did you mean 'train.epochs'?"),
        (["--data-root", ".", "--dataset", "imagenet"], "unknown"),
    ],
)
def test_common_mistakes_are_answered_without_loading_torch(arguments, words, tmp_path):
    script = "import sys; from ccd_fast.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    command = [sys.executable, "-c", script, "train", "--out", "run", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert answer.stdout == "False\n"
