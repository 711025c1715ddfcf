"""What a run says of itself in ``run.json``, and whether a run that is to go on is still the one that it describes."""

import hashlib
import json
from pathlib import Path
from typing import Any

from ccd_fast import machine
from ccd_fast.datasets import ImageSet, Source
from ccd_fast.errors import UserError
from ccd_fast.labels import known, on_disk
from ccd_fast.labels.known import Matrix
from ccd_fast.recipes import Recipe, config
from ccd_fast.runs import RunFolder
from ccd_fast.runs.told import SUPERVISION
from ccd_fast.training.state import Parts
from ccd_fast.training.steps import could_differ

FILE = "run.json"
TEACHER = "weights of the teacher"
ANOTHER = "--resume: the data set is not the one that the run began with"


def describe(parts: Parts, source: Source, command: str) -> dict[str, Any]:
    """Say what a run is: its data set, by digests too, its engine, and where it runs."""
    files = {
        "root": source.root,
        "classes": source.classes,
        "truth": source.truth,
        "boxes": source.boxes,
        "known": source.known,
    }
    return {
        "command": command,
        "dataset": source.dataset,
        **{name: str(file.resolve()) if file else None for name, file in files.items()},
        "class_names": list(parts.images.class_names),
        "prompt_names": list(parts.images.prompt_names),
        "kinds": _kinds(parts),
        "images": {"train": len(parts.images), "test": len(parts.test) if parts.test else 0},
        "digests": _digests(parts),
        "system": parts.recipe.system.name,
        **({} if parts.known is None else {SUPERVISION: _record(parts.known)}),
        "teacher": parts.recipe.teacher.model,
        "engine": parts.passes.engine,
        "student_runtime": parts.passes.student_runtime,
        "views": parts.passes.reading.backend.name,
        **_place(parts),
    }


def note_supervision(parts: Parts, source: str, matrix: Matrix) -> None:
    """Add to ``run.json`` what the method was told of the labels, once it is known."""
    described = parts.folder.read_json(FILE)
    parts.folder.write_json(FILE, {**described, SUPERVISION: {"source": source, **_record(matrix)}})


def _record(matrix: Matrix) -> dict[str, Any]:
    return {**known.counts(matrix), "digest": known.digest(matrix)}


def as_it_began(recipe: Recipe, run: Path) -> Recipe:
    """Give a recipe whose student runs on what it ran on when a run began, where only the number of epochs is another.

    ``auto`` goes by the number of looks, which the epochs change.
    """
    began = RunFolder(run).read_json(FILE).get("student_runtime", "torch")
    if recipe == config.of_run(run) or recipe.student.runtime != "auto":
        return recipe
    return recipe.model_copy(update={"student": recipe.student.model_copy(update={"runtime": began})})


def note_epochs(parts: Parts) -> None:
    """Keep another number of epochs than the run had so far, and forget that it has ended."""
    stored = config.of_run(parts.folder.path)
    if stored == parts.recipe:
        return
    parts.stages.say(f"train.epochs = {parts.recipe.train.epochs} from here on; it was {stored.train.epochs}")
    parts.folder.write_text("recipe.toml", parts.recipe.dumps())
    parts.folder.remove_summary()


def _for_as_long(recipe: Recipe, epochs: int) -> Recipe:
    """Give a recipe with another number of epochs."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": epochs})})


def note_resumed(parts: Parts, command: str) -> None:
    """Add to ``run.json`` where a run goes on: processes, device and machine may be others than before."""
    described = parts.folder.read_json(FILE)
    before = described.get("resumed", [])
    parts.folder.write_json(FILE, {**described, "resumed": [*before, {"command": command, **_place(parts)}]})


def refuse_another(parts: Parts) -> None:
    """Refuse to go on with another recipe, runtime, teacher or data set than the run began with.

    The number of epochs may be another.

    Raises:
        UserError: it says what differs.
    """
    stored = _for_as_long(config.of_run(parts.folder.path), parts.recipe.train.epochs)
    if stored != parts.recipe:
        here, there = parts.recipe.dumps().splitlines(), stored.dumps().splitlines()
        differing = next((a for a, b in zip(here, there, strict=False) if a != b), "")
        raise UserError(f"--resume: the recipe is not that of the run: {differing!r} differs")
    described = parts.folder.read_json(FILE)
    began, now = described.get("student_runtime", "torch"), parts.passes.student_runtime
    if began != now:
        raise UserError(f"--resume: the run began with the student on {began}, which would be on {now} here")
    eyes, own = (str(name).split(",")[0] for name in (described.get("views", ""), parts.passes.reading.backend.name))
    if eyes and eyes != own:
        raise UserError(
            f"--resume: the run began with views by {eyes}, which would be by {own} here, with other pixels: go on "
            f"where {eyes} is installed"
        )
    if parts.folder.has_state() and (changed := _changes(parts)):
        raise UserError(f"{ANOTHER}: {changed}")
    digests = _digests(parts)
    for what, before in described.get("digests", {}).items():
        if digests.get(what) != before:
            raise UserError(
                "--resume: the teacher's weights are not those that the run began with"
                if what == TEACHER
                else f"{ANOTHER}: other {what}"
            )


def _changes(parts: Parts) -> str:
    """Say how images and classes differ from those that the run began with, with the first of them; or nothing."""
    paths = on_disk.words(parts.folder.path / on_disk.name_of(0), "path")
    classes = parts.folder.read_json(FILE)["class_names"]
    began = {"images": paths, "classes": classes}
    now = {"images": list(parts.images.paths), "classes": list(parts.images.class_names)}
    if began == now:
        return ""
    said = []
    for what, before in began.items():
        gone, new = sorted(set(before) - set(now[what])), sorted(set(now[what]) - set(before))
        for names, verb in ((gone, "gone"), (new, "new")):
            said += [f"{len(names)} {what} {verb}, the first {names[0]!r}"] if names else []
    return "; ".join(said) or "the same names in another order"


def _digests(parts: Parts) -> dict[str, str]:
    """Give a digest of all that labels and figures depend on, by what a person would call it."""
    tower = parts.passes.tower
    found = {} if tower is None else {TEACHER: tower.weights_hash}
    if kinds := _kinds(parts):
        found["kinds of broad class names"] = _digest(json.dumps(kinds).encode())
    if parts.known is not None:
        found["labels that were told"] = known.digest(parts.known)
    for images in (parts.images, parts.test):
        if images is not None:
            found |= _digests_of(images)
    return found


def _kinds(parts: Parts) -> dict[str, list[str]]:
    """Give the kinds that are asked for too, by the names of their classes."""
    beside = parts.recipe.teacher.kinds_beside(parts.images.prompt_names)
    return {name: list(kinds) for name, kinds in beside.items()}


def _digests_of(images: ImageSet) -> dict[str, str]:
    """Give digests of a split's paths, in order, its files' sizes, what prompts call the classes, the known labels."""
    names = {
        f"{images.split} images": images.paths,
        f"files of the {images.split} images, by their sizes": [_size(file) for file in images.files_of_all()],
        "class or prompt names": (*images.class_names, *images.prompt_names),
    }
    found = {what: _digest("\n".join(each).encode("utf-8", "surrogateescape")) for what, each in names.items()}
    if images.truth is not None:
        found[f"known labels of the {images.split} images"] = _digest(images.truth.tobytes() + images.known.tobytes())
    return found


def _size(file: Path) -> str:
    """Give a file's size in bytes; nothing where there is none, or where it is in a shard."""
    try:
        return str(file.stat().st_size)
    except OSError:
        return ""


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _place(parts: Parts) -> dict[str, Any]:
    """Say on what a run runs, and what that means for its figures."""
    return {
        "training": {
            "precision": parts.trainer.precision,
            "compiled": parts.trainer.compiled,
            "processes": parts.folder.ranks.size,
            **({"batch_norm_statistics": parts.trainer.batch_norm} if parts.trainer.batch_norm else {}),
        },
        "device": str(parts.trainer.device),
        "could_differ": could_differ(parts.trainer, parts.folder.ranks),
        "machine": machine.describe(),
    }
