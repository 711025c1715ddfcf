"""The run's folder: what is written is whole, what is read is what was written, and what is removed is a run."""

import random
from pathlib import Path

import pytest
import torch

from ccd_fast.errors import RunError, UserError
from ccd_fast.runs.folder import PARTIAL, STATE, RunFolder


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.create(overwrite=False)
    made.write_json("run.json", {"command": "ccd-fast train"})
    return made


@pytest.mark.parametrize("name", [STATE, PARTIAL])
def test_a_checkpoint_with_a_flipped_bit_is_refused(folder, name):
    values = torch.arange(50_000, dtype=torch.float32)
    if name == STATE:
        folder.save_state({"values": values})
    else:
        folder.save_partial("train 1", {"values": values})
    file, generator = folder.path / name, random.Random(0)
    whole = file.read_bytes()
    start = whole.index(values[:64].numpy().tobytes())
    for _ in range(20):
        changed = bytearray(whole)
        changed[start + generator.randrange(values.nbytes)] ^= 1 << generator.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(UserError, match="not what a run of ccd-fast wrote"):
            folder.load_state() if name == STATE else folder.load_partial("train 1")
    file.write_bytes(whole)
    kept = folder.load_state() if name == STATE else folder.load_partial("train 1")
    assert torch.equal(kept["values"], values)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_not_finite_are_not_written(folder, value):
    folder.save_student("last", {"head": torch.ones(3)})
    with pytest.raises(RunError, match="the student's head is not finite: nothing was written"):
        folder.save_student("last", {"head": torch.tensor([1.0, float(value), 1.0])})
    assert torch.equal(folder.load_student("last")["head"], torch.ones(3))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc")
@pytest.mark.parametrize("place", ["/proc/run", "/proc/version/run"])
def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(place):
    with pytest.raises(UserError, match=f"^--out {place}: cannot be written to: "):
        RunFolder(Path(place)).check_free(resume=False, overwrite=False)


def test_a_run_that_was_not_removed_to_its_end_can_be_removed(folder, monkeypatch):
    (folder.path / "recipe.toml").write_text("seed = 1")
    (folder.path / "labels" / "epoch-000.parquet").write_bytes(b"labels")

    def killed(path, *rest):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.remove()
    folder.check_free(resume=False, overwrite=True)
    folder.create(overwrite=True)
    assert sorted(entry.name for entry in folder.path.rglob("*")) == ["checkpoints", "labels", "run.json"]


@pytest.mark.parametrize("left", [".run.json.tmp", "run.json"])
def test_a_run_that_was_stopped_before_it_was_described_takes_no_folder_and_is_not_gone_on_with(tmp_path, left):
    folder = RunFolder(tmp_path / "run")
    folder.create(overwrite=False)
    if left != "run.json":
        folder.remove()
        folder.path.mkdir()
        (folder.path / left).write_text("{")
    with pytest.raises(UserError, match="holds no run to go on with"):
        folder.check_free(resume=True, overwrite=False)
    folder.check_free(resume=False, overwrite=False)
    folder.create(overwrite=False)
    with pytest.raises(UserError, match="run: the run stopped before it began; start it again"):
        folder.read_json("run.json")


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"not a run of ccd-fast \(no run\.json\); remove it yourself"):
            RunFolder(tmp_path).check_free(resume=False, overwrite=overwrite)
