"""Systems side by side on the terminal, what their figures mean first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ccd_fast.cli import screen
from ccd_fast.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccd_fast.evaluation import Comparison


def show(found: Comparison, said: Sequence[str]) -> None:
    """Print a comparison: sentences, a table of the systems, and notes.

    Args:
        found: the figures.
        said: of the photographs and the systems, before the comparison's own sentences.
    """
    from ccd_fast.evaluation.comparison import told

    first = found.metrics[found.first]
    for line in (f"{first.images:,} images; {said[0]}", *found.sentences(), *said[1:]):
        screen.console().print(line, markup=False, soft_wrap=True)
    table = Table(title="in %: mAP, average precision by class, precision and recall")
    table.add_column("class")
    for name in found.metrics:
        table.add_column(name, justify="right")
    table.add_row("mAP", *(f"{100 * share.value:.1f}" for share in found.maps.values()))
    table.add_row("mAP, 95% interval", *(told(share).partition(" ")[2].strip("()") for share in found.maps.values()))
    table.add_section()
    for name in first.average_precision:
        values = [metrics.average_precision.get(name) for metrics in found.metrics.values()]
        table.add_row(Text(printable(name)), *("–" if value is None else f"{100 * value:.1f}" for value in values))
    table.add_section()
    at = f"({first.at})"
    for label, share in (
        (f"precision by class, CP {at}", "class_precision"),
        ("recall by class, CR", "class_recall"),
        ("CF1", "class_f1"),
        ("precision overall, OP", "overall_precision"),
        ("recall overall, OR", "overall_recall"),
        ("OF1", "overall_f1"),
    ):
        table.add_row(label, *(f"{100 * getattr(metrics, share):.1f}" for metrics in found.metrics.values()))
    screen.show(table)
    for note in found.notes():
        screen.console().print(f"- {note}", markup=False, soft_wrap=True)
