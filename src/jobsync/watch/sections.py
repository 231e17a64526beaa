"""What the slices know, as the tables that every view draws: those of one name joined, the worst rows first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from jobsync.phrases import ago, many
from jobsync.watch.model import Days, Past, Row, Section, Severity, Snapshot, Unit, Watched

_ORDER = {severity: place for place, severity in enumerate(Severity)}


def sections_of(seen: Snapshot) -> list[Section]:
    """Return every section that has rows or a title."""
    found: dict[str, Section] = {}
    for each in seen.watched:
        for section in each.sections(seen):
            known = found.get(section.name)
            found[section.name] = _joined(known, section) if known else section
    return [
        replace(section, rows=tuple(sorted(section.rows, key=lambda row: _ORDER[row.severity])))
        for section in found.values()
    ]


def _joined(known: Section, more: Section) -> Section:
    """Return a section with what another slice knows of its rows."""
    rows = {row.key: row for row in more.rows}
    empty = {column.name: 0 if column.unit is Unit.COUNT else None for column in more.columns}
    return replace(
        known,
        columns=(*known.columns, *more.columns),
        rows=tuple(_joined_row(row, rows.get(row.key), empty) for row in known.rows),
        notes=(*known.notes, *more.notes),
    )


def _joined_row(row: Row, more: Row | None, empty: dict[str, Any]) -> Row:
    if more is None:
        return replace(row, cells={**row.cells, **empty})
    worse = min(row, more, key=lambda each: _ORDER[each.severity])  # of two alike the first
    return replace(
        row,
        cells={**row.cells, **empty, **more.cells},
        severity=worse.severity,
        state=worse.state,
        why=", ".join(filter(None, (row.why, more.why))) or None,
        what_to_do=worse.what_to_do,
    )


def read_past(connection: Connection, watched: Sequence[Watched], days: Days) -> dict[str, Past]:
    """Return what a page tells of earlier days, by name of the section."""
    found: dict[str, Past] = {}
    for each in watched:
        for name, past in each.past(connection, days).items():
            known = found.get(name, Past())
            found[name] = Past(
                {**known.squares, **past.squares}, (*known.totals, *past.totals), (*known.charts, *past.charts)
            )
    return found


def told(section: Section, row: Row, *, now: datetime | None = None) -> Iterator[str]:
    """Return what a person is told of a row's columns: its counts, and with the time its instants too."""
    for column in section.columns:
        value = row.cells[column.name]
        if column.noun and column.unit is Unit.INSTANT and now:
            yield f"{column.noun} {ago(now, value)}"
        elif column.noun and column.unit is Unit.COUNT and value:
            yield many(value, column.noun, column.nouns)
