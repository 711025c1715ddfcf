"""What a run measures, as TensorBoard reads it: the same figures as in ``metrics.jsonl``, by epoch."""

import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccd_fast.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
"""In the folder of the run."""

Record = Mapping[str, Any]


class TensorBoardLog:
    """Writes a run's records as scalars."""

    def __init__(self, run: Path) -> None:
        """Name the folder of the run; nothing is written yet."""
        self.folder = run / FOLDER
        self._written = 0
        self._writer: SummaryWriter | None = None

    def __call__(self, records: Sequence[Record]) -> None:
        """Write those of a run's records that are not written yet.

        A run that goes on begins its log anew, with all records that it kept: what was written after its last
        checkpoint would else stand there twice.
        """
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            shutil.rmtree(self.folder, ignore_errors=True)
            self._writer = SummaryWriter(str(self.folder))
        for record in records[self._written :]:
            for name, value in scalars(record):
                self._writer.add_scalar(name, value, int(record.get("epoch", 0)))
        self._written = len(records)
        self._writer.flush()


def scalars(record: Record) -> Iterator[tuple[str, float]]:
    """Give the figures of a line of ``metrics.jsonl`` by the name that they have in TensorBoard."""
    if "stage" in record:
        stage = str(record["stage"]).replace(" ", "_")
        for kind in ("images_per_second", "crops_per_second"):
            if kind in record:
                yield f"{kind}/{stage}", record[kind]
        return
    test = record.get("test") or {}
    figures = {
        "loss": record["loss"],
        "agreement": record["agreement"],
        "map/pseudo_labels_train": record.get("pseudo_label_map"),
        "map/student_test": test.get("mean_average_precision"),
        "f1/class_test": test.get("class_f1"),
        "f1/overall_test": test.get("overall_f1"),
    }
    yield from ((name, value) for name, value in figures.items() if value is not None)


def open_log(run: Path, log: str | None, resume: bool) -> TensorBoardLog | None:
    """Open the log that is asked for, before any work is done.

    Args:
        run: folder of the run.
        log: ``"tensorboard"`` or None.
        resume: whether the run goes on: then so does the log that it began with.

    Raises:
        UserError: the log is unknown, or TensorBoard is not installed.
    """
    if log not in (None, "tensorboard"):
        raise UserError(f"--log {log}: must be tensorboard")
    if log is None and not (resume and (run / FOLDER).is_dir()):
        return None
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("--log tensorboard: TensorBoard is not installed: pip install 'ccd_fast[tensorboard]'")
    return TensorBoardLog(run)
