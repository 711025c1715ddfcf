"""A table over seeds: figures as mean ± deviation, as Markdown and as CSV."""

import csv
import io
import statistics
from dataclasses import dataclass
from typing import Any, Literal

from ccd_fast.runs import RunFolder

Figures = tuple[float, ...]
"""One figure a seed; a published figure stands alone; an interval's two ends, behind the difference that it belongs to;
nothing where nothing is known."""

UNKNOWN = "–"


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        title: what stands above it, with the unit.
        digits: behind the point.
        published: whether the figures are somebody else's, and not over these seeds.
        ends: whether the figures are an interval: its two ends, or a difference and its two ends.
    """

    title: str
    digits: int = 1
    published: bool = False
    ends: Literal["", "interval", "difference"] = ""

    def text(self, figures: Figures) -> str:
        """Write a cell."""
        if not figures:
            return UNKNOWN
        if self.ends:
            low, high = (f"{figure:.{self.digits}f}" for figure in figures[-2:])
            between = f"{low} … {high}"
            return between if self.ends == "interval" else f"{figures[0]:+.{self.digits}f} ({between})"
        mean = f"{statistics.mean(figures):.{self.digits}f}"
        return mean if len(figures) == 1 else f"{mean} ± {statistics.stdev(figures):.{self.digits}f}"

    @property
    def parts(self) -> tuple[str, ...]:
        """Name its columns in a CSV, behind the title."""
        if self.ends:
            return (" low", " high") if self.ends == "interval" else ("", " low", " high")
        return ("",) if self.published else (" mean", " deviation")

    def values(self, figures: Figures) -> list[str]:
        """Give a cell as a CSV has it, as many as :attr:`parts`; empty where there is nothing."""
        if self.ends:
            return [f"{figure:.4f}" for figure in figures] or [""] * len(self.parts)
        mean = f"{statistics.mean(figures):.4f}" if figures else ""
        deviation = f"{statistics.stdev(figures):.4f}" if len(figures) > 1 else ""
        return [mean, deviation][: len(self.parts)]


@dataclass(frozen=True)
class SeedTable:
    """Rows of figures over seeds.

    Attributes:
        name: of its files.
        title: one line.
        columns: K columns.
        rows: the name of each row and its K cells.
        notes: what the cells are, a sentence or two each.
        groups: of each row, where rows stand in groups; rows of a group stand together.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[Figures, ...]], ...]
    notes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def head(self) -> list[str]:
        """Give the titles of the columns; the second is the number of seeds."""
        return ["", "n", *(column.title for column in self.columns)]

    def texts(self) -> list[list[str]]:
        """Give the rows as text, as wide as :meth:`head`."""
        return [
            [name, str(self._seeds(cells)) if self._seeds(cells) else UNKNOWN]
            + [column.text(figures) for column, figures in zip(self.columns, cells, strict=True)]
            for name, cells in self.rows
        ]

    def record(self) -> dict[str, Any]:
        """Give the table as plain data, each figure by row, column and seed."""
        titles = [column.title for column in self.columns]
        rows = {name: dict(zip(titles, map(list, cells), strict=True)) for name, cells in self.rows}
        names = [name for name, _ in self.rows]
        grouped = {"groups": dict(zip(names, self.groups, strict=True))} if self.groups else {}
        return {"name": self.name, "title": self.title, "rows": rows, "notes": list(self.notes), **grouped}

    def begins_group(self, row: int) -> str:
        """Give the group that begins with a row; nothing where none does."""
        begins = bool(self.groups) and (row == 0 or self.groups[row - 1] != self.groups[row])
        return self.groups[row] if begins else ""

    def as_markdown(self) -> str:
        """Give the table with its title and notes."""
        lines = [f"## {self.title}", "", *map(_line, [self.head(), ["---", *["---:"] * (len(self.columns) + 1)]])]
        for place, row in enumerate(self.texts()):
            if group := self.begins_group(place):
                lines.append(_line([f"**{group}**", *[""] * (len(row) - 1)]))
            lines.append(_line(row))
        lines.append("")
        return "\n".join([*lines, *(f"- {note}" for note in self.notes)]).rstrip() + "\n"

    def as_csv(self) -> str:
        """Give the rows with mean and deviation in columns of their own; empty where there is none."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        titles = [column.title + part for column in self.columns for part in column.parts]
        grouped = bool(self.groups)
        writer.writerow([*(["group"] if grouped else []), "row", "n", *titles])
        for place, (name, cells) in enumerate(self.rows):
            values = [v for column, figures in zip(self.columns, cells, strict=True) for v in column.values(figures)]
            writer.writerow([*([self.groups[place]] if grouped else []), name, self._seeds(cells), *values])
        return text.getvalue()

    def write(self, folder: RunFolder) -> None:
        """Write ``<name>.md`` and ``<name>.csv``."""
        folder.write_text(f"{self.name}.md", self.as_markdown())
        folder.write_text(f"{self.name}.csv", self.as_csv())

    def _seeds(self, cells: tuple[Figures, ...]) -> int:
        over = zip(self.columns, cells, strict=True)
        own = [len(figures) for column, figures in over if not (column.published or column.ends)]
        return max(own, default=0)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
