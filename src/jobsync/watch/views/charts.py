"""Small charts as inline SVG: numbers in, places on the paper out; `templates/chart.svg` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log10
from typing import Any

from markupsafe import Markup

from jobsync.watch.model import Chart
from jobsync.watch.views.templates import render

WIDTH, HEIGHT = 480, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 4, 10, 22  # left: room for 0.025 s
_FOOT, _TALL = HEIGHT - _BOTTOM, HEIGHT - _TOP - _BOTTOM
_BAR_MOST, _STEP_MOST = 36, 72  # a few bars do not spread over the whole width
_LABELS_MOST = 6


def nice_top(value: float) -> float:
    """
    Return a round number that is not below the value.

    >>> [nice_top(v) for v in (0, 3, 17, 240, 0.03)]
    [1, 5, 20, 250, 0.05]
    """
    if value <= 0:
        return 1
    size = 10.0 ** ceil(log10(value))
    top = next(step * size / 10 for step in (1, 2, 2.5, 5, 10) if step * size / 10 >= value * 0.999999)
    return int(top) if top == int(top) else round(top, 6)


def draw(chart: Chart) -> Markup:
    """Return a chart as markup; what is hovered over says the numbers."""
    labels = chart.labels
    step = min((WIDTH - _LEFT - _RIGHT) / max(1, len(labels)), _STEP_MOST)
    top, drawn = (_lines if chart.lines else _bars)(chart, step)
    across = [(_FOOT - part * _TALL, short(top * part) + chart.unit) for part in (0, 0.5, 1)]
    places = range(0, len(labels), max(1, -(-len(labels) // _LABELS_MOST)))
    below = [(_LEFT + (at + 0.5) * step, labels[at]) for at in places]
    marks = {"bars": (), "lines": (), "points": (), **drawn}
    return render("chart.svg", title=chart.title, across=across, below=below, right=WIDTH - _RIGHT, **marks)


def _bars(chart: Chart, step: float) -> tuple[float, dict[str, Any]]:
    """Return the top, and bars of pieces (x, y, width, height) with their words; the series stand on each other."""
    totals = [sum(each.values[at] or 0 for each in chart.series) for at in range(len(chart.labels))]
    top = max(2, nice_top(max(totals, default=0)))  # there is no half a run
    width = min(_BAR_MOST, max(1.0, step * 0.78))
    bars = []
    for at, label in enumerate(chart.labels):
        told, pieces, y = [], [], float(_FOOT)
        for each in chart.series:
            value = each.values[at] or 0
            if value > 0:
                told.append(f"{each.name} {short(value)}{chart.unit}")
                height = max(1.5, value / top * _TALL)
                y -= height
                pieces.append((each.css, (_LEFT + at * step + (step - width) / 2, y, width, height)))
        if pieces:
            bars.append((f"{label}: {', '.join(told)}", pieces))
    return top, {"bars": bars}


def _lines(chart: Chart, step: float) -> tuple[float, dict[str, Any]]:
    """Return the top, one line for each series, which a missing value interrupts, and points with their words."""
    top = nice_top(max((value for each in chart.series for value in each.values if value is not None), default=0))
    lines, points = [], []
    for each in chart.series:
        piece: list[tuple[float, float]] = []
        for at, value in enumerate([*each.values, None]):
            if value is not None:
                piece.append((_LEFT + (at + 0.5) * step, _FOOT - value / top * _TALL))
                points.append((each.css, piece[-1], f"{chart.labels[at]}: {each.name} {short(value)}{chart.unit}"))
                continue
            lines += [(each.css, piece)] if len(piece) > 1 else []
            piece = []
    return top, {"lines": lines, "points": points}


def draw_strip(classes: Sequence[str | None], *, title: str) -> Markup:
    """Return a row of small squares, one for each day; None is a day without anything."""
    size, step = 9, 11
    squares: dict[str, list[int]] = {}
    for at, css in enumerate(classes):
        squares.setdefault(css or "none", []).append(at * step)
    return render("strip.svg", title=title, squares=squares, size=size, width=len(classes) * step - (step - size))


def short(value: float) -> str:
    """
    Return a number in few signs.

    >>> [short(v) for v in (0, 0.25, 12.5, 1500, 2000000)]
    ['0', '0.25', '12.5', '1.5k', '2M']
    """
    for size, name in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"
