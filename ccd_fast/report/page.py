"""One page a run: ``report.html``, which needs nothing but itself.

The page is made of what the run left behind. Only the pictures of the gallery are looked up again; where the
photographs are gone, the page says so.
"""

from importlib import resources
from pathlib import Path

import jinja2

from ccd_fast.report.charts import bars, lines
from ccd_fast.report.facts import Facts, read
from ccd_fast.report.gallery import Corrected, corrections, unseen
from ccd_fast.runs import RunFolder

FILE = "report.html"
PICTURES = 24
"""Photographs in the gallery."""


def write(run: Path, pictures: int = PICTURES, min_positives: int = 0) -> Path:
    """Write the page of a run into its folder.

    Args:
        run: folder of a run that has ended.
        pictures: photographs in the gallery at most, those whose labels changed most.
        min_positives: classes with fewer positives are left out of the figures.

    Returns:
        The page.

    Raises:
        UserError: the folder is not a run, the run has not ended, or it has no classes with so many positives.
    """
    facts = read(run, min_positives)
    shown, why_not = corrections(run, facts, pictures)
    RunFolder(run).write_text(FILE, render(facts, shown, why_not))
    return run / FILE


def render(facts: Facts, shown: list[Corrected], why_not: str = "") -> str:
    """Make the page.

    Args:
        facts: of the run.
        shown: photographs of the gallery.
        why_not: why there are none, where there are none.
    """
    source = resources.files("ccd_fast.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"percent": percent, "number": number}
    page = environment.from_string(source)
    return page.render(
        facts=facts,
        shown=shown,
        why_not=why_not or unseen(facts),
        progress=lines(facts.curves, facts.epochs),
        bias=bars([bar for bar in facts.bias if bar.values["score"] is not None], "mean score or label", limit=1.0),
        never_on_top=[bar.name for bar in facts.bias if bar.values["score"] is None],
        classes=bars(facts.by_class, "average precision", limit=1.0),
    )


def percent(value: float | None) -> str:
    """Write a share as percent, or a dash."""
    return "–" if value is None else f"{100 * value:.1f}"


def number(value: float) -> str:
    """Write a count with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")
