"""Charts as inline SVG: lines by epoch, and bars by class. Colours are the page's, by class names of its style."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 16, 14, 34
ROW = 20
"""Height of one bar's row."""


@dataclass(frozen=True)
class Curve:
    """A line of the chart.

    Attributes:
        name: for the legend.
        points: epoch and share.
        dashed: a level to compare with.
    """

    name: str
    points: list[tuple[int, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Bar:
    """A row of bars.

    Attributes:
        name: of the class.
        values: by what they are; None where unknown.
        note: shown beside the name.
    """

    name: str
    values: Mapping[str, float | None] = field(default_factory=dict)
    note: str = ""


def lines(curves: Sequence[Curve], epochs: int) -> Markup:
    """Draw curves over the epochs, in percent; nothing where there is none.

    Args:
        curves: shares in 0 … 1.
        epochs: how many there were.
    """
    values = [value for curve in curves for _, value in curve.points]
    if not values:
        return Markup()
    low, high = math.floor(min(values) * 20) / 20, math.ceil(max(values) * 20) / 20
    high = max(high, low + 0.05)

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch / max(epochs - 1, 1))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low))

    parts = [Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="mAP by epoch">').format(WIDTH, HEIGHT)]
    for value in _ticks(low, high):
        line = '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        parts.append(Markup(line).format(LEFT, WIDTH - RIGHT, y(value), y(value)))
        text = '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{:.0f}</text>'
        parts.append(Markup(text).format(LEFT - 8, y(value) + 4, 100 * value))
    for epoch in range(0, epochs, max(1, math.ceil(epochs / 12))):
        text = '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
        parts.append(Markup(text).format(x(epoch), HEIGHT - 12, epoch))
    for place, curve in enumerate(curves):
        style = "level" if curve.dashed else f"line c{place}"
        path = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in curve.points)
        parts.append(Markup('<polyline class="{}" points="{}"/>').format(style, path))
        for epoch, value in curve.points if not curve.dashed else []:
            dot = '<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}, epoch {}: {:.1f}</title></circle>'
            parts.append(Markup(dot).format(place, x(epoch), y(value), curve.name, epoch, 100 * value))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Give round values from low to high, eight steps at most."""
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / step <= 8.001)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def bars(rows: Sequence[Bar], what: str, limit: float, rows_are: str = "class") -> Markup:
    """Draw a table whose cells hold bars, a row a class; nothing where there is none.

    Args:
        rows: values in 0 … ``limit``.
        what: the values are, for the caption.
        limit: the value of a full bar.
        rows_are: what a row is.
    """
    if not rows:
        return Markup()
    kinds = list(rows[0].values)
    head = Markup("").join(
        Markup('<th scope="col" class="value"><span class="key c{}"></span>{}</th>').format(place, kind)
        for place, kind in enumerate(kinds)
    )
    body = []
    for row in rows:
        both = Markup("").join(
            Markup('<span class="bar c{}" style="width:{:.1f}%"></span>').format(
                place, 100 * min(max(value or 0.0, 0.0), limit) / limit
            )
            for place, value in enumerate(row.values.values())
        )
        figures = Markup("").join(
            Markup('<td class="value">{}</td>').format("–" if value is None else f"{100 * value:.1f}")
            for value in row.values.values()
        )
        note = Markup(' <span class="note">{}</span>').format(row.note) if row.note else ""
        line = '<tr><th scope="row">{}{}</th><td class="bars">{}</td>{}</tr>'
        body.append(Markup(line).format(row.name, note, both, figures))
    table = (
        '<table class="chart"><caption class="sr">{} by {}, in percent</caption>'
        '<thead><tr><th scope="col">{}</th>'
        '<th class="bars" aria-hidden="true"></th>{}</tr></thead><tbody>{}</tbody></table>'
    )
    return Markup(table).format(what, rows_are, rows_are, head, Markup("").join(body))


def reliability(curves: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> Markup:
    """Draw how often a class is there by what is said of it, both in percent; nothing where there is no curve.

    Args:
        curves: the name, what is said and what is found, in 0 … 1; on the dashed line both are the same.
    """
    if not curves:
        return Markup()
    side = HEIGHT - TOP - BOTTOM

    def x(share: float) -> float:
        return LEFT + side * share

    def y(share: float) -> float:
        return TOP + side * (1 - share)

    head = '<svg viewBox="0 0 {} {}" role="img" aria-label="shares found by probability" style="max-width:{}px">'
    parts = [Markup(head).format(LEFT + side + RIGHT, HEIGHT, 420)]
    for value in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        line = '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        parts.append(Markup(line).format(LEFT, LEFT + side, y(value), y(value)))
        text = '<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="{}">{:.0f}</text>'
        parts.append(Markup(text).format(LEFT - 8, y(value) + 4, "end", 100 * value))
        parts.append(Markup(text).format(x(value), HEIGHT - 12, "middle", 100 * value))
    level = '<polyline class="level" points="{:.1f},{:.1f} {:.1f},{:.1f}"/>'
    parts.append(Markup(level).format(x(0), y(0), x(1), y(1)))
    for place, (name, said, found) in enumerate(curves):
        points = list(zip(said, found, strict=True))
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        parts.append(Markup('<polyline class="line c{}" points="{}"/>').format(place, path))
        dot = '<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="3.5"><title>{}: {:.0f}, found {:.0f}</title></circle>'
        parts += [Markup(dot).format(place, x(a), y(b), name, 100 * a, 100 * b) for a, b in points]
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)
