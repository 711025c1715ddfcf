"""One page a run: ``report.html``, which needs nothing but itself.

The page is made of what the run left behind. Only its pictures are looked up again; where the photographs are gone,
the page says so.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2

from ccd_fast.errors import UserError
from ccd_fast.report.album import open_again
from ccd_fast.report.charts import bars, lines, reliability
from ccd_fast.report.examples import LISTED, PICTURED, OfClass, by_class
from ccd_fast.report.facts import Facts, read
from ccd_fast.report.gallery import Corrected, corrections
from ccd_fast.runs import RunFolder

FILE = "report.html"
PICTURES = 24
"""Photographs in the gallery."""


def write(run: Path, pictures: int = PICTURES, min_positives: int = 0) -> Path:
    """Write the page of a run into its folder.

    Args:
        run: folder of a run that has ended.
        pictures: photographs in the gallery at most, those whose labels changed most; without any, no examples either.
        min_positives: classes with fewer positives are left out of the figures.

    Returns:
        The page.

    Raises:
        UserError: the folder is not a run, the run has not ended, or it has no classes with so many positives.
    """
    facts = read(run, min_positives)
    shown: list[Corrected] = []
    album, why_not = None, "none are wanted (--pictures 0)"
    if pictures:
        try:
            album = open_again(run, facts.run["class_names"])
            if facts.of_ccd:
                shown, why_not = corrections(album, facts.summary.get("tau"), pictures)
        except UserError as error:
            why_not = str(error)
    RunFolder(run).write_text(FILE, render(facts, shown, why_not, by_class(facts.counts, album)))
    return run / FILE


def render(facts: Facts, shown: list[Corrected], why_not: str = "", labelled: Sequence[OfClass] | None = None) -> str:
    """Make the page.

    Args:
        facts: of the run.
        shown: photographs of the gallery.
        why_not: why there are none, where there are none.
        labelled: the classes with their photographs; without pictures where it is not given.
    """
    found = by_class(facts.counts, None) if labelled is None else labelled
    said = [label for photo in shown for label in (*(box.label for box in photo.boxes), *photo.labels)]
    truths = [label.truth for label in said] + [example.truth for one in found for example in one.examples]
    source = resources.files("ccd_fast.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"percent": percent, "number": number}
    page = environment.from_string(source)
    return page.render(
        facts=facts,
        shown=shown,
        why_not=why_not,
        checked=any(truth is not None for truth in truths),
        pictured=[one for one in found[:PICTURED] if one.examples],
        counted=[one for one in found[: PICTURED + LISTED] if not one.examples],
        beyond=len(found[PICTURED + LISTED :]),
        progress=lines(facts.curves, facts.epochs),
        agreement=lines(facts.agreement, facts.epochs),
        bias=bars([bar for bar in facts.bias if bar.values["score"] is not None], "mean score or label", limit=1.0),
        never_on_top=[bar.name for bar in facts.bias if bar.values["score"] is None],
        reliability=reliability(_meanings(facts)),
        classes=bars(facts.by_class, "average precision", limit=1.0),
    )


def _meanings(facts: Facts) -> list[tuple[str, list[float], list[float]]]:
    """Name the curves of the chart: as ``predict`` gives probabilities, and by the sigmoid alone."""
    if facts.meaning is None:
        return []
    before, after = facts.meaning
    found = [("by the sigmoid alone", before.said, before.found)]
    return found if after is None else [("as predict gives them", after.said, after.found), *found]


def percent(value: float | None) -> str:
    """Write a share as percent, or a dash."""
    return "–" if value is None else f"{100 * value:.1f}"


def number(value: float) -> str:
    """Write a count with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")
