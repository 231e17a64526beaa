"""Small charts as inline SVG: numbers in, markup out; colours come from the page's classes, texts are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jobsync.watch.model import Series

WIDTH, HEIGHT = 480, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 4, 10, 22


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


def draw_bars(labels: Sequence[str], series: Sequence[Series], *, title: str, unit: str = "") -> str:
    """Return stacked bars, one for each label."""
    totals = [sum(each.values[at] or 0 for each in series) for at in range(len(labels))]
    top = max(2, nice_top(max(totals, default=0)))  # there is no half a run
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    width = max(1.0, step * 0.78)
    parts = []
    for at, label in enumerate(labels):
        x, y = _LEFT + at * step + (step - width) / 2, float(HEIGHT - _BOTTOM)
        told = [f"{each.name} {_short(each.values[at] or 0)}" for each in series if each.values[at]]
        pieces = []
        for each in series:
            value = each.values[at] or 0
            if value <= 0:
                continue
            height = max(1.5, value / top * (HEIGHT - _TOP - _BOTTOM))
            y -= height
            pieces.append(
                f'<rect class="{each.css}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
            )
        if pieces:
            parts.append(f"<g><title>{escape(label)}: {escape(', '.join(told))}</title>{''.join(pieces)}</g>")
    return _frame(labels, top, "".join(parts), title=title, unit=unit)


def draw_lines(labels: Sequence[str], series: Sequence[Series], *, title: str, unit: str = "") -> str:
    """Return one line for each series; a missing value interrupts its line."""
    values = [value for each in series for value in each.values if value is not None]
    top = nice_top(max(values, default=0))
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    parts = []
    for each in series:
        pieces: list[list[str]] = [[]]
        dots = []
        for at, value in enumerate(each.values):
            if value is None:
                pieces.append([])
                continue
            x = _LEFT + (at + 0.5) * step
            y = HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)
            pieces[-1].append(f"{x:.1f},{y:.1f}")
            words = f"{labels[at]}: {each.name} {_short(value)}{unit}"
            dots.append(
                f'<circle class="{each.css}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"><title>{escape(words)}</title></circle>'
            )
        parts += [
            f'<polyline class="line {each.css}" points="{" ".join(piece)}"/>' for piece in pieces if len(piece) > 1
        ]
        parts += dots
    return _frame(labels, top, "".join(parts), title=title, unit=unit)


def draw_strip(classes: Sequence[str | None], *, title: str) -> str:
    """Return a row of small squares, one for each day; None is a day without anything."""
    size, step = 9, 11
    width = len(classes) * step - (step - size)
    squares: dict[str, list[str]] = {}
    for at, css in enumerate(classes):
        squares.setdefault(css or "none", []).append(f"M{at * step} 0h{size}v{size}h-{size}z")
    paths = "".join(f'<path class="{css}" d="{"".join(parts)}"/>' for css, parts in squares.items())
    return (
        f'<svg class="strip" viewBox="0 0 {width} {size}" width="{width}" height="{size}" role="img">'
        f"<title>{escape(title)}</title>{paths}</svg>"
    )


def _frame(labels: Sequence[str], top: float, inside: str, *, title: str, unit: str = "") -> str:
    lines = []
    for share in (0, 0.5, 1):
        y = HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(
            f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_short(top * share)}{escape(unit)}</text>'
        )
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))
    shown = max(1, -(-len(labels) // 6))
    for at in range(0, len(labels), shown):
        x, anchor = _LEFT + (at + 0.5) * step, "middle"
        if x > WIDTH - 30:
            x, anchor = WIDTH - _RIGHT, "end"
        lines.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(labels[at])}</text>')
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(lines)}{inside}</svg>"
    )


def _short(value: float) -> str:
    """
    Return a number in few signs.

    >>> [_short(v) for v in (0, 0.25, 12.5, 1500, 2000000)]
    ['0', '0.25', '12.5', '1.5k', '2M']
    """
    for size, name in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"
