"""The page of a table over systems, ``compare.html``: a chart by group, and the table itself; it needs nothing else."""

import statistics
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from ccd_fast.report.charts import Bar, bars
from ccd_fast.runs import RunFolder
from ccd_fast.studies.seed_table import SeedTable

FILE = "compare.html"
SHOWN = 3
"""Columns of the chart, the first ones that are no intervals: the epoch that is chosen, the last one, the best."""


def write(out: Path, table: SeedTable) -> Path:
    """Write the page into a folder; give its file."""
    RunFolder(out).write_text(FILE, render(table))
    return out / FILE


def render(table: SeedTable) -> str:
    """Make the page; figures in percent are the table's means over the seeds."""
    titles = [column.title for column in table.columns]
    places = {kind: [p for p, column in enumerate(table.columns) if column.ends == kind] for kind in ("", "interval")}
    own, published = ([p for p in places[""] if table.columns[p].published == by] for by in (False, True))
    wanted = [*own[:SHOWN], *published]
    found: dict[str, list[Bar]] = {}
    for group, (name, cells) in zip(table.groups, table.rows, strict=True):
        means = {titles[place]: statistics.mean(cells[place]) / 100 if cells[place] else None for place in wanted}
        sure = [table.columns[place].text(cells[place]) for place in places["interval"] if cells[place]]
        found.setdefault(group, []).append(Bar(name, means, "; ".join(sure)))
    pages = resources.files("ccd_fast.report")
    source, of_a_run = (pages.joinpath(name).read_text(encoding="utf-8") for name in ("compare.html", "page.html"))
    style = Markup(of_a_run.split("<style>")[1].split("</style>")[0])  # pages of one kind look alike
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    charts = {group: bars(rows, "mAP", limit=1.0, rows_are="system") for group, rows in found.items()}
    rows = [(table.begins_group(place), texts) for place, texts in enumerate(table.texts())]
    return environment.from_string(source).render(table=table, style=style, head=table.head(), rows=rows, charts=charts)
