"""``ccd-fast bench train``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ccd_fast.cli import options, screen


def train(
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of photographs; by default scenes of the demo world, drawn once.")
    ] = None,
    images: Annotated[int, typer.Option(min=2, help="Images at most.")] = 64,
    student: Annotated[str, typer.Option(help="Any CNN of timm.")] = "tf_efficientnet_lite0",
    student_weights: Annotated[str, typer.Option(help="none (drawn), imagenet, or a file in timm's names.")] = "none",
    image_size: Annotated[int, typer.Option(min=16, help="Side of the student's view in pixels.")] = 224,
    batch_size: Annotated[int, typer.Option(min=2, help="Images in a step.")] = 16,
    precision: Annotated[str, typer.Option(help="As train.precision: auto, fp32, bf16 or fp16.")] = "auto",
    compile_: Annotated[
        bool, typer.Option("--compile", help="As train.compile; its time is not in the rates.")
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER", help="Of the relabel pass: as for bench relabel; by default the demo's CLIP."
        ),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names, one a line; by default those of PASCAL VOC.")
    ] = None,
    views: Annotated[str, typer.Option(help="auto, dali or pillow.")] = "auto",
    device: options.Device = "auto",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 3,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    json_: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure an epoch of training, without and with consistency, and a relabel pass on the same images.

    Operations are counted forward and backward; beside them stands what a matrix product reaches in the same run.

    Example: `ccd-fast bench train --data-root photos --student resnet18`
    """
    options.refuse_taken(out, overwrite)
    from ccd_fast import machine
    from ccd_fast.bench.load import open_load
    from ccd_fast.bench.train import measure_training
    from ccd_fast.datasets.folder import read_class_names
    from ccd_fast.datasets.voc import CLASS_NAMES
    from ccd_fast.demo import drawing, tiny_clip
    from ccd_fast.runs import Stages

    machine.keep_freed_memory()
    device = options.where(device)
    names = read_class_names(classes) if classes else CLASS_NAMES
    options.each_of([views], ["auto", "dali", "pillow"], "--views")
    options.each_of([precision], ["auto", "fp32", "bf16", "fp16"], "--precision")
    root = data_root or drawing.draw(0, Stages(Console(stderr=True)), images, 0).root
    judge = teacher or str(tiny_clip.install())
    load = open_load(root, images, names, judge, 16, student, student_weights, image_size, views, device=device)
    knobs = {"batch_size": batch_size, "precision": precision, "compile": compile_}
    recipe = load.recipe.model_copy(update={"train": load.recipe.train.model_copy(update=knobs)})
    options.tell_where()
    result = measure_training(load, recipe, repeats)
    if not json_:
        show(result)
    options.give({"benchmark": "train", **result}, out, json_)


def show(result: dict[str, Any]) -> None:
    """Print the epochs as a table, and the relabel pass in a line."""
    how = f"{result['precision']}{', compiled' if result['compiled'] else ''}, batch {result['batch_size']}"
    table = Table(title=f"{result['student']}, {result['image_size']} px, {result['images']} images, {how}")
    table.add_column("epoch")
    for column in ("images/s", "pictures", "student", "GFLOP/s", "of matmul"):
        table.add_column(column, justify="right")
    for row in result["epochs"]:
        pictures = row["share"]["decode"] + row["share"]["views"]
        shares = (f"{pictures:.0%}", f"{row['share']['student']:.0%}")
        rate = (f"{row['flops']['epoch'] / 1e9:.1f}", f"{row['of_matmul']['epoch']:.0%}")
        table.add_row(row["epoch"], f"{row['images_per_s']:.1f}", *shares, *rate)
    relabel = result["relabel"]
    console = screen.console()
    screen.show(table)
    for line in (
        f"pictures: reading, decoding and views; matrix product, {result['precision']}: "
        f"{result['matmul_flops'] / 1e9:.0f} GFLOP/s",
        f"an epoch with consistency takes {result['consistency_costs']:.2f} times as long as one without",
        f"relabel pass ({relabel['teacher']} on {relabel['engine']}): {relabel['images_per_s']:.1f} images/s, "
        f"{relabel['crops'] / result['images']:.1f} crops an image; it takes {result['relabel_over_epoch']:.2f} times "
        "as long as an epoch with consistency",
        *_from_maps(result["maps_over_epoch"]),
    ):
        console.print(line, markup=False, soft_wrap=True)


def _from_maps(over: dict[str, float]) -> list[str]:
    """Say what passes from maps take, where the teacher has maps."""
    if not over:
        return []
    return [
        f"from maps that are there it takes {over['later']:.3f} times as long, with boxes of the training steps "
        f"{over['boxes_of_training']:.3f}"
    ]
