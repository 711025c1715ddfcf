"""Line charts as SVG, for documents: panels side by side, with bars of deviation where there are some."""

from dataclasses import dataclass

import numpy as np

COLOURS = ("#0b6e99", "#c2571a", "#777777")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 220, 44, 16, 34, 30
Points = list[tuple[float, float, float]]
"""Place across, value, and its deviation, 0 where there is none."""


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: above it.
        lines: at most as many as there are colours, in the order of the legend.
        ticks: places across with what is written below them.
    """

    title: str
    lines: list[Points]
    ticks: list[tuple[float, str]]


def drawn(panels: list[Panel], legend: list[str]) -> str:
    """Draw panels, and below them what each colour is."""
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="sans-serif" font-size="10">'
    parts = [head.format(WIDTH * len(panels), HEIGHT + 10 + 16 * len(legend))]
    parts.append('<rect width="100%" height="100%" fill="#ffffff"/>')
    for place, panel in enumerate(panels):
        parts += _panel(panel, place * WIDTH)
    for place, (said, colour) in enumerate(zip(legend, COLOURS, strict=False)):
        parts.append(f'<text x="{LEFT}" y="{HEIGHT + 14 + 16 * place}" font-size="12" fill="{colour}">{said}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, left: int) -> list[str]:
    values = [value + sign * spread for line in panel.lines for _, value, spread in line for sign in (1, -1)]
    low, high, most = min(values) - 0.5, max(values) + 0.5, max(place for place, _ in panel.ticks)
    x0, x1, y0, y1 = left + LEFT, left + WIDTH - RIGHT, HEIGHT - BOTTOM, TOP

    def x(place: float) -> float:
        return x0 + (x1 - x0) * place / most

    def y(value: float) -> float:
        return y0 + (y1 - y0) * (value - low) / (high - low)

    parts = [f'<text x="{x0}" y="18" font-size="12">{panel.title}</text>']
    for value in np.linspace(low, high, 5):
        parts.append(f'<line x1="{x0}" x2="{x1}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x0 - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    parts += [f'<text x="{x(at):.1f}" y="{y0 + 16}" text-anchor="middle">{said}</text>' for at, said in panel.ticks]
    for line, colour in zip(panel.lines, COLOURS, strict=False):
        through = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value, _ in line)
        parts.append(f'<polyline points="{through}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for at, value, spread in line:
            ends = f'y1="{y(value - spread):.1f}" y2="{y(value + spread):.1f}"'
            parts.append(f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" {ends} stroke="{colour}"/>')
    return parts
