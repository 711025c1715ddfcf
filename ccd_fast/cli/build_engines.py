"""``ccd-fast build-engines``."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from ccd_fast.cli import options, screen

if TYPE_CHECKING:
    import torch

    from ccd_fast.teacher import Clip

PARITY = {
    "images": "images",
    "cosine min": "cosine_min",
    "mean": "cosine_mean",
    "top-1 changed": "top1_changed",
    "shift": "score_shift",
}


def build_engines(
    teacher: options.Teacher = None,
    image_size: Annotated[
        int | None, typer.Option(min=16, help="Side of the square input in pixels; by default the teacher's own.")
    ] = None,
    runtime: Annotated[
        Literal["auto", "tensorrt", "onnxruntime"],
        typer.Option(help="What to build for; the runtime torch needs nothing built."),
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "fp16", "bf16"], typer.Option(help="auto is fp16 on a GPU and fp32 on a CPU.")
    ] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Views in one call; by default the recipe's. A plan is built for it.")
    ] = None,
    device: options.Device = "auto",
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Photographs to compare on, also where the engine is there already; by default drawn scenes.",
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Class names to compare on, one a line; by default those of the demo."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build it anew even if it is there.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the engines that are kept, and stop.")] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY|all", help="Remove an engine by its key or its beginning, or all; stop."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    dataset: options.Dataset = "folder",
    recipe: options.RecipeOfTheData = None,
    set_: options.Set = None,
    debug: options.Debug = False,
) -> None:
    """Build a teacher's engine ahead of time, and compare it with open_clip. `train` does it too where it is missing.

    With nothing given it is the one that `train` takes for photographs of your own, with --dataset that of a data set.
    Engines are kept under `$CCD_CACHE`, by default `~/.cache/ccd_fast`. One whose embeddings differ from open_clip's
    by more than its precision explains is refused.

    Example: `ccd-fast build-engines --teacher ViT-B-32/laion2b_s34b_b79k --runtime onnxruntime`
    """
    from ccd_fast import engines
    from ccd_fast.datasets import whereabouts
    from ccd_fast.recipes import config
    from ccd_fast.teacher import class_embeddings, load_clip
    from ccd_fast.teacher.checked_engines import build_checked

    store = engines.Store()
    if remove:
        for line in _remove(store, remove):
            typer.echo(line, err=as_json)
    if remove or list_:
        _show_store(store, as_json)
        return
    overrides = list(set_ or [])
    named = {"teacher.model": teacher, "teacher.image_size": image_size, "teacher.batch_size": batch_size}
    named |= {"teacher.runtime": runtime, "teacher.precision": precision}
    overrides += [f"{k}={v if isinstance(v, int) else options.quoted(v)}" for k, v in named.items() if v is not None]
    knobs = config.load(recipe or whereabouts.recipe_of(dataset), overrides).teacher
    device = options.where(device)
    clip = load_clip(knobs.model, knobs.image_size, options.warn)
    names, views = _to_compare(clip, images, classes)
    rows = engines.batch_size(knobs.batch_size, knobs.runtime, device, clip.tower.image_size)
    built = build_checked(
        clip,
        engines.settings(knobs.runtime, knobs.precision, rows, device),
        store,
        class_embeddings(clip, names, knobs.templates),
        views,
        force,
        anew=images is not None,
    )
    options.tell_where()
    if as_json:
        typer.echo(json.dumps(_entry(store, built.file.parent.name)))
        return
    done = f"built in {built.seconds:.1f} s" if built.fresh else "was there already"
    way = f"{built.settings.runtime}, {built.settings.precision}"
    typer.echo(f"{clip.name}, {clip.tower.image_size} px, {way}: {done}: {built.file}")
    if targets := _targets(_entry(store, built.file.parent.name)):
        typer.echo(f"the plan is for {targets}")
    if built.parity is None:
        typer.echo(f"not compared with open_clip: {built.why_no_parity}")
        return
    before = "" if built.fresh or images else " (compared when it was built)"
    counts = f"{built.parity.images} images and {built.parity.classes} classes"
    typer.echo(f"against open_clip in fp32, on {counts}{before}:")
    table = Table()
    for column in PARITY:
        table.add_column(column, justify="right")
    table.add_row(*_figures(vars(built.parity)))
    screen.show(table)


def _to_compare(
    clip: "Clip", images: Path | None, classes: Path | None
) -> tuple[tuple[str, ...], "Callable[[int], torch.Tensor]"]:
    """Give class names, and the teacher's views of as many images as are asked for: the user's, or drawn scenes."""
    import torch

    from ccd_fast.datasets import folder
    from ccd_fast.demo import story
    from ccd_fast.demo.objects import CLASS_NAMES
    from ccd_fast.errors import UserError
    from ccd_fast.runs import Stages
    from ccd_fast.training.standard import first_views
    from ccd_fast.views import open_backend

    if images is not None and not images.is_dir():
        raise UserError(f"--images {images}: no such folder")
    names = folder.read_class_names(classes) if classes else CLASS_NAMES
    root = images or story.draw(0, Stages(Console(stderr=True)), 50, 20).root
    found = folder.unlabelled(root, names)
    return names, lambda count: first_views(found, clip, open_backend("auto", torch.get_num_threads()), count)


def _remove(store: Any, keys: list[str]) -> Iterator[str]:
    """Remove engines; gives a line for each."""
    from ccd_fast.errors import UserError, nearest

    there = store.keys()
    for wanted in there if keys == ["all"] else keys:
        found = [key for key in there if wanted and key.startswith(wanted)]
        if len(found) != 1:
            problem = "no such engine" if not found else f"{len(found)} engines begin so"
            raise UserError(f"--remove {wanted}: {problem}; see --list" + nearest(wanted, there))
        entry = _entry(store, found[0])
        store.remove(found[0])
        yield f"removed {found[0]}: {_teacher(entry)}, {entry['bytes'] / 2**20:.0f} MiB"


def _entry(store: Any, key: str) -> dict[str, Any]:
    """Give what is known of an engine; of one that is damaged, why it cannot be used."""
    facts = {"key": key, "bytes": store.size(key)}
    if damage := store.problem(key):
        return {**facts, "damaged": damage}
    return {**facts, **store.manifest(key)}


def _teacher(entry: dict[str, Any]) -> str:
    identity = entry.get("identity", {})
    if "damaged" in entry:
        return "damaged"
    return str(identity.get("teacher") or f"student {identity.get('student', '?')}")


def _targets(entry: dict[str, Any]) -> str:
    """Name the cards that a plan is for: the one that was there, or compute capabilities; empty for other engines."""
    target = entry.get("identity", {}).get("target", {})
    return str(target.get("gpu") or ", ".join(target.get("capabilities", [])))


def _show_store(store: Any, as_json: bool) -> None:
    entries = [_entry(store, key) for key in store.keys()]  # noqa: SIM118 - a store is no dictionary
    if as_json:
        typer.echo(json.dumps(entries))
        return
    table = Table(title=f"engines in {store.folder}")
    for column in ("key", "teacher", "px", "kind", "MiB", *PARITY):
        right = column in ("px", "MiB", *PARITY)
        table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=column == "key")
    for entry in entries:
        identity = entry.get("identity", {})
        kind = [str(identity.get("format", "?")), str(identity.get("precision", "?")), _targets(entry)]
        parities = list(entry.get("parity", {}).values())
        row = (
            entry["key"][:8],
            _teacher(entry),
            str(identity.get("image_size", "?")),
            " ".join(kind).strip(),
            f"{entry['bytes'] / 2**20:.0f}",
        )
        table.add_row(*row, *(_figures(parities[0]) if parities else ["–"] * len(PARITY)))
    screen.show(table)
    engines = "1 engine" if len(entries) == 1 else f"{len(entries)} engines"
    typer.echo(
        f"{engines}, {sum(e['bytes'] for e in entries) / 2**20:.0f} MiB; –: what another engine is built from, or not "
        "compared here"
    )
    for entry in entries:
        if "damaged" in entry:
            typer.echo(entry["damaged"])


def _figures(parity: dict[str, Any]) -> list[str]:
    forms = {"images": "d", "top1_changed": ".1%"}
    return [format(parity[name], forms.get(name, ".6f")) for name in PARITY.values()]
