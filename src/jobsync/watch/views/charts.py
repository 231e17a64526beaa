"""Small charts as inline SVG: numbers in, places on the paper out; `templates/chart.svg` draws them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from jobsync.watch.model import Chart, Series
from jobsync.watch.views.templates import render

WIDTH, HEIGHT = 480, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 4, 10, 22  # left: room for 0.025 s
_BAR_MOST, _STEP_MOST = 36, 72  # a few bars do not spread over the whole width


@dataclass(frozen=True)
class Mark:
    """
    What stands over one label: pieces of a bar (x, y, width, height) or a point of a line (x, y); `words` tell of it.
    """

    words: str
    pieces: Sequence[tuple[str, Sequence[float]]]


@dataclass(frozen=True)
class Frame:
    """Lines across with their words (y, text), labels below (x, anchor, text)."""

    across: Sequence[tuple[float, str]]
    below: Sequence[tuple[float, str, str]]


def nice_top(value: float) -> float:
    """
    Return a round number that is not below the value.

    >>> [nice_top(v) for v in (0, 3, 17, 240, 0.03)]
    [1, 5, 20, 250, 0.05]
    """
    if value <= 0:
        return 1
    size = 1.0
    while size < value:
        size *= 10
    while size / 10 >= value:
        size /= 10
    top = next(step * size / 10 for step in (1, 2, 2.5, 5, 10) if step * size / 10 >= value * 0.999999)
    return int(top) if top == int(top) else round(top, 6)


def draw(chart: Chart) -> Markup:
    """Return a chart as markup."""
    drawn = draw_lines if chart.lines else draw_bars
    return drawn(chart.labels, chart.series, title=chart.title, unit=chart.unit)


def draw_bars(labels: Sequence[str], series: Sequence[Series], *, title: str, unit: str = "") -> Markup:
    """Return bars with their series on each other; what is hovered over says the numbers."""
    totals = [sum(each.values[at] or 0 for each in series) for at in range(len(labels))]
    top = max(2, nice_top(max(totals, default=0)))  # there is no half a run
    step = _step(labels)
    width = min(_BAR_MOST, max(1.0, step * 0.78))
    bars = []
    for at, label in enumerate(labels):
        told = [f"{each.name} {short(each.values[at] or 0)}{unit}" for each in series if each.values[at]]
        pieces: list[tuple[str, Sequence[float]]] = []
        y = float(HEIGHT - _BOTTOM)
        for each in series:
            if (value := each.values[at] or 0) > 0:
                height = max(1.5, value / top * (HEIGHT - _TOP - _BOTTOM))
                y -= height
                pieces.append((each.css, (_LEFT + at * step + (step - width) / 2, y, width, height)))
        if pieces:
            bars.append(Mark(f"{label}: {', '.join(told)}", pieces))
    return render("chart.svg", title=title, frame=_frame(labels, top, unit), bars=bars, lines=(), points=())


def draw_lines(labels: Sequence[str], series: Sequence[Series], *, title: str, unit: str = "") -> Markup:
    """Return one line for each series; a missing value interrupts its line."""
    values = [value for each in series for value in each.values if value is not None]
    top = nice_top(max(values, default=0))
    step = _step(labels)
    lines: list[tuple[str, Sequence[tuple[float, float]]]] = []
    points = []
    for each in series:
        piece: list[tuple[float, float]] = []
        for at, value in enumerate([*each.values, None]):
            if value is None:
                lines += [(each.css, piece)] if len(piece) > 1 else []
                piece = []
                continue
            x, y = _LEFT + (at + 0.5) * step, HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)
            piece.append((x, y))
            points.append(Mark(f"{labels[at]}: {each.name} {short(value)}{unit}", [(each.css, (x, y))]))
    return render("chart.svg", title=title, frame=_frame(labels, top, unit), bars=(), lines=lines, points=points)


def draw_strip(classes: Sequence[str | None], *, title: str) -> Markup:
    """Return a row of small squares, one for each day; None is a day without anything."""
    size, step = 9, 11
    squares: dict[str, list[int]] = {}
    for at, css in enumerate(classes):
        squares.setdefault(css or "none", []).append(at * step)
    return render("strip.svg", title=title, squares=squares, size=size, width=len(classes) * step - (step - size))


def _step(labels: Sequence[str]) -> float:
    """Return how far labels stand apart."""
    return min((WIDTH - _LEFT - _RIGHT) / max(1, len(labels)), _STEP_MOST)


def _frame(labels: Sequence[str], top: float, unit: str) -> Frame:
    across = [(HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM), short(top * part) + unit) for part in (0, 0.5, 1)]
    return Frame(across, list(_below(labels)))


def _below(labels: Sequence[str]) -> Iterator[tuple[float, str, str]]:
    step = _step(labels)
    for at in range(0, len(labels), max(1, -(-len(labels) // 6))):
        x = _LEFT + (at + 0.5) * step
        yield (WIDTH - _RIGHT, "end", labels[at]) if x > WIDTH - 30 else (x, "middle", labels[at])


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
