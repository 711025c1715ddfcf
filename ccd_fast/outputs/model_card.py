"""The card of an exported student: what it was made of, how good it is, and what it is not good for."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ccd_fast import __version__
from ccd_fast.errors import UserError, printable
from ccd_fast.evaluation.metrics import said
from ccd_fast.outputs import meaning
from ccd_fast.outputs.export import facts, without_folders
from ccd_fast.outputs.trained import Trained
from ccd_fast.runs import RunFolder
from ccd_fast.runs.told import by_people

UNTOLD = "Its labels come from a CLIP model and nobody has corrected them: what the teacher confuses, it confuses too."
LIMITS = (
    "It was trained on the photographs of one data set; on others it may be worse than the figures say.",
    "It knows the classes above and no others; a photograph of something else gets probabilities of these.",
    "It carries the social biases of its teacher and of the photographs. It is not made to identify or judge people.",
)
"""What a user should know, whatever the run."""
RAW = "Probabilities are scores to sort by, not calibrated frequencies: choose thresholds on photographs that you know."
CALIBRATED = (
    "Probabilities were calibrated on photographs like its own, without test labels: on others they may mean less."
)
TITLE = "# A classifier of "
"""What every card begins with."""
WORST = 5
"""Classes that are named as the hardest."""


def card(run: Path, trained: Trained, checkpoint: str, file: Path) -> str:
    """Give the card of an exported student as Markdown.

    Args:
        run: folder of the run.
        trained: the student.
        checkpoint: which one of the run.
        file: what is exported.
    """
    described, summary, known = RunFolder(run).read_json("run.json"), RunFolder(run).summary(), facts(trained)
    side, images = known["image_size"], described["images"]
    data, told = Path(described["root"]).name, by_people(described)
    table = {
        "file": file.name,
        "network": f"{known['backbone']}, {side} x {side} pixels, resized with {known['resize']['filter']} filter",
        "classes": ", ".join(trained.class_names),
        "threshold": _threshold(trained),
        "data": f"{data}: {images['train']} photographs to train on, {images['test']} to test on; "
        + (f"it was told {told}" if told else "no labels were used"),
        "teacher": known["teacher"],
        "checkpoint": checkpoint
        if summary is None
        else f"{checkpoint}; the run's best is epoch {summary['chosen_epoch']}",
    }
    how = f"told {told}," if told else "without labels"
    title = f"{TITLE}{len(trained.class_names)} classes, trained {how} by ccd_fast {__version__}"
    return "\n".join(
        [
            title,
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {_cell(text)} |" for name, text in table.items()),
            "",
            "## How good it is",
            "",
            *_measured(summary, "student, chosen epoch, test" if checkpoint == "best" else "student, last epoch, test"),
            "",
            *_meaning(run, trained, checkpoint),
            "## Limits",
            "",
            *(
                f"- {line}"
                for line in (*([] if told else [UNTOLD]), *LIMITS, RAW if trained.calibration is None else CALIBRATED)
            ),
            "",
            "## Recipe",
            "",
            "```toml",
            without_folders(trained.recipe).dumps().strip(),
            "```",
            "",
        ]
    )


def refuse_another_text(file: Path, overwrite: bool) -> None:
    """Refuse to write a card over a file that is not one; the card of an earlier export may be replaced.

    Raises:
        UserError: there is such a file, and it may not be replaced.
    """
    if overwrite or not file.exists():
        return
    if not file.is_file() or not file.read_bytes().startswith(TITLE.encode()):
        raise UserError(
            f"{file}: the model card would be written here, and something else is there: choose another --out, or "
            "replace it with --overwrite"
        )


def _measured(summary: Mapping[str, Any] | None, name: str) -> list[str]:
    """Give the student's metrics on test photographs, beside its teacher's; or say that there are none."""
    metrics = {} if summary is None else summary["metrics"]
    if name not in metrics:
        return ["Not measured: the run had no photographs with known labels."]
    student, teacher = metrics[name], metrics.get("zero-shot teacher, test")
    both = {"student": student} | ({"zero-shot teacher": teacher} if teacher else {})
    rows = {"mAP": "mean_average_precision", "CF1": "class_f1", "OF1": "overall_f1"}
    lines = [f"On {student['images']} photographs whose labels are known, in %; F1 at {said(student['threshold'])}."]
    lines += ["", f"| | {' | '.join(both)} |", "|---|" + "---:|" * len(both)]
    lines += [f"| {title} | {' | '.join(_percent(m[key]) for m in both.values())} |" for title, key in rows.items()]
    by_class = sorted(student["average_precision"].items(), key=lambda item: item[1])
    worst = ", ".join(f"{_cell(name)} {_percent(value)}" for name, value in by_class[:WORST])
    return [*lines, "", f"Lowest average precision: {worst}."]


def _meaning(run: Path, trained: Trained, checkpoint: str) -> list[str]:
    found = meaning.measured(run, trained, checkpoint)
    return [] if found is None else [f"On the same photographs: {found.told()}.", ""]


def _threshold(trained: Trained) -> str:
    own = trained.recipe.evaluate.threshold
    if own != "auto":
        return f"{own:g} by default"
    pairs = zip(trained.class_names, trained.thresholds().tolist(), strict=True)
    return "by class, chosen without labels: " + ", ".join(f"{name} {limit:.2f}" for name, limit in pairs)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _cell(text: str) -> str:
    """Give a text as a cell of a table: nothing in it is markup."""
    plain = html.escape(" ".join(printable(text).split()), quote=False)
    return "".join(f"\\{c}" if c in "|`*_[]\\" else c for c in plain)
