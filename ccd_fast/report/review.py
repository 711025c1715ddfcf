"""What of a run is worth a person's minute first: a page to correct it on, and tasks for Label Studio."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray

from ccd_fast.errors import UserError
from ccd_fast.labels import limits
from ccd_fast.outputs import doubts, held_names, label_files, origin, places, trained
from ccd_fast.outputs.doubts import Doubts
from ccd_fast.outputs.labelling import Labelled
from ccd_fast.report.album import Album, open_again
from ccd_fast.runs import RunFolder, Stages
from ccd_fast.runs.writing import write_whole
from ccd_fast.student import Reading, predict

SIDE = 480
"""Longer side of a photograph on the page, in pixels."""
FEW, AT_LEAST, AT_MOST = 10, 6, 12
"""Up to so many classes are all shown, in their own order; of more, those that are likely, within these bounds."""
LIKELY = 0.2
"""A class is likely from this on, on the scale of ``doubts``, where ½ gives it."""


@dataclass(frozen=True)
class Reviewed:
    """The photographs to correct, the first first.

    Attributes:
        album: of the run.
        found: what is doubtful of all its training images.
        rows: which of them are to be looked at.
        told: (N, C) int8, what the run was told; None where that is nothing.
        unreadable: row to reason.
    """

    album: Album
    found: Doubts
    rows: list[int]
    told: NDArray[np.int8] | None
    unreadable: dict[int, str]


def look(run: Path, top: int, stages: Stages, device: str = "cpu") -> Reviewed:
    """Let the student look at the photographs that it was trained on, and find what is doubtful.

    Args:
        run: folder of a run that has ended.
        top: photographs to be looked at, at most.
        stages: shows the progress.
        device: where the student runs.

    Raises:
        UserError: the folder is not a run that has ended, or its photographs are not where they were.
    """
    if RunFolder(run).summary() is None:
        raise UserError(f"{run}: the run has not ended; go on with ccd-fast train --resume --out {run}")
    album = open_again(run, origin.class_names_of(run))
    model, images = album.model, album.images
    with stages.stage("review", len(images)) as stage:
        student = trained.at_work(model, len(images), device)
        reading = Reading(album.backend)
        seen = predict(student, images.files_of_all(), reading, model.recipe.student.image_size, stage)
    told = model.source.entries(images) if model.source.known is not None else None
    settled = ~seen.readable[:, None].expand(seen.probabilities.shape)
    if told is not None:
        settled = settled | torch.from_numpy(told != 0)
    table, there = torch.from_numpy(album.after), seen.readable
    temperature = model.recipe.teacher.temperature
    of_labels = limits.by_class(table[there], temperature=temperature)
    if model.has_thresholds:
        of_student = model.thresholds(raw=True)
    else:
        of_student = limits.by_class(seen.probabilities[there], table[there], temperature=temperature)
    found = doubts.of(doubts.halved(seen.probabilities, of_student), doubts.halved(table, of_labels), settled)
    return Reviewed(album, found, found.first(top), told, seen.unreadable)


def write_page(reviewed: Reviewed, name: str, file: Path) -> list[Path]:
    """Write the page of a run of that name: one file, which needs no server and no network."""
    album, found = reviewed.album, reviewed.found
    names = album.images.class_names
    pictures = dict(album.copies(reviewed.rows, SIDE))
    rows = [row for row in reviewed.rows if row in pictures]
    photos = [
        {
            "path": album.images.paths[row],
            "picture": pictures[row],
            "why": doubts.why(found, row, names),
            "classes": [_class(found, row, c, names[c]) for c in _shown(found, row)],
        }
        for row in rows
    ]
    known = [] if reviewed.told is None else _known(album, reviewed.told)
    key = hashlib.blake2b(f"{name}\n{album.images.root}\n{names}".encode(), digest_size=8).hexdigest()
    data = {"key": f"ccd-fast review {key}", "file": f"{name}-corrections.csv", "names": names, "known": known}
    write_whole(file, render(name, {**data, "photos": photos}).encode())
    return [file]


def render(name: str, data: dict[str, Any]) -> str:
    """Put the page together: nothing in the data is markup, and no script but the page's own runs.

    Args:
        name: of the run.
        data: ``key`` (of what the browser keeps), ``file`` (that is downloaded), ``names`` (of the classes), ``known``
            (rows that are in the file already) and ``photos``.
    """
    folder = resources.files("ccd_fast.report")
    script = folder.joinpath("review.js").read_text(encoding="utf-8")
    page = folder.joinpath("review.html").read_text(encoding="utf-8")
    safe = json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(page).render(
        name=name, count=len(data["photos"]), data=Markup(safe), script=Markup(script), digest=digest
    )


def _class(found: Doubts, row: int, c: int, name: str) -> dict[str, Any]:
    shares = {"student": found.student[row, c], "labels": found.labels[row, c]}
    given = bool(found.likely[row, c] >= doubts.HALF)
    return {"name": name, "given": given, **{who: round(100 * float(share)) for who, share in shares.items()}}


def _shown(found: Doubts, row: int) -> list[int]:
    """Choose the classes that are shown of a photograph: all of a few, each with its own key, else the likeliest."""
    likely = found.likely[row]
    order = likely.argsort(descending=True, stable=True).tolist()
    if len(order) <= FEW:
        return list(range(len(order)))
    return order[: min(max(int((likely >= LIKELY).sum()), AT_LEAST), AT_MOST)]


def _known(album: Album, told: NDArray[np.int8]) -> list[list[str]]:
    """Give what the run was told, as rows of the table that ``--known`` reads."""
    names = np.array(album.images.class_names, dtype=object)
    rows = []
    for row in np.flatnonzero(told.any(axis=1)).tolist():
        present, absent = ("|".join(names[told[row] == sign]) for sign in (1, -1))
        rows.append([album.images.paths[row], present, "*" if told[row].all() else absent])
    return rows


def write_tasks(reviewed: Reviewed, name: str, file: Path) -> list[Path]:  # noqa: ARG001
    """Write Label Studio's tasks in the order of their worth, and the interface beside them; gives both files."""
    album, rows = reviewed.album, reviewed.rows
    paths = tuple(album.images.paths[row] for row in rows)
    images = replace(album.images, paths=paths, truth=None, known=np.zeros(len(rows), dtype=bool), boxes=None)
    table = reviewed.found.likely[rows]
    decided = (table >= doubts.HALF).numpy()
    every = torch.ones(len(rows), dtype=torch.bool)
    own = np.full(table.shape[1], doubts.HALF, dtype=np.float32)
    held_names.refuse("label-studio", images.root, images.paths)
    tasks = label_files.label_studio_tasks(Labelled(images, table, every, {}, "student and labels", own), decided)
    for task, row in zip(tasks, rows, strict=True):
        task["meta"] = {"by": "ccd-fast review"}
        worth = round(float(reviewed.found.worth[row]), 4)
        task["data"] |= {"worth": worth, "why": doubts.why(reviewed.found, row, images.class_names)}
    ordered = [{"meta": task.pop("meta"), **task} for task in tasks]
    write_whole(file, (json.dumps(ordered, ensure_ascii=False, indent=1) + "\n").encode())
    write_whole(places.interface(file), label_files.label_studio_config(images.class_names).encode())
    return [file, places.interface(file)]


WRITERS: dict[str, Callable[[Reviewed, str, Path], list[Path]]] = {"page": write_page, "label-studio": write_tasks}
"""By the name that ``--format`` takes; each is given the name of the run, and gives the files that it wrote."""
