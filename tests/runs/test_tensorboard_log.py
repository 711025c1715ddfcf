"""TensorBoard's log of a run: the figures of metrics.jsonl, once each, also after a run was taken up again."""

import importlib.util

import pytest

from ccd_fast.errors import UserError
from ccd_fast.runs import tensorboard as tensorboard_log
from ccd_fast.runs.folder import RunFolder
from ccd_fast.runs.tensorboard import TensorBoardLog, open_log, scalars

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

STAGE = {"stage": "first labels", "images": 8, "images_per_second": 4.0}
EPOCH = {"epoch": 1, "loss": 0.5, "agreement": None, "pseudo_label_map": 0.7, "test": {"mean_average_precision": 0.6}}


def read(run) -> dict[str, list[tuple[int, float]]]:
    """Read the log as TensorBoard does: by name, the steps with their values."""
    found = accumulators.EventAccumulator(str(run / tensorboard_log.FOLDER)).Reload()
    names = found.Tags()["scalars"]
    return {name: [(event.step, pytest.approx(event.value)) for event in found.Scalars(name)] for name in names}


def test_a_line_of_metrics_is_scalars_by_name():
    assert dict(scalars(STAGE)) == {"images_per_second/first_labels": 4.0}
    test = {"mean_average_precision": 0.6, "class_f1": 0.3, "overall_f1": 0.4}
    told = dict(scalars({**EPOCH, "agreement": 0.9, "test": test}))
    assert told == {
        **{"loss": 0.5, "agreement": 0.9, "map/pseudo_labels_train": 0.7, "map/student_test": 0.6},
        **{"f1/class_test": 0.3, "f1/overall_test": 0.4},
    }
    assert dict(scalars({"epoch": 0, "loss": 0.5, "agreement": None})) == {"loss": 0.5}


def test_a_run_that_goes_on_has_each_figure_once(tmp_path):
    def begun(run):
        folder = RunFolder(tmp_path, log=run)
        for epoch in range(2):
            folder.add_metrics({**EPOCH, "epoch": epoch, "loss": 1.0 - epoch})
        return folder

    begun(TensorBoardLog(tmp_path)).add_metrics({**EPOCH, "epoch": 2, "loss": 99.0})  # lost: no checkpoint
    again = begun(None)
    again.log = TensorBoardLog(tmp_path)
    again.add_metrics({**EPOCH, "epoch": 2, "loss": 7.0})
    again.add_metrics({**EPOCH, "epoch": 3, "loss": 8.0})
    assert read(tmp_path)["loss"] == [(0, 1.0), (1, 0.0), (2, 7.0), (3, 8.0)]


def test_a_log_goes_on_with_its_run_and_needs_to_be_asked_for_once(tmp_path):
    assert open_log(tmp_path, None, resume=True) is None
    assert open_log(tmp_path, "tensorboard", resume=False) is not None
    (tmp_path / tensorboard_log.FOLDER).mkdir()
    assert open_log(tmp_path, None, resume=True) is not None
    assert open_log(tmp_path, None, resume=False) is None
    with pytest.raises(UserError, match="--log wandb: must be tensorboard"):
        open_log(tmp_path, "wandb", resume=False)


def test_without_tensorboard_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else there(name))
    with pytest.raises(UserError, match=r"TensorBoard is not installed: pip install 'ccd_fast\[tensorboard\]'"):
        open_log(tmp_path, "tensorboard", resume=False)
