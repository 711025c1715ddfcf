"""``ccd-fast export``."""

from pathlib import Path
from typing import Annotated

import typer
from rich import filesize

from ccd_fast.cli import completion, options


def export(
    run: options.Run,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER", help="By default student.onnx, .plan or .safetensors, or triton/student, in RUN."
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            autocompletion=completion.export_formats,
            help="onnx; plan, for TensorRT; triton, a model's folder for NVIDIA's Triton Inference Server; or "
            "safetensors: the backbone in timm's names, and the head beside it.",
        ),
    ] = "onnx",
    checkpoint: options.Checkpoint = "best",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    debug: options.Debug = False,
) -> None:
    """Write a trained student for other programs.

    The ONNX file takes uint8 pixels (pictures, height, width, RGB) and gives probabilities, logits and the class
    activation maps; class names, size and filter of the resize, and threshold stand in its metadata. It is compared
    with PyTorch before it gets its name. A model card is written beside it, as .md; into a folder, as card.md.

    Example: `ccd-fast export runs/photos --out photos.onnx`
    """
    from ccd_fast.errors import UserError
    from ccd_fast.outputs import places
    from ccd_fast.runs.free import refuse_no_run
    from ccd_fast.runs.writing import write_whole

    options.each_of([kind], places.STUDENTS, "--format")
    file, ending = places.student(kind, run) if out is None else out, places.STUDENTS[kind]
    if ending and file.suffix != ending:
        raise UserError(f"--out {file}: must end in {ending}, or choose another --format")
    refuse_no_run(run)  # before anything large is loaded

    from ccd_fast import machine
    from ccd_fast.outputs import export as exports
    from ccd_fast.outputs import model_card, trained, triton

    described = places.card(kind, file)
    model_card.refuse_another_text(described, overwrite)
    machine.keep_freed_memory()
    model = trained.load(run, checkpoint)
    card = model_card.card(run, model, checkpoint, file)
    write = {**exports.FORMATS, "triton": triton.export_triton}[kind]
    written = write(model, file, overwrite)
    write_whole(described, card.encode())
    for path in (*written.files, described):
        typer.echo(f"{path}: {filesize.decimal(path.stat().st_size)}")
    if written.errors:
        errors = ", ".join(f"{name} {error:.1e}" for name, error in written.errors.items())
        typer.echo(f"largest relative difference from PyTorch: {errors}")
