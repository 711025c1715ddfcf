"""What can be refused is refused before anything large is loaded."""

import subprocess
import sys

import pytest

TRY = """
import sys
from ccd_fast.cli import main
sys.argv = ["ccd-fast", *sys.argv[1:]]
try:
    main()
finally:
    large = [name for name in ("torch", "nvidia.dali", "open_clip", "timm") if name in sys.modules]
    print("loaded", *large, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --data-root {photos} --classes {photos}/classes.txt --out {taken}", "already exists"),
        ("train --data-root {empty} --classes {photos}/classes.txt --out {empty}/run", "no images in it"),
        ("train --data-root {photos} --classes {photos}/gone.txt --out {empty}/run", "no such file"),
        ("label --data-root {empty} --classes {photos}/classes.txt --out {empty}/l.csv", "no images in it"),
        ("label --data-root {photos} --classes {photos}/classes.txt --out {taken}/f.csv", "already exists"),
        ("label --data-root {photos} --run {empty} --out {empty}/l.csv", "not a run of ccd-fast"),
        ("predict {empty} x.jpg", "not a run of ccd-fast"),
        ("evaluate {empty}", "not a run of ccd-fast"),
        ("export {empty}", "not a run of ccd-fast"),
        ("verify --data-root {empty} --classes {photos}/classes.txt", "no images in it"),
    ],
)
def test_a_mistake_is_told_of_before_anything_large_is_loaded(photo_folder, tmp_path, words, said):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "f.csv").write_text("somebody's")
    (tmp_path / "empty").mkdir()
    filled = words.format(photos=photo_folder, taken=tmp_path / "taken", empty=tmp_path / "empty")
    done = subprocess.run([sys.executable, "-c", TRY, *filled.split()], capture_output=True, text=True, check=False)
    *lines, loaded = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert said in lines[-1]
    assert loaded == "loaded"
    assert list((tmp_path / "empty").iterdir()) == []
