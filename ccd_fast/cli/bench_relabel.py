"""``ccd-fast bench relabel``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from ccd_fast.cli import options, screen


def relabel(
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of photographs; by default scenes of the demo world, drawn once.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names, one a line; by default those of PASCAL VOC.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Images at most; all of them are held in memory, decoded.")] = 128,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER", help="As for train, or ARCHITECTURE/random; by default the demo's CLIP."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops in a call of the engine.")] = 16,
    student: Annotated[str, typer.Option(help="Any CNN of timm.")] = "tf_efficientnet_lite0",
    student_weights: Annotated[str, typer.Option(help="none (drawn), imagenet, or a file in timm's names.")] = "none",
    image_size: Annotated[int, typer.Option(min=16, help="Side of the student's view in pixels.")] = 224,
    student_runtime: Annotated[
        Literal["auto", "torch", "onnxruntime"],
        typer.Option(help="What runs the student in the pass; auto is what a long run takes."),
    ] = "auto",
    runtime: Annotated[str, typer.Option(help="Of the teacher's engine: auto, or as for bench engine.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="Of the teacher's engine: auto (fp32 on a CPU, fp16 on a GPU), fp32, fp16 or bf16.")
    ] = "auto",
    device: options.Device = "auto",
    views: Annotated[str, typer.Option(help="auto, dali or pillow.")] = "auto",
    maps_size: Annotated[
        int | None, typer.Option(min=16, help="Side of the view that maps are of; by default the teacher's own.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure a whole relabel pass: photographs, CAM, boxes, crops, teacher, labels.

    Beside it, in turn: a pass from maps (relabel.teacher = "maps"), the first and a later one; the engine alone on the
    same crops, each stage alone, and the bare library call of each.

    Example: `ccd-fast bench relabel --data-root photos --teacher ViT-B-32/random`
    """
    options.refuse_taken(out, overwrite)
    from ccd_fast import machine
    from ccd_fast.bench.load import open_load
    from ccd_fast.bench.relabel import measure_relabel
    from ccd_fast.datasets.folder import read_class_names
    from ccd_fast.datasets.voc import CLASS_NAMES
    from ccd_fast.demo import drawing, tiny_clip
    from ccd_fast.engines import PRECISIONS
    from ccd_fast.runs import Stages

    device = options.where(device)
    machine.keep_freed_memory()  # as a run does
    names = read_class_names(classes) if classes else CLASS_NAMES
    options.each_of([views], ["auto", "dali", "pillow"], "--views")
    options.each_of([precision], ["auto", *PRECISIONS], "--precision")
    root = data_root or drawing.draw(0, Stages(Console(stderr=True)), images, 0).root
    judge = teacher or str(tiny_clip.install())
    load = open_load(
        *(root, images, names, judge, batch_size, student, student_weights, image_size, views, student_runtime),
        *(device, runtime, precision),  # type: ignore[arg-type]
    )
    options.tell_where()
    result = measure_relabel(load, repeats, maps_size)
    if not json_:
        show(result)
    options.give({"benchmark": "relabel", **result}, out, json_)


def show(result: dict[str, Any]) -> None:
    """Print the pass and its ratios in lines, and its stages as a table."""
    whole, unmoved, engine = result["pass"], result["boxes_unmoved"], result["engine"]
    console = screen.console()
    what = (
        f"teacher {result['teacher']} at {result['teacher_image_size']} pixels, student {result['student']} at "
        f"{result['image_size']}, {result['classes']} classes; on {result['device']}, views by {result['views']}, "
        f"medians of {whole['n']} rounds"
    )
    console.print(what, markup=False, soft_wrap=True)
    table = Table(title=f"{result['images']} images, {result['distinct_crops']} crops of {result['crops']} asked for")
    for column in ("stage, alone", "ms an image", "share of the sum", "over the bare call"):
        table.add_column(column, justify="left" if column.startswith("stage") else "right")
    for row in result["stages"]:
        over = f"{row['over_bare']:.2f}" if "over_bare" in row else ""
        table.add_row(
            row["stage"], f"{1e3 * row['median_s'] / result['images']:.2f}", f"{row['share_of_sum']:.0%}", over
        )
    screen.show(table)
    for line in (
        f"pass: {whole['images_per_s']:.1f} images/s, {whole['crops_per_s']:.1f} crops/s; the student runs on "
        f"{result['student_runtime']}",
        f"engine alone ({engine['runtime']}, {engine['precision']}): {result['engine_alone']['crops_per_s']:.1f} "
        f"crops/s, {result['flops']['engine'] / 1e9:.0f} GFLOP/s, {result['of_matmul']['engine']:.0%} of a matrix "
        f"product; the pass runs at {result['efficiency']:.0%} of it, and at {result['efficiency_of_both']:.0%} of "
        "engine and student one after the other",
        *_steadily(result),
        f"pass over the sum of its stages alone: {result['pass_over_sum']:.2f}",
        f"boxes unmoved, all scores in the cache: {unmoved['images_per_s']:.1f} images/s, "
        f"{unmoved['times_as_fast']:.2f} times as fast",
        _from_maps(result["maps"]),
    ):
        console.print(line, markup=False, soft_wrap=True)


def _steadily(result: dict[str, Any]) -> list[str]:
    """Say the rate between a short pass and the whole one, where the passes are long enough for it."""
    steady = result["steady"]
    if steady is None:
        return []
    near = steady["crops_per_s"] / result["engine_alone"]["crops_per_s"]
    return [
        f"without what begins and ends a pass: {steady['images_per_s']:.1f} images/s, {steady['crops_per_s']:.1f} "
        f"distinct crops/s, {near:.0%} of the engine alone"
    ]


def _from_maps(maps: dict[str, Any]) -> str:
    """Say what passes from maps take, or why there are none."""
    if "why_not" in maps:
        return f"maps: none: {maps['why_not']}"
    all_in_all = maps["times_as_fast_over_all_updates"]
    passes = (
        f"{name} {maps[key]['images_per_s']:.1f} images/s, {maps[key]['times_as_fast']:.2f} times as fast as crops"
        for name, key in (
            ("first pass", "first"),
            ("a later one", "later"),
            ("one with boxes of the training steps", "boxes_of_training"),
        )
    )
    return (
        f"maps of a view of {maps['image_size']} pixels, {maps['bytes_per_image'] / 1024:.0f} KiB an image: "
        f"{'; '.join(passes)}; {maps['updates']} passes in all {all_in_all['later']:.2f} times, with boxes of the "
        f"training steps {all_in_all['boxes_of_training']:.2f}"
    )
