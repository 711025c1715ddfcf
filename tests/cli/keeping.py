"""Commands that keep something, in the smallest world there is: how each is begun, gone on with, and compared."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from same_bits import OFTEN, remains

from ccd_fast.runs.free import can_resume

Words = list[Any]

TINY = ("student.backbone=test_resnet", "student.weights=none", "student.image_size=64", "train.batch_size=4",
        "train.epochs=3", "relabel.epochs=2", "relabel.min_tau=0.0", "train.ema=0.9")  # fmt: skip
LOOKS = ("teacher.batch_size=4", "labels.anchors=none", "labels.grids=[2]", "views.backend=pillow")
SHORT = ("train.epochs=2", "train.warmup_epochs=1", "relabel.epochs=1")
NOT_THE_SAME = ("metrics.jsonl", "run.json", "summary.json", "report.html", "state.pt")
"""Files of a run that hold times; what stands in a checkpoint is compared by itself."""


@dataclass(frozen=True)
class World:
    """What commands are given."""

    photographs: Path
    teacher: Path
    shards: Path
    trained: Path
    known: Path

    def data(self) -> Words:
        """Name the photographs and their truth."""
        at = self.photographs
        return ["--data-root", at, "--classes", at / "classes.txt", "--truth", at / "labels.csv"]

    def looked_at(self) -> Words:
        """Name the photographs, and how the teacher looks at them."""
        at = self.photographs
        return ["--data-root", at, "--classes", at / "classes.txt", "--teacher", self.teacher, *sets(*LOOKS)]


@dataclass(frozen=True)
class Keeping:
    """A command.

    Attributes:
        share: of a thousand kills.
        words: of the command, given where it writes; the same words go on, but for what ``goes_on`` says.
        goes_on: words that go on from what is in a place, given those that begin.
        kept: what must be the same at the end, by name.
        name: of what it writes.
        code: it ends with.
        whole: what it writes appears at once, whole.
        cold: it begins without a cache, or without the maps in it.
        makes_it: it makes what it writes; else there is a folder already.
    """

    share: int
    words: Callable[[World, Path], Words]
    goes_on: Callable[[Path, Words], Words]
    kept: Callable[[Path], dict[str, Any]]
    name: str = "out"
    code: int = 0
    whole: bool = False
    cold: bool = False
    makes_it: bool = True


def sets(*knobs: str) -> Words:
    return [word for knob in knobs for word in ("--set", knob)]


def resumed(out: Path, words: Words) -> Words:
    """Go on with a run, if there is one."""
    if can_resume(out):
        return ["train", "--resume", "--out", out]
    return [*words, "--overwrite"] if out.exists() else words


def the_same(out: Path, words: Words) -> Words:
    return words


def over_it(out: Path, words: Words) -> Words:
    return [*words, "--overwrite"] if out.exists() else words


def instead(out: Path, words: Words) -> Words:
    """Remove a folder that is there: it is whole, and those of other programs are never written over."""
    shutil.rmtree(out, ignore_errors=True)
    return words


def files_in(out: Path) -> dict[str, Any]:
    """Hash every file; hidden ones too: nothing half done may stay."""
    files = [out] if out.is_file() else sorted(file for file in out.rglob("*") if file.is_file())
    return {str(file.relative_to(out.parent)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def of_run(out: Path) -> dict[str, Any]:
    """Give what a run has come to: every file without times, its checkpoint, its figures."""
    files = {name: found for name, found in files_in(out).items() if not name.endswith(NOT_THE_SAME)}
    summary = json.loads((out / "summary.json").read_text())
    figures = {name: summary[name] for name in ("results", "metrics", "tau", "chosen_epoch", "epochs")}
    assert (out / "report.html").is_file()
    return {**files, "state": remains(out), "figures": json.dumps(figures)}


def of_study(out: Path) -> dict[str, Any]:
    """Give what all runs of a table have come to, and how many there are."""
    runs = sorted(file.parent for file in out.rglob("run.json"))
    found = {str(run.relative_to(out)): {**remains(run), "best": files_in(run / "checkpoints")} for run in runs}
    for of_one in found.values():
        of_one["best"] = {name: of for name, of in of_one["best"].items() if name.endswith("best.safetensors")}
    assert (out / "cells.csv").is_file()
    return found


def of_shards(out: Path) -> dict[str, Any]:
    """Give all files of an output over shards but for records, which hold times; shards and labels are counted."""
    found = {name: of for name, of in files_in(out).items() if name.endswith((".parquet", ".csv", "bias.json", ".tmp"))}
    summary = json.loads((out / "summary.json").read_text())
    counts = {name: summary[name] for name in ("shards", "photographs", "unreadable", "labels", "by_class")}
    return {**found, "counts": json.dumps(counts)}


def of_engines(cache: Path) -> dict[str, Any]:
    """Give the engines, without the time that they took, and whatever a build has left behind."""
    folder, found = cache / "engines", {}
    for manifest in sorted(folder.glob("*/manifest.json")):
        content = json.loads(manifest.read_text())
        found[manifest.parent.name] = json.dumps([content["identity"], content["files"]], sort_keys=True)
    left = [file.name for file in folder.iterdir() if file.name.startswith(".building-")]
    assert found and not left, left
    return found


def train(*knobs: str, more: Callable[[World], Words] = lambda world: []) -> Callable[[World, Path], Words]:
    def words(world: World, out: Path) -> Words:
        taught = ["--teacher", world.teacher, *sets(*TINY, *LOOKS, *knobs)]
        return ["train", *world.data(), *taught, *more(world), "--out", out]

    return words


def study(command: str, *more: str) -> Callable[[World, Path], Words]:
    def words(world: World, out: Path) -> Words:
        taught = ["--teacher", world.teacher, *sets(*TINY, *LOOKS, *SHORT)]
        return [command, *world.data(), *taught, *more, "--seeds", "0", "--out", out]

    return words


HALF = ("--threshold", "0.5", "--device", "cpu")
OVER = ("--on", "ray", "--incremental", *HALF)


def over_shards(world: World, out: Path) -> Words:
    return [*OVER, "--dataset", "webdataset", "--data-root", world.shards, "--out", out]


COMMANDS: dict[str, Keeping] = {
    "train": Keeping(170, train(OFTEN), resumed, of_run),
    "train, kept now and then": Keeping(60, train(), resumed, of_run),
    "train, with maps": Keeping(110, train("relabel.teacher=maps", OFTEN), resumed, of_run, cold=True),
    "train, with known labels": Keeping(80, train(OFTEN, more=lambda world: ["--known", world.known]), resumed, of_run),
    "train, another system": Keeping(40, train(more=lambda world: ["--system", "epr"]), resumed, of_run),
    "train, with DALI": Keeping(20, train("views.backend=dali"), resumed, of_run),
    "label": Keeping(
        90, lambda w, out: ["label", *w.looked_at(), "--out", out], over_it, files_in, "labels.csv", whole=True
    ),
    "label into a folder": Keeping(
        40,
        lambda w, out: ["label", *w.looked_at(), "--format", "fiftyone", "--out", out],
        instead,
        files_in,
        "labels",
        whole=True,
    ),
    "label by a run": Keeping(
        50,
        lambda w, out: ["label", "--run", w.trained, "--data-root", w.photographs, "--out", out],
        over_it,
        files_in,
        "labels.parquet",
        whole=True,
    ),
    "label over shards": Keeping(
        90,
        lambda w, out: ["label", *w.looked_at(), *over_shards(w, out)],
        the_same,
        of_shards,
        code=2,
    ),
    "label over shards by a run": Keeping(
        30,
        lambda w, out: ["label", "--run", w.trained, *over_shards(w, out)],
        the_same,
        of_shards,
        code=2,
    ),
    "predict": Keeping(
        60,
        lambda w, out: ["predict", w.trained, w.photographs / "images", "--out", out],
        over_it,
        files_in,
        "found.jsonl",
        whole=True,
    ),
    "predict over shards": Keeping(
        40,
        lambda w, out: ["predict", w.trained, w.shards, *OVER, "--out", out],
        the_same,
        of_shards,
        code=2,
    ),
    "review": Keeping(
        30,
        lambda w, out: ["review", w.trained, "--format", "both", "--out", out / "review"],
        the_same,
        files_in,
        makes_it=False,
    ),
    "export": Keeping(
        20,
        lambda w, out: [
            "export",
            w.trained,
            "--format",
            "safetensors",
            "--out",
            out / "student.safetensors",
            "--overwrite",
        ],
        the_same,
        files_in,
        makes_it=False,
    ),
    "build-engines": Keeping(
        20,
        lambda w, out: [
            "build-engines",
            "--teacher",
            w.teacher,
            "--runtime",
            "onnxruntime",
            "--device",
            "cpu",
            "--images",
            w.photographs / "images",
            "--classes",
            w.photographs / "classes.txt",
        ],
        the_same,
        of_engines,
        name="cache",
        cold=True,
    ),
    "compare": Keeping(30, study("compare", "--frozen", "--systems", "an,ccd"), the_same, of_study),
    "ablate": Keeping(20, study("ablate", "--tables", "classes"), the_same, of_study),
}
"""The shares are of a thousand; much state, many kills."""
