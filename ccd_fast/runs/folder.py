"""What a run leaves behind: one folder, every file whole or not there."""

import errno
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from ccd_fast.errors import RunError, UserError
from ccd_fast.machine import ALONE, Ranks
from ccd_fast.runs import json_files
from ccd_fast.runs.free import can_resume, refuse_occupied
from ccd_fast.runs.lock import locked
from ccd_fast.text import as_csv

STATE = "checkpoints/state.pt"
PARTIAL = "checkpoints/partial.pt"
SUMMARY = "summary.json"
BIAS = "labels/bias.json"
THRESHOLDS, CALIBRATION = "thresholds.json", "calibration.json"
OF_STUDENT, OF_LABELS, OF_LABELS_ALONE = "student", "labels", "labels alone"
"""What a run keeps thresholds for: the student's probabilities, and the label table."""
NOT_A_STATE = (
    *(UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""What torch and zipfile raise for a file that is damaged, or that holds more than tensors and plain data."""

Log = Callable[[Sequence[Mapping[str, Any]]], None]


class RunFolder:
    """A run's folder.

    ``recipe.toml``, ``run.json``, ``summary.json`` (once it has ended), ``metrics.jsonl``,
    ``labels/epoch-002.parquet`` (and ``labels/table-003.npy``, where tables are mapped), ``scores/`` (of what was
    measured), ``checkpoints/`` (``last`` and ``best`` as safetensors; ``state.pt``, all that a resumed run needs) and
    ``quarantine.csv``.
    """

    def __init__(self, path: Path, ranks: Ranks = ALONE, log: Log | None = None) -> None:
        """Name a folder; nothing is written. Of several processes the leader writes; each keeps its partial state.

        Args:
            path: of the folder.
            ranks: the processes that share the run.
            log: is given all records of the run whenever there is a new one.
        """
        self.path = path
        self.ranks = ranks
        self.log = log
        self.quarantine: dict[str, str] = {}
        self._records: list[dict[str, Any]] = []

    def check_free(self, resume: bool, overwrite: bool) -> None:
        """Refuse what ``create`` would refuse, before any work is done.

        Raises:
            UserError: the folder exists and neither flag is given; or there is nothing to resume.
        """
        if self.ranks.leads:
            refuse_occupied(self.path, resume, overwrite)

    def at_work(self) -> AbstractContextManager[None]:
        """Hold the folder while a run works on it; of several processes the leader does.

        Raises:
            UserError: another run is at work on it.
        """
        return locked(self.path, f"--out {self.path}") if self.ranks.leads else nullcontext()

    def can_resume(self) -> bool:
        """Tell whether there is a run to go on with; it may have stopped before its first labels were made."""
        return can_resume(self.path)

    def has_state(self) -> bool:
        """Tell whether there is a checkpoint of a finished stage of the run."""
        return (self.path / STATE).is_file()

    def summary(self) -> dict[str, Any] | None:
        """Give the summary of a finished run; None if there is none."""
        return self.read_json(SUMMARY) if (self.path / SUMMARY).is_file() else None

    def remove_summary(self) -> None:
        """Forget that the run has ended: it goes on."""
        if self.ranks.leads:
            (self.path / SUMMARY).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the run, if there is one; ``run.json`` last, so that what a killed removal leaves is still a run."""
        for entry in sorted(self.path.glob("*"), key=lambda entry: entry.name == "run.json"):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if self.path.is_dir() and not self.path.is_symlink():
            self.path.rmdir()

    def create(self, overwrite: bool) -> None:
        """Make an empty folder, removing an existing run if ``overwrite``."""
        self.ranks.wait()  # all have seen that it is free
        if self.ranks.leads:
            if overwrite:
                self.remove()
            self.path.mkdir(parents=True, exist_ok=True)
            self.write_json("run.json", {})  # says whose folder it is, should the run end before it is described
            for part in ("labels", "checkpoints"):
                (self.path / part).mkdir(parents=True, exist_ok=True)
        self.ranks.wait()

    def write(self, name: str, write: Callable[[Path], object], need: int = 0) -> None:
        """Write a file whole or not at all, by a function that writes to the path that it is given; the leader does.

        ``need`` are the bytes that it takes, about, for the message where the disk is full.

        Raises:
            RunError: the disk is full, or the folder cannot be written to.
        """
        if not self.ranks.leads:
            return
        if self.path.is_dir():
            (self.path / name).parent.mkdir(exist_ok=True)  # runs made before have no scores/
        _write(self.path / name, write, need)

    def write_own(self, name: str, write: Callable[[Path], object], need: int = 0) -> None:
        """Write a file that is this process's alone, as :meth:`write` does."""
        _write(self.path / name, write, need)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        self.write(name, lambda temporary: temporary.write_text(text, encoding="utf-8"), len(text))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file."""
        self.write_text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the run.

        Raises:
            UserError: the folder is not a run.
        """
        return json_files.read(self.path, name)

    def add_metrics(self, record: Mapping[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        self._records.append(dict(record))
        self.write_text("metrics.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in self._records))
        if self.log is not None and self.ranks.leads:
            self.log(self._records)

    @property
    def records(self) -> Sequence[Mapping[str, Any]]:
        """Give the lines of ``metrics.jsonl`` so far."""
        return self._records

    def stage_totals(self) -> dict[str, dict[str, float]]:
        """Add up the records of each stage: images, crops, seconds."""
        totals: dict[str, dict[str, float]] = {}
        for record in self._records:
            if "stage" in record:
                total = totals.setdefault(record["stage"], {"images": 0, "crops": 0, "seconds": 0.0})
                for key in total:
                    total[key] += record.get(key, 0)
        return totals

    def add_to_quarantine(self, paths: Sequence[str], unreadable: Mapping[int, str]) -> None:
        """Add unreadable images, by their row among ``paths``, to ``quarantine.csv``."""
        self.quarantine |= {paths[row]: reason for row, reason in unreadable.items()}
        self.write_text("quarantine.csv", as_csv([("path", "reason"), *sorted(self.quarantine.items())]))

    def save_student(self, name: str, state: Mapping[str, torch.Tensor]) -> None:
        """Write a student's weights as ``checkpoints/<name>.safetensors``.

        Raises:
            RunError: a weight is not finite; nothing was written.
        """
        for key, tensor in state.items():
            if not tensor.isfinite().all():
                raise RunError(f"the student's {key} is not finite: nothing was written, the last checkpoint is kept")
        tensors = {key: tensor.cpu().contiguous() for key, tensor in state.items()}
        file = f"checkpoints/{name}.safetensors"
        content = safetensors.torch.save(tensors)  # its own way to a file leaves half of one where it is killed
        self.write(file, lambda temporary: temporary.write_bytes(content), len(content))

    def load_student(self, name: str) -> dict[str, torch.Tensor]:
        """Read what :meth:`save_student` wrote.

        Raises:
            UserError: there is no such checkpoint.
        """
        file = self.refuse_no_student(name)
        try:
            return safetensors.torch.load_file(file)
        except SafetensorError as error:
            raise UserError(f"{file}: cannot be read: {error}") from error

    def refuse_no_student(self, name: str) -> Path:
        """Give the file of :meth:`save_student`.

        Raises:
            UserError: there is no such checkpoint.
        """
        file = self.path / "checkpoints" / f"{name}.safetensors"
        if not file.is_file():
            have = sorted(f.stem for f in file.parent.glob("*.safetensors"))
            mend = (
                ""
                if self.summary()
                else f": the run has not ended; go on with `ccd-fast train --resume --out {self.path}`"
            )
            raise UserError(f"{self.path}: no checkpoint {name!r}; it has {', '.join(have) or 'none yet'}{mend}")
        return file

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write all that a resumed run needs, in one file."""
        full = {**state, "records": self._records, "quarantine": self.quarantine}
        self.write(STATE, lambda temporary: torch.save(full, temporary), _size(full))
        self._partial.unlink(missing_ok=True)

    def save_partial(self, name: str, state: Mapping[str, Any]) -> None:
        """Write what a pass has done so far, in place of what any pass wrote before."""
        partial = {"pass": name, **state}
        self.write_own(str(self._partial.relative_to(self.path)), lambda file: torch.save(partial, file), _size(state))

    def load_partial(self, name: str) -> dict[str, Any] | None:
        """Read what :meth:`save_partial` wrote for this pass; None if there is nothing, or another pass's."""
        if not self._partial.is_file():
            return None
        try:
            state = _load(self._partial)
        except NOT_A_STATE as error:
            raise UserError(
                f"{self._partial}: not what a run of ccd-fast wrote; remove it, and the pass begins anew"
            ) from error
        return state if state.pop("pass") == name else None

    def forget_partial(self) -> None:
        """Remove what passes have left unfinished: the run has ended, and nothing goes on from there."""
        if self.ranks.leads:
            for file in (self.path / PARTIAL).parent.glob("partial*.pt"):
                file.unlink(missing_ok=True)

    @property
    def _partial(self) -> Path:
        """Name the file of this process's share of an unfinished pass: another number of processes shares otherwise."""
        rank, size = self.ranks.rank, self.ranks.size
        return self.path / (PARTIAL if size == 1 else PARTIAL.replace(".pt", f"-{rank}-of-{size}.pt"))

    def load_state(self) -> dict[str, Any]:
        """Read what :meth:`save_state` wrote; lines of ``metrics.jsonl`` after it are forgotten.

        Raises:
            UserError: there is none.
        """
        try:
            state = _load(self.path / STATE)
        except FileNotFoundError:
            raise UserError(f"--resume: {self.path} holds no run to go on with (no {STATE})") from None
        except NOT_A_STATE as error:
            raise UserError(f"{self.path / STATE}: not what a run of ccd-fast wrote: it is not read") from error
        self._records = state.pop("records")
        self.quarantine = state.pop("quarantine")
        return state


def _load(file: Path) -> dict[str, Any]:
    """Read what ``torch.save`` wrote: tensors and plain data. torch does not look at the checksums of its archive."""
    with zipfile.ZipFile(file) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"{damaged} has changed since it was written")
    state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    return state


def _size(state: object) -> int:
    """Give the bytes of all tensors in a state."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(map(_size, state.values()))
    return sum(map(_size, state)) if isinstance(state, list | tuple) else 0


def _write(target: Path, write: Callable[[Path], object], need: int) -> None:
    """Write to a temporary name, flush to the disk, and rename: what was there before stays until then.

    Raises:
        RunError: the disk is full, or the folder cannot be written to.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        write(temporary)
        temporary.chmod(0o644)  # safetensors keeps its files from everyone else
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
    except (OSError, RuntimeError) as error:  # torch has errors of its own for it
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise cannot_be_written(target, error, need) from error


def cannot_be_written(target: Path, error: Exception, need: int) -> RunError:
    """Say why a file cannot be written, which takes so many bytes, and what to do where the disk is full."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    free = shutil.disk_usage(target.parent).free if target.parent.is_dir() else 0
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in reason
    if not isinstance(error, OSError) and free < need:  # torch says that a position is not the one it expected
        full, reason = True, "the disk is full"
    room = f"{need / 2**20:.3g} MiB are needed, {free / 2**20:.3g} are free"
    mend = f" ({room}): make room there, and go on with --resume"
    return RunError(f"{target}: cannot be written: {reason}{mend if full else ''}; what was there before is kept")
