"""``--on ray`` of ``label`` and ``predict``: over shards, on a cluster; see :mod:`ccd_fast.cluster`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ccd_fast.cli import options, screen
from ccd_fast.errors import RunError, UserError, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ccd_fast.cluster.passes import Run
    from ccd_fast.cluster.steps import Job, Verdict
    from ccd_fast.recipes import Recipe

On = Annotated[
    str | None,
    typer.Option(
        metavar="ray|ray://HOST:PORT",
        help="Over shards on a cluster: tar shards, Parquet files of photographs or their paths (--dataset parquet), "
        "or a folder, on a disk that all machines see or at s3://, gs:// and the like; --out is then a folder of "
        "Parquet files, one a shard (docs/SCALE.md). Needs pip install 'ccd_fast[ray]'.",
    ),
]
Incremental = Annotated[
    bool, typer.Option("--incremental", help="With --on: go on with what is in --out; what is there is not done again.")
]
Actors = Annotated[
    int | None, typer.Option(min=1, help="With --on: processes, each with its engine; by default all that fit.")
]
CpusPerActor = Annotated[float, typer.Option(min=0.1, help="With --on: cores that each of them takes.")]
GpusPerActor = Annotated[
    float | None,
    typer.Option(
        min=0, help="With --on: GPUs that each of them takes, also a part, 0.5; by default 1 where there are."
    ),
]
KeepTop = Annotated[
    int | None,
    typer.Option(
        min=1, help="With --on: write the likeliest so many numbers of a photograph, not those of all classes."
    ),
]


@dataclass(frozen=True)
class Asked:
    """What the command line says of the cluster.

    Attributes:
        on: the value of ``--on``.
        incremental: see :data:`Incremental`.
        overwrite: begin anew.
        actors: see :data:`Actors`.
        cpus: cores of each.
        gpus: of each.
        device: where the networks run.
        keep_top: see :data:`KeepTop`.
        as_json: print the summary as JSON.
    """

    on: str
    incremental: bool
    overwrite: bool
    actors: int | None
    cpus: float
    gpus: float | None
    device: str
    keep_top: int | None
    as_json: bool


def refuse_without(on: str | None, **given: object) -> None:
    """Refuse options that mean something with ``--on`` only.

    Raises:
        UserError: one was given.
    """
    if on is None and (names := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]):
        raise UserError(f"{', '.join(names)}: with --on ray only")


def refuse_with(on: str, **given: object) -> None:
    """Refuse options that need all photographs at once, or write something else than Parquet.

    Raises:
        UserError: one was given.
    """
    if names := [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, False)]:
        raise UserError(f"{', '.join(names)}: not with --on {on}, which writes Parquet, a file a shard, as it comes")


def label(
    asked: Asked,
    data_root: Path,
    dataset: str,
    out: Path,
    classes: Path | None,
    run: Path | None,
    limits: "NDArray[np.float32]",
    recipe: str,
    overrides: list[str],
) -> None:
    """Label over shards.

    Raises:
        UserError: something that was asked for cannot be had.
        RunError: shards could not be done; what was done is kept.
    """
    from ccd_fast.cluster import passes
    from ccd_fast.cluster.steps import Verdict
    from ccd_fast.cluster.storage import Place, address
    from ccd_fast.datasets.folder import read_class_names
    from ccd_fast.outputs import origin
    from ccd_fast.recipes import config

    plan: dict[str, Any]
    if run is not None:
        prompts, knobs = _prompts_of(run), origin.origin(run)[1]
        plan = {"what": "label", "run": str(run.resolve())}
    else:
        assert classes is not None  # the command has seen to it
        prompts, knobs = read_class_names(classes), config.load(recipe, overrides)
        plan = {"what": "label", "run": None}
    if knobs.compat == "official":
        raise UserError("compat = 'official': one process on the CPU only, without --on")
    verdict = Verdict(_settled(limits, knobs, prompts, run), top=asked.keep_top)
    plan["recipe"] = knobs.model_dump()
    job, going = _begin(asked, Place(address(data_root)), Place(address(out)), prompts, dataset, plan, verdict)
    if run is not None:
        found = passes.labels_by_run(going, run.resolve(), knobs, verdict)
    else:
        found = passes.first_labels(going, knobs, verdict)
    _show(found, job, asked)


def _settled(
    limits: "NDArray[np.float32]", recipe: "Recipe", prompts: tuple[str, ...], run: Path | None
) -> "NDArray[np.float32]":
    """Fill limits that were not given with the recipe's, or with those that the run has chosen.

    Raises:
        UserError: they are to be found over all photographs at once.
    """
    import numpy as np

    from ccd_fast.outputs import trained
    from ccd_fast.prompts import names_of
    from ccd_fast.runs.folder import OF_LABELS, OF_LABELS_ALONE

    if not np.isnan(limits).any():
        return limits
    own = recipe.evaluate.threshold
    kept = None
    if run is not None:  # a shard's photographs are not drawn together
        kept = trained.kept_thresholds(run, "best", OF_LABELS_ALONE) or trained.kept_thresholds(run, "best", OF_LABELS)
    if own == "auto" and kept is None:
        raise UserError(
            "--on: give --threshold, or --thresholds for every class: without one, thresholds are found over all "
            "photographs at once; label some thousands without --on to see what they are"
        )
    names = [names_of(prompt_name)[0] for prompt_name in prompts]
    others = np.array([own if own != "auto" else (kept or {})[name] for name in names], dtype=np.float32)
    return np.where(np.isnan(limits), others, limits)


def predict(
    asked: Asked,
    run: Path,
    paths: list[str],
    checkpoint: str,
    out: Path | None,
    top_k: int | None,
    threshold: float | None,
) -> None:
    """Predict over shards.

    Raises:
        UserError: something that was asked for cannot be had.
        RunError: shards could not be done; what was done is kept.
    """
    import numpy as np

    from ccd_fast.cluster import passes
    from ccd_fast.cluster.steps import Verdict
    from ccd_fast.cluster.storage import Place, address
    from ccd_fast.outputs import origin, trained

    if out is None:
        raise UserError(f"--on {asked.on}: give --out FOLDER, where the tables go, one a shard")
    if len(paths) != 1 or paths[0] == "-":
        raise UserError(f"--on {asked.on}: name one folder, of tar shards, of Parquet files or of photographs")
    recipe, prompts = origin.origin(run)[1], _prompts_of(run)
    if recipe.compat == "official":
        raise UserError("compat = 'official': one process on the CPU only, without --on")
    limits = trained.load(run, checkpoint).thresholds(threshold).numpy()
    least = np.zeros_like(limits) if top_k is not None and threshold is None else limits
    verdict = Verdict(least, top_k, asked.keep_top)
    plan = {"what": "predict", "run": str(run.resolve()), "checkpoint": checkpoint}
    places = Place(address(paths[0])), Place(address(out))
    job, going = _begin(asked, *places, prompts, None, plan, verdict)
    _show(passes.predictions(going, run.resolve(), checkpoint, verdict), job, asked)


def _begin(
    asked: Asked,
    source: Any,
    out: Any,
    prompts: tuple[str, ...],
    dataset: str | None,
    plan: Mapping[str, Any],
    verdict: "Verdict",
) -> tuple["Job", "Run"]:
    """Find the shards, settle the output, connect to the cluster."""
    from ccd_fast.cluster import output, pool, shards
    from ccd_fast.cluster.passes import Run
    from ccd_fast.cluster.steps import Job

    job = Job(source, out, prompts, asked.device, max(1, int(asked.cpus)))
    parts = shards.find(source, dataset)
    told = {**plan, "source": source.at, "dataset": dataset, "classes": list(prompts)}
    told |= {"limits": verdict.limits.tolist(), "most": verdict.most, "top": verdict.top}
    actors = pool.connect(pool.Pool(asked.on, asked.actors, asked.cpus, asked.gpus, asked.device))
    output.begin(out, {**told, "parts": shards.digest(parts)}, asked.incremental, asked.overwrite)
    _say(f"{len(parts)} shards, {actors.actors} actors of {actors.cpus:g} cores and {actors.gpus or 0:g} GPUs")
    return job, Run(job, parts, partial(pool.over, actors), _say)


def _prompts_of(run: Path) -> tuple[str, ...]:
    from ccd_fast.outputs import origin
    from ccd_fast.runs import RunFolder

    return tuple(RunFolder(run).read_json("run.json").get("prompt_names", origin.class_names_of(run)))


def _say(line: str) -> None:
    typer.echo(printable(line), err=True)


def _show(found: Mapping[str, Any], job: "Job", asked: Asked) -> None:
    """Print the summary; the exit code is 2 where a photograph or a shard could not be read.

    Raises:
        Exit: something could not be read.
    """
    if asked.as_json:
        typer.echo(json.dumps({**found, "out": job.out.at}))
    else:
        table = Table()
        table.add_column("class", overflow="fold")
        table.add_column("photographs", justify="right")
        for name, count in found["by_class"].items():
            table.add_row(Text(printable(name)), f"{count:,}")
        screen.show(table)
        _say(
            f"{found['shards']:,} shards, {found['photographs']:,} photographs, {found['unreadable']:,} of them "
            f"unreadable, {found['labels']:,} labels; written to {job.out.at}"
        )
    for reason in found["damaged_shards"].values():
        options.warn(reason)
    if not found["shards"]:
        raise RunError(f"{job.source.at}: no shard could be read")
    if found["unreadable"] or found["damaged_shards"]:
        raise typer.Exit(2)
