"""What can be refused is refused before anything large is loaded."""

import json
import subprocess
import sys

import pytest

TRY = """
import contextlib, io, json, sys
from ccd_fast.cli import main

answers = {}
for words in json.load(sys.stdin):
    sys.argv = ["ccd-fast", *words.split()]
    code, said = 0, io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            code = end.code
    large = [name for name in ("torch", "nvidia.dali", "open_clip", "timm", "pandas") if name in sys.modules]
    answers[words] = code, said.getvalue().splitlines(), large
print(json.dumps(answers))
"""
DATA = "--data-root {photos} --classes {photos}/classes.txt"
OF_A_RUN = ("evaluate {}", "predict {} x.jpg", "review {}", "report {}", "export {}")
CASES = (
    ("train --data-root {photos} --classes {photos}/classes.txt --out {taken}", "already exists"),
    ("train --data-root {empty} --classes {photos}/classes.txt --out {empty}/run", "no images in it"),
    ("train --data-root {photos} --classes {photos}/gone.txt --out {empty}/run", "no such file"),
    ("label --data-root {empty} --classes {photos}/classes.txt --out {empty}/l.csv", "no images in it"),
    ("label --data-root {photos} --classes {photos}/classes.txt --out {taken}/f.csv", "already exists"),
    ("label --data-root {photos} --run {empty} --out {empty}/l.csv", "not a run of ccd-fast"),
    (
        "label --data-root {odd} --classes {photos}/classes.txt --out {empty}/l.xml --format cvat",
        r"the name of the photograph '\x01.png' has a character that XML cannot hold: rename it, or write csv",
    ),
    ("predict {empty} x.jpg", "not a run of ccd-fast"),
    ("evaluate {empty}", "not a run of ccd-fast"),
    ("export {empty}", "not a run of ccd-fast"),
    ("verify --data-root {empty} --classes {photos}/classes.txt", "no images in it"),
    ("label --data-root {photos} --out {empty}/l.csv", "--classes FILE is needed"),
    (
        "label --data-root {photos} --classes {photos}/classes.txt --out {empty}/l.csv --device tpu",
        "no such device",
    ),
    (f"train {DATA} --out {{empty}}/run --teacher ViT-B-32/laion2b", "did you mean 'laion2b_"),
    (f"train {DATA} --out {{empty}}/run --teacher ViT-B-32/openai", "use ViT-B-32-quickgelu/openai"),
    (
        f"train {DATA} --out {{empty}}/run --teacher hf-hub:org/name",
        "are not on this machine, and HF_HUB_OFFLINE is set",
    ),
    (f"train {DATA} --out {{taken}} --device cuda:x --teacher no/such", "already exists"),
    (f"train {DATA} --out {{taken}} --device cuda:x --teacher no/such", "; and teacher 'no/such': unknown"),
    (f"train {DATA} --out {{taken}} --device cuda:x --teacher no/such", "; and --device cuda:x: no such device"),
    ("train --resume --out {empty}", "holds no run to go on with"),
    *(
        (command.format("{unbegun}"), "unbegun: the run stopped before it began; start it again")
        for command in OF_A_RUN
    ),
    ("evaluate {empty} --split valid", "must be train or test"),
    ("export {empty} --format pickle", "must be one of onnx, plan, safetensors, triton"),
    (f"ablate {DATA} --out {{empty}}/tables --device gpu", "no such device"),
    (f"compare {DATA} --out {{empty}}/tables --teacher no/such", "unknown"),
    ("demo --out {taken} --device gpu", "no such device"),
    ("predict {empty} x.jpg --overlays {taken}", "already holds something"),
    ("bench kernels --out {taken}/f.csv", "already exists; replace it with --overwrite"),
    (f"compare {DATA} --out {{taken}}", "holds no tables of ccd-fast"),
)


@pytest.fixture(scope="module")
def tried(photo_folder, tmp_path_factory):
    """The answers to all of them, given by one process, which has loaded nothing large before."""
    root = tmp_path_factory.mktemp("refused")
    places = {name: root / name for name in ("taken", "empty", "unbegun", "odd")}
    for place in places.values():
        place.mkdir()
    places["photos"] = photo_folder
    (places["taken"] / "f.csv").write_text("somebody's")
    (places["unbegun"] / "run.json").write_text("{}")
    (places["odd"] / "\x01.png").touch()
    asked = {words: words.format(**places) for words, _ in CASES}
    command = [sys.executable, "-c", TRY]
    done = subprocess.run(command, input=json.dumps([*asked.values()]), capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    assert list(places["empty"].iterdir()) == []
    return {words: answers[filled] for words, filled in asked.items()}


@pytest.mark.parametrize(("words", "said"), CASES)
def test_a_mistake_is_told_of_before_anything_large_is_loaded(tried, words, said):
    code, lines, large = tried[words]
    assert code == 2, lines
    assert said in lines[-1]
    assert large == []
